"""What is wrong with the options that harness adds to stock Locust."""

import pytest

from harness.drive.locust_mode.test import find_option_problem


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": "http://example.org"}, "--host http://example.org: only servers on this machine"),
        ({"host": "http://localhost.example.org"}, "only servers on this machine"),
        ({"host": "127.0.0.1:80"}, "should be an address such as"),
        ({"host": "ftp://127.0.0.1"}, "should be an address such as"),
        ({"scenario": "nix"}, '--scenario "nix" is not one of '),
        ({"think": "2"}, '--think "2" is not a duration'),
        ({"think": ""}, '--think "" is not a duration'),
    ],
)
def test_invalid_options_are_refused_with_a_message(options, problem):
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
def test_valid_options_have_no_problem(options):
    assert find_option_problem(options) is None
