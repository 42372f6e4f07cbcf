"""A station's cookies: what goes back, where, and for how long (RFC 6265)."""

import pytest

from harness.base.address import Origin
from harness.station.cookies import CookieJar

HERE, THERE, SECURE = Origin("http", "a", 80), Origin("http", "a", 8080), Origin("https", "a", 443)


def jar_with(*lines, path="/app/login", now_s=100.0, origin=HERE):
    jar = CookieJar()
    jar.store(origin, path, lines, now_s)
    return jar


@pytest.mark.parametrize(
    ("line", "path", "goes_back"),
    [
        ("s=1; Path=/", "/x", True),
        ("s=1", "/app/upload", True),  # the folder of the request that set it
        ("s=1", "/other", False),
        ("s=1; Path=/app", "/app", True),
        ("s=1; Path=/app", "/app/x?y", True),
        ("s=1; Path=/app", "/application", False),
        ("s=1; Path=/; Secure", "/x", False),
        ("s=1; Path=/; Max-Age=0", "/x", False),
        ("s=1; Path=/; Max-Age=-1", "/x", False),
        ("s=1; Path=/; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/x", True),
        ("s=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/x", False),
        ("s=1; Path=/; Expires=Fri, 31-Dec-2100 23:59:59 GMT", "/x", True),
        ("s=1; Path=/; Expires=never", "/x", True),
        ("s=a b; Path=/", "/x", False),
        ("no pair; Path=/", "/x", False),
        ("s=1\x00; Path=/", "/x", False),
    ],
)
def test_a_cookie_goes_back_as_its_attributes_say(line, path, goes_back):
    assert jar_with(line).header(HERE, path, 100.0) == ("s=1" if goes_back else "")


def test_a_cookie_goes_back_to_its_own_server_alone_and_secure_ones_over_tls():
    assert jar_with("s=1; Path=/; Domain=a").header(THERE, "/", 100.0) == ""
    assert jar_with("s=1; Path=/; Secure", origin=SECURE).header(SECURE, "/", 100.0) == "s=1"


def test_a_cookie_ends_with_its_age_and_is_replaced_by_its_name():
    jar = jar_with("s=1; Path=/; Max-Age=10", "t=1; Path=/")
    assert jar.header(HERE, "/", 109.9) == "s=1; t=1"
    assert jar.header(HERE, "/", 110.0) == "t=1"
    jar.store(HERE, "/", ['t="2"; Path=/', "s=; Max-Age=0"], 111.0)
    assert (jar.header(HERE, "/", 111.0), jar.get(HERE, "t"), jar.get(HERE, "s")) == ('t="2"', "2", None)


def test_a_server_that_sets_cookies_without_end_is_remembered_for_fifty():
    jar = jar_with(*(f"c{number}=1; Path=/" for number in range(1000)))
    assert len(jar.header(HERE, "/", 100.0).split("; ")) == 50
