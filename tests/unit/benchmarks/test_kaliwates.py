"""What would have saved Kaliwates: ranking, table and chart from made-up runs, and finished experiments read from simulated cells."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from benchmarks.kaliwates import __main__ as command
from benchmarks.kaliwates import chart, tables
from benchmarks.kaliwates.remedies import Remedy, RemedyResults, RemedyRun, read_remedies, read_results
from harness.base.errors import HarnessError, UsageError
from harness.scenario.experiment import Experiment, load_experiment

DAY_S = 86_400.0


def run(seed: int, at_news: float, late_s: float = 0.0, wasted: int = 0) -> RemedyRun:
    return RemedyRun(
        seed=seed, at_news_ratio=at_news, at_deadline_ratio=min(at_news + 0.1, 1.0), recapitulation_late_s=late_s,
        amplification=1.5, wasted_work=wasted,
    )  # fmt: skip


def remedy(name: str, *at_news: float, late_s: float = 0.0, wasted: int = 0) -> Remedy:
    runs = [run(seed, ratio, late_s, wasted) for seed, ratio in enumerate(at_news, 1)]
    return Remedy(name=name, measured=runs, simulated=runs)


def results(*remedies: Remedy) -> RemedyResults:
    return RemedyResults(at="2026-11-30T00:00:00+00:00", host={"cpu": "a CPU", "cores": 2}, deadline_hours=72, remedies=list(remedies))  # fmt: skip


MADE = results(
    remedy("as it was", 0.20, 0.22, late_s=9 * DAY_S),
    remedy("jitter", 0.20, 0.21, late_s=8 * DAY_S),
    remedy("outbox", 1.0, 1.0, wasted=12),
    remedy("workers", 1.0, 1.0, wasted=3),
)


def test_most_stations_rank_first_and_among_equals_the_least_wasted_work():
    assert [one.name for one in MADE.ranked] == ["workers", "outbox", "as it was", "jitter"]


def test_the_table_has_measured_beside_simulated_in_order_of_rank():
    lines = tables.markdown(MADE).splitlines()
    assert "the mean of 2 runs each" in lines[0]
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in lines[2:]]
    assert [row[0] for row in rows] == ["", "---", "workers", "outbox", "as it was", "jitter"]
    assert rows[4] == ["as it was", "21 %", "*21 %*", "31 %", "*31 %*", "9 d", "*9 d*", "1.50", "*1.50*", "0", "*0*"]
    assert rows[2][5] == "on time"


def test_a_change_that_was_measured_later_says_when_and_where():
    more = MADE.with_remedy(remedy("new", 0.9, 0.9), "2026-12-24T00:00:00+00:00", {"cpu": "another CPU", "cores": 4})
    first = tables.markdown(more).splitlines()[0]
    assert first.startswith("Measured on 2026-11-30 (a CPU, 2 cores)")
    assert "`new` was measured on 2026-12-24 (another CPU, 4 cores)" in first
    assert [one.name for one in more.remedies] == [*(one.name for one in MADE.remedies), "new"]
    assert "was measured" not in tables.markdown(MADE)
    again = more.with_remedy(remedy("new", 1.0, 1.0), "2026-12-25", {})
    assert len(again.remedies) == len(more.remedies)


def test_only_the_variants_that_are_missing_are_run():
    (whole, _) = load_experiment(command.EXPERIMENT)
    done = {variant.name for variant in whole.variants[:-1]}
    selected = Experiment.model_validate(tomllib.loads(command.select_variants(command.EXPERIMENT, done)))
    assert selected.variants == whole.variants[-1:]
    assert (selected.base, selected.seeds) == (whole.base, whole.seeds)


def test_the_sentence_counts_the_changes_that_brought_nearly_every_station_through():
    assert chart.finding(MADE) == (
        "As it was, 21 % of stations were complete at 48 h; 2 of 3 changes make it 95 % or more"
    )


def test_publishing_writes_page_chart_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = tmp_path / "page.md"
    page.write_text("before <!-- kaliwates bench: begin -->old<!-- kaliwates bench: end --> after", "utf-8")
    for name, path in (("PAGE", page), ("DATA", tmp_path / "kaliwates.json"), ("CHART", tmp_path / "chart.png")):
        monkeypatch.setattr(command, name, path)
    command.publish(MADE)
    assert read_results(tmp_path / "kaliwates.json") == MADE
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert tables.markdown(MADE) in page.read_text("utf-8")
    (tmp_path / "kaliwates.json").write_text("{}", "utf-8")
    with pytest.raises(HarnessError, match=r"kaliwates\.json"):
        read_results(tmp_path / "kaliwates.json")


def experiment(folder: Path, *, simulated: bool = True, cells: int = 1, valid: bool = True) -> Path:
    cell = {
        "variant": "as it was", "seed": 1, "run": "one", "valid": valid, "completed_at": {"48": 0.2},
        "completed_by_deadline_ratio": 0.2, "delivery_p50_s": None, "delivery_p95_s": None, "never_arrived": 0,
        "amplification": 2.0, "resent_ratio": None, "wasted_work": 1, "recovered_after_s": None, "never_recovered": True,
        "safety": True, "curve_t_s": [], "curve": [],
    }  # fmt: skip
    variant = {"name": "as it was", "set": {}, "cells": [cell] * cells, "mean": {}, "difference": {}}
    found = {
        "name": "saved", "title": "Saved?", "base": "kaliwates-incident", "seeds": [1], "at_s": [48.0], "deadline_s": 72.0,
        "time_scale": 3600.0, "variants": [variant], "planned_cells": 1, "simulated": simulated,
    }  # fmt: skip
    folder.mkdir()
    (folder / "experiment.json").write_text(json.dumps(found), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cells": 0}, "0 of 1 cells are finished"),
        ({"valid": False}, "INVALID cells prove nothing; run them again: as it was, seed 1"),
        ({"simulated": True}, "expected measured cells"),
    ],
)
def test_evenings_that_prove_nothing_are_refused(tmp_path: Path, changed: dict[str, bool], told: str):
    measured = experiment(tmp_path / "measured", **{"simulated": False, **changed})
    with pytest.raises(UsageError, match=told):
        read_remedies(measured, experiment(tmp_path / "simulated"))
    with pytest.raises(UsageError, match="nowhere"):
        read_remedies(tmp_path / "nowhere", measured)


def test_predicting_again_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    played = {one.name: [run(9, 0.5)] for one in MADE.remedies}
    monkeypatch.setattr(command, "_simulate", lambda out: out)
    monkeypatch.setattr(command, "read_simulated", lambda _: played)
    again = command._predict_again(MADE, tmp_path)
    assert [one.measured for one in again.remedies] == [one.measured for one in MADE.remedies]
    assert [one.simulated for one in again.remedies] == [[run(9, 0.5)]] * len(MADE.remedies)
    played["another"] = []
    with pytest.raises(UsageError, match=r"other variants by now .*another"):
        command._predict_again(MADE, tmp_path)
