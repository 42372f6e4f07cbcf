"""`harness compare`, `harness run --baseline` and `harness calibrate` as a user calls them."""

import json

import pytest

from harness.base.errors import ExitCode, UsageError
from harness.base.host import describe_host, package_versions
from harness.cli.options import runs_in
from harness.judge.compare.figure import Tolerances
from harness.runner.comparison import ComparisonRequest, compare_runs
from harness.scenario.loader import load_scenario
from tests.support.real_runs import REPORT, harness, told
from tests.support.run_builder import RunBuilder


def made_run(path, *, slower=1.0, lost=(), **record):
    """A finished run of 120 stations, a page each, that took 100 to 219 ms, times `slower`."""
    run = RunBuilder(path, stations=120, due_s=[number / 20 for number in range(120)], **record)
    for page in range(120):
        due_s = page / 20
        run.attempt(page, due_s=due_s, done_s=due_s + (0.1 + page * 7 % 120 / 1000) * slower)
    run.scrape_idle_generator(6)
    run.store_all(but=lost)
    return run.finish(at_s=6.5)


def compared(tmp_path, base, run, *, force=False):
    """The comparison of folders below `tmp_path`, without a process of its own."""
    before, after = ([folder for name in names for folder in runs_in(tmp_path / name)] for names in (base, run))
    return compare_runs(ComparisonRequest(before, after, Tolerances(), tmp_path / "noise", force), lambda _: [])


