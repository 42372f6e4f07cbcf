"""What a busy machine does to a run is distinguished from what is wrong with it: only for the former a test makes its run again."""

import pytest

from harness.base.errors import ExitCode
from tests.support import real_runs
from tests.support.real_runs import TOO_BUSY, TRIES, in_time
from tests.support.run_builder import RunBuilder
from tests.unit.judge.test_validity import LATE, assessed, only_reason, run_of


def never_begun(path):
    made = RunBuilder(path, stations=3)
    made.attempt(0)
    made.attempt(1)
    made.scrape_idle_generator(20)
    return made.finish("deadline", at_s=72.0)


def unscraped(path):
    made = RunBuilder(path)
    made.attempt(0)
    return made.finish(at_s=20.0)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("make", "assertions"),
    [
        (lambda path: run_of(path, late_s=0.06).finish(at_s=20.0), []),
        (lambda path: run_of(path, cpu=0.97).finish(at_s=20.0), []),
        (never_begun, []),
        (unscraped, []),
        (lambda path: run_of(path, attempts=1_000, late_s=0.004, response_s=0.01).finish(at_s=20.0), ["p95(response_seconds) < 39ms"]),
        (lambda path: run_of(path, **LATE).finish(at_s=20.0), ["p95(response_seconds) < 99ms"]),
    ],
    ids=["late", "busy", "never begun", "unscraped", "limit that holds", "breach"],
)  # fmt: skip
def test_a_machine_that_is_too_busy_gives_these_reasons(tmp_path, make, assertions):
    assert TOO_BUSY.search(only_reason(assessed(make(tmp_path / "run"), assertions)))


@pytest.mark.heavy
def test_a_clock_that_stepped_and_an_error_of_ours_are_none_of_them(tmp_path):
    stepped = run_of(tmp_path / "stepped").finish(at_s=20.0, clock_step_s=3.0)
    wrong = run_of(tmp_path / "wrong").finish(at_s=20.0, problems=["internal error: 1 station was abandoned"])
    for folder in (stepped, wrong):
        assert not TOO_BUSY.search(only_reason(assessed(folder)))


@pytest.mark.parametrize(
    ("late", "code", "times"),
    [([True, False], ExitCode.PASSED, 2), ([True] * 9, ExitCode.INVALID, TRIES), ([False], ExitCode.INVALID, 1)],
)
def test_a_run_is_made_again_only_while_it_is_late_and_three_times_at_most(tmp_path, monkeypatch, late, code, times):
    made: list[object] = []

    def run(*arguments, **_):
        made.append(arguments)
        return (ExitCode.PASSED if code == ExitCode.PASSED and len(made) == times else ExitCode.INVALID), "said"

    monkeypatch.setattr(real_runs, "told", run)
    monkeypatch.setattr(real_runs, "was_late", lambda _: late[len(made) - 1])
    assert in_time("tiny.toml", cwd=tmp_path) == (code, "said", tmp_path / f"run-{times - 1}")
    assert len(made) == times
