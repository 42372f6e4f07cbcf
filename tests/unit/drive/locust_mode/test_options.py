"""What stock Locust is told of our options, and what is wrong with them."""

import pytest

from harness.drive.locust_mode.test import find_option_problem


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": "http://example.org"}, "--host http://example.org: only servers on this machine"),
        ({"host": "http://localhost.example.org"}, "only servers on this machine"),
        ({"host": "127.0.0.1:80"}, "should be an address such as"),
        ({"host": "ftp://127.0.0.1"}, "should be an address such as"),
        ({"scenario": "nix"}, '--scenario "nix" is none of kaliwates'),
        ({"think": "2"}, '--think "2" is not a duration'),
        ({"think": ""}, '--think "" is not a duration'),
    ],
)
def test_what_can_not_be_is_refused_in_words(options, problem):
    assert problem in (find_option_problem(options) or "")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": ""},
        {"host": None},
        {"host": "mock"},
        {"host": "http://127.0.0.1:8080"},
        {"scenario": "smoke", "think": "0s"},
    ],
)
def test_what_can_be_has_no_problem(options):
    assert find_option_problem(options) is None
