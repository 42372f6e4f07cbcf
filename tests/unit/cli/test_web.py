"""--web: an address or none, and what goes to the page beside the terminal."""

from pathlib import Path

import pytest

from harness.base.errors import ExitCode
from harness.cli.app import complete_web
from harness.cli.web import LivePage, live_page, parse_web
from harness.live.feed import Cursor, LiveFeed
from tests.support.real_runs import told


@pytest.mark.parametrize("following", [[], ["--seed", "3"], ["smoke"], ["mine.toml"], ["folder/x:1.toml"]])
def test_without_a_value_it_is_any_free_port_of_loopback(following):
    assert complete_web(["--web", *following]) == ["--web=127.0.0.1:0", *following]


@pytest.mark.parametrize("address", ["8080", "127.0.0.1:0", "[::1]:80", "host:x"])
def test_what_can_only_be_an_address_is_one(address):
    assert complete_web(["smoke", "--web", address]) == ["smoke", "--web", address]
    assert complete_web([f"--web={address}"]) == [f"--web={address}"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "smoke", "--web", "host:x"),
        ("run", "smoke", "--web=smoke"),
        ("experiment", "metastability", "--web", ":80"),
        ("experiment", "metastability", "--simulate", "--web"),
        ("capacity", "smoke", "--vary", "server.workers=1..4", "--web", "1:99999"),
    ],
)
def test_an_address_that_is_none_is_an_error_of_usage_before_anything_starts(tmp_path, arguments):
    code, output = told(*arguments, cwd=tmp_path)
    assert code == ExitCode.USAGE, output
    assert "--web" in output
    assert list(tmp_path.iterdir()) == []


def test_what_becomes_known_goes_to_the_terminal_and_to_the_page(tmp_path):
    printed: list[str] = []
    feed = LiveFeed("capacity", "x", tmp_path)
    LivePage(feed).logger(printed.append)("8 workers pass")
    LivePage().logger(printed.append)("9 workers pass")
    assert printed == ["8 workers pass", "9 workers pass"]
    assert '"known":"8 workers pass"' in feed.message(Cursor(), None)[0]


def test_the_address_is_printed_with_a_warning_if_others_can_reach_it(tmp_path, capsys):
    with live_page(parse_web("0"), "run", "x", tmp_path):
        pass
    local = capsys.readouterr().out
    assert local.startswith("Live page: http://127.0.0.1:")
    assert "Warning" not in local
    with live_page(parse_web("0.0.0.0:0"), "run", "x", tmp_path):
        pass
    assert "Warning: anyone who can reach 0.0.0.0" in capsys.readouterr().out


def test_without_it_nothing_is_served(tmp_path, capsys):
    with live_page(None, "run", "x", Path(tmp_path)) as page:
        assert page.feed is None
        page.log("nothing")
        page.finish(tmp_path / "page.html")
    assert capsys.readouterr().out == ""
