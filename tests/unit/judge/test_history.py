"""Earlier runs: which are found, in which order, and which figures changed by more than noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.comparable import COMPARABLE_FIGURES
from harness.judge.compare.noise import FigureNoise, Noise, noise_key
from harness.judge.history import make_history
from harness.judge.past_runs import HISTORY_FIGURES, PastRun, RunFilter, find_runs
from reports.history import history_finding, render_history
from reports.run_list import history_rows, run_rows
from tests.support.run_builder import RunBuilder

P95, GOODPUT, AMPLIFICATION, _ = HISTORY_FIGURES


def make_run(
    root: Path,
    called: str,
    at_s: float,
    verdict: str = "pass",
    p95: float | None = 2.0,
    goodput: float = 30.0,
    **record: Any,
) -> None:
    folder = RunBuilder(root / called, t0_epoch=at_s, **record).finish(at_s=1.0)
    summary = {
        "delivery_seconds": {"p95": p95}, "rates": {"goodput_per_s": goodput}, "attempts": {"amplification": 1.5},
        "stations": {"completed_by_deadline_ratio": 1.0},
    }  # fmt: skip
    folder.summary.write_text(json.dumps(summary), "utf-8")
    if verdict:
        folder.verdict.write_text(json.dumps({"verdict": verdict}), "utf-8")


def noise_of(run: PastRun, log_sd: float = 0.01) -> Noise:
    figures = {key: FigureNoise(values=[1.0] * 10, log_sd=log_sd) for key in HISTORY_FIGURES}
    key = noise_key(run.record)
    return Noise(key=key, made_at="", scenario="made", seed=1, runs=10, versions={}, host={}, figures=figures)


def names(runs: list[PastRun]) -> list[str]:
    return [run.name for run in runs]


def test_runs_are_found_in_the_order_of_their_start(tmp_path: Path) -> None:
    make_run(tmp_path, "b", 2000.0)
    make_run(tmp_path, "a", 3000.0, verdict="")
    make_run(tmp_path, "c", 1000.0)
    (tmp_path / "something else").mkdir()
    (tmp_path / "file").touch()
    found = find_runs(tmp_path)
    assert names(found) == ["c", "b", "a"]
    assert [run.verdict for run in found] == ["pass", "pass", ""]
    assert found[0].figures[P95] == 2.0
    assert run_rows(found)[0][:5] == ["NOT JUDGED", "a", "made", "1970-01-01 00:50:00", "100 %"]


def test_a_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert find_runs(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RunFilter(), ["old", "new", "twin"]),
        (RunFilter(scenario="made"), ["old", "new"]),
        (RunFilter(verdict="fail"), ["new"]),
        (RunFilter(labels={"version": "2"}), ["new", "twin"]),
        (RunFilter(labels={"version": "2", "host": "x"}), []),
        (RunFilter(simulated=False), ["old", "new"]),
        (RunFilter(simulated=True, labels={"version": "2"}), ["twin"]),
    ],
)
def test_a_filter_chooses_by_scenario_verdict_labels_and_kind(
    tmp_path: Path, wanted: RunFilter, found: list[str]
) -> None:
    make_run(tmp_path, "old", 1000.0, labels={"version": "1"})
    make_run(tmp_path, "new", 2000.0, "fail", labels={"version": "2"})
    make_run(tmp_path, "twin", 0.0, name="other", simulated=True, labels={"version": "2"})
    assert names(find_runs(tmp_path, wanted)) == found


def test_a_change_within_the_noise_is_none_and_one_beyond_it_is_marked(tmp_path: Path) -> None:
    for number, (p95, goodput) in enumerate([(2.0, 30.0), (2.02, 29.9), (3.0, 20.0), (1.5, 30.0)]):
        make_run(tmp_path, f"run-{number}", 1000.0 * (number + 1), p95=p95, goodput=goodput)
    runs = find_runs(tmp_path)
    entries = make_history(runs, lambda _: noise_of(runs[0]))
    assert [[(one.key, one.better) for one in entry.changes] for entry in entries] == [
        [],
        [],
        [(P95, False), (GOODPUT, False)],
        [(P95, True), (GOODPUT, True)],
    ]
    assert entries[2].changes[0].ratio == pytest.approx(3.0 / 2.02 - 1)
    assert history_rows(entries)[2][-1] == "worse: p95 delivery +49 %; worse: goodput -33 %"
    assert history_finding(entries) == "Of 4 runs 4 passed; 2 runs changed a figure beyond the noise"


def test_without_a_calibration_nothing_is_called_a_change(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 1000.0)
    make_run(tmp_path, "b", 2000.0, p95=50.0)
    entries = make_history(find_runs(tmp_path), lambda _: None)
    assert [(entry.changes, entry.is_calibrated) for entry in entries] == [((), None), ((), False)]
    assert history_finding(entries) == "Of 2 runs 2 passed; what is noise is not known: harness calibrate measures it"


def test_a_run_is_compared_with_the_latest_valid_one_of_the_same_seed(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 1000.0, seed=1)
    make_run(tmp_path, "other seed", 2000.0, seed=2, p95=9.0)
    make_run(tmp_path, "not valid", 3000.0, "invalid", seed=1, p95=9.0)
    make_run(tmp_path, "b", 4000.0, seed=1)
    runs = find_runs(tmp_path)
    entries = make_history(runs, lambda _: noise_of(runs[0]))
    assert [entry.changes for entry in entries] == [(), (), (), ()]
    assert [entry.is_calibrated for entry in entries] == [None, None, None, True]


def test_figures_that_are_missing_are_no_change(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 1000.0, p95=None)
    make_run(tmp_path, "b", 2000.0)
    runs = find_runs(tmp_path)
    assert make_history(runs, lambda _: noise_of(runs[0]))[1].changes == ()
    assert run_rows(runs)[1][5] == ""


@pytest.mark.heavy
def test_the_page_has_every_run_and_its_labels(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 1000.0, labels={"version": "<1>"})
    make_run(tmp_path, "b", 2000.0, "fail", p95=None)
    page = render_history(tmp_path / "out", "made", make_history(find_runs(tmp_path), lambda _: None))
    html = page.read_text("utf-8")
    assert "version=&lt;1&gt;" in html
    assert "1970-01-01 00:33:20" in html
    assert "1 passed, 1 failed" in html
    assert (page.parent / "history.svg").exists()


def test_the_units_of_the_figures_are_those_of_a_comparison():
    assert {key: COMPARABLE_FIGURES[key].unit for key in HISTORY_FIGURES} == HISTORY_FIGURES
