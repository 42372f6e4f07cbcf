"""The command before each run: without a shell, with a clear reason where it fails, and only if it is allowed."""

import sys

import pytest

from harness.base.errors import UsageError
from harness.runner.between import BetweenCommand, parse_between


def test_it_runs_as_it_is_written_and_knows_the_run_to_come(tmp_path):
    place = tmp_path / "a b; touch never"
    program = f"import os, pathlib; pathlib.Path({str(place)!r}).write_text(os.environ['HARNESS_CELL'])"
    logged: list[str] = []
    BetweenCommand((sys.executable, "-c", program)).run("two-workers-5", logged.append)
    assert place.read_text() == "two-workers-5"
    assert logged[0].startswith("--between: ")
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


@pytest.mark.parametrize(
    ("argv", "timeout_s", "why"),
    [
        (("/no/such/program",), 9.0, "No such file"),
        (
            (sys.executable, "-c", "import sys; print('x'); sys.exit('no \\x1b[2J bucket')"),
            9.0,
            "exited with code 1: no .*bucket",
        ),
        ((sys.executable, "-c", "print('x'); print('only this'); exit(1)"), 9.0, "exited with code 1: only this"),
        (("sleep", "9"), 0.05, "took longer than 0.05 s"),
    ],
)
def test_a_command_that_fails_ends_the_experiment_with_its_last_line(argv, timeout_s, why):
    with pytest.raises(UsageError, match=why) as caught:
        BetweenCommand(argv, timeout_s).run("cell", lambda _: None)
    assert str(caught.value).isprintable()


def test_words_are_split_as_a_shell_would_and_none_is_started_unasked():
    assert parse_between("rm -rf '/srv/my photos'", allow_command=True) == BetweenCommand(
        ("rm", "-rf", "/srv/my photos")
    )
    assert parse_between(None, allow_command=False) is None
    for text, allowed, why in [
        ("true", False, "add --allow-command"),
        ("'", True, "No closing quotation"),
        (" ", True, "needs a command"),
    ]:
        with pytest.raises(UsageError, match=why):
            parse_between(text, allow_command=allowed)