def test_a_slower_run_ends_the_command_with_99_and_leaves_a_page(tmp_path):
    made_run(tmp_path / "runs" / "before")
    made_run(tmp_path / "runs" / "after", slower=1.2)
    code, output = harness("compare", "before", "after", "--out", "out", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert (code, "FAIL  Worse: delivery p50 +20 %" in output) == (ExitCode.FAILED, True), output
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["exit_code"] == ExitCode.FAILED
    assert content["finding"] in (tmp_path / "out" / "report" / "index.html").read_text().replace("\u00a0", " ")
    assert (tmp_path / "out" / "report" / "changes.png").exists()
    assert '<failure message="base' in (tmp_path / "out" / "junit.xml").read_text()
    assert (tmp_path / "out" / "summary.md").read_text().startswith("## ❌ FAIL")


@pytest.mark.parametrize(("slower", "word"), [(1.0, "pass"), (1.05, "inconclusive"), (1.2, "fail")])
def test_run_folders_are_judged_by_their_rows(tmp_path, slower, word):
    made_run(tmp_path / "before")
    made_run(tmp_path / "after", slower=slower)
    assert compared(tmp_path, ["before"], ["after"]).verdict == word


def test_a_run_that_lost_a_page_fails_though_it_was_as_fast(tmp_path):
    made_run(tmp_path / "before")
    made_run(tmp_path / "after", lost=[7])
    found = compared(tmp_path, ["before"], ["after"])
    assert (found.verdict, found.finding) == ("fail", "The server of the run did not keep what it acknowledged")
    assert found.reasons[0].endswith("is not safe: its audit found 1 unsafe page")


def test_unlike_runs_are_refused_with_what_differs_and_compared_by_force(tmp_path):
    made_run(tmp_path / "before")
    made_run(tmp_path / "after", seed=2, versions={"harness": "0.2.0"})
    with pytest.raises(UsageError) as error:
        compared(tmp_path, ["before"], ["after"])
    assert 'versions.harness: "0.1.0" against "0.2.0"' in str(error.value)
    assert "seed: 1 against 2" in str(error.value)
    by_force = compared(tmp_path, ["before"], ["after"], force=True)
    assert (by_force.verdict, len(by_force.unlike)) == ("pass", 2)


def test_folders_of_runs_are_sides_of_several_runs(tmp_path):
    for number in range(1, 5):
        made_run(tmp_path / "before" / f"{number}", seed=number, slower=1 + number / 100)
        made_run(tmp_path / "after" / f"{number}", seed=number, slower=(1 + number / 100) * 1.2)
    made_run(tmp_path / "once-more", slower=1.01)
    found = compared(tmp_path, ["before", "once-more"], ["after"])
    assert (found.verdict, len(found.base), len(found.run)) == ("fail", 5, 4)
    assert found.figures[0].change is not None
    assert found.figures[0].change.drawn_from == "4 seeds, 5 runs against 4"


def test_a_run_is_not_compared_with_itself(tmp_path):
    made_run(tmp_path / "before")
    with pytest.raises(UsageError, match="duplicate run"):
        compared(tmp_path, ["before"], ["before"])


def test_a_run_that_was_broken_off_or_interrupted_is_no_measurement_to_compare(tmp_path):
    made_run(tmp_path / "before")
    run = RunBuilder(tmp_path / "after", stations=120)
    run.scrape_idle_generator(6)
    for page in range(120):
        run.attempt(page)
    run.store_all()
    run.finish("interrupted", at_s=6.0)
    found = compared(tmp_path, ["before"], ["after"])
    assert (found.verdict, found.exit_code) == ("inconclusive", ExitCode.INVALID)
    assert "the run was interrupted after 6.0 s" in found.reasons[0]


def test_a_baseline_that_cannot_be_compared_is_refused_before_anything_starts(tmp_path, tiny):
    made_run(tmp_path / "runs" / "before")
    code, output = told("run", tiny, "--baseline", "before", "--out", "after", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "--baseline before is not comparable with this run" in output
    assert "seed: 1 against 5" in output
    assert not (tmp_path / "after").exists()


def test_a_run_is_compared_with_its_baseline_in_the_end(tmp_path, tiny):
    """The baseline is made up, of a server that took ten times as long; the run is real."""
    scenario = load_scenario(str(tiny)).resolved()
    alike = {
        "scenario": scenario,
        "seed": 5,
        "versions": package_versions(),
        "host": describe_host(),
    }
    base = RunBuilder(tmp_path / "before", due_s=[number / 18 for number in range(36)])
    base.record = base.record.model_copy(update=alike)
    for page in range(36):
        base.attempt(page, due_s=page / 18, done_s=page / 18 + 0.3)
    base.scrape_idle_generator(3)
    base.store_all()
    base.finish(at_s=3.0)
    code, output = told(
        "run", tiny, "--baseline", "before", "--out", "after", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path), **REPORT
    )
    content = json.loads((tmp_path / "after" / "comparison.json").read_text())
    assert content["base"][0]["path"].endswith("before")
    p50 = content["figures"][0]
    assert p50["run"] == json.loads((tmp_path / "after" / "summary.json").read_text())["delivery_seconds"]["p50"]
    assert (tmp_path / "after" / "report" / "comparison.html").exists()
    assert 'href="comparison.html"' in (tmp_path / "after" / "report" / "index.html").read_text()
    assert "<testsuite " in (tmp_path / "after" / "comparison-junit.xml").read_text()
    assert (tmp_path / "after" / "comparison.md").exists()
    assert "Comparison: " in output
    verdict = json.loads((tmp_path / "after" / "verdict.json").read_text())
    assert code == (verdict["exit_code"] or content["exit_code"])


@pytest.mark.slow
def test_a_calibrated_machine_refuses_a_gate_that_is_tighter_than_its_noise(tmp_path, tiny):
    """Three real runs, and a fourth held against one of them at a tolerance that no machine could see."""
    code, output = harness(
        "calibrate", tiny, "--runs", "3", "--out", "same", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path)
    )
    if code == ExitCode.INVALID:
        assert "runs are measurements to be trusted, 3 are needed" in output  # the machine may be too busy to measure
        return
    assert code == ExitCode.PASSED, output
    assert "The smallest detectable change" in output
    (kept,) = (tmp_path / "upload-harness" / "noise").iterdir()
    assert len(json.loads(kept.read_text())["figures"]["delivery_seconds.mean"]["values"]) == 3
    tolerance = "delivery_seconds.mean=0.001%"
    arguments = (
        "run",
        tiny,
        "--baseline",
        "same/01",
        "--tolerance",
        "100%",
        "--tolerance",
        tolerance,
        "--out",
        "after",
    )
    code, output = harness(*arguments, cwd=tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert code in {ExitCode.INVALID, ExitCode.FAILED}, output  # far slower for reasons of its own would be a fail
    content = json.loads((tmp_path / "after" / "comparison.json").read_text())
    assert content["calibration"].startswith("3 runs")
    assert (tmp_path / "after" / "report" / "comparison.html").exists()
    (mean,) = [figure for figure in content["figures"] if figure["key"] == "delivery_seconds.mean"]
    if content["verdict"] == "inconclusive" and not content["reasons"]:
        assert "less than this machine can detect" in mean["reason"]
