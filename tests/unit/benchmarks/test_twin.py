"""The fidelity bench: goals, tables and chart from made-up pairs, and a session whose runs are simulated too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results_file import write_results
from benchmarks.twin import __main__ as command
from benchmarks.twin import chart, session, tables
from benchmarks.twin.fidelity import (
    GOALS,
    FidelityCell,
    FidelityResults,
    Goal,
    Group,
    chance_misses,
    is_within,
    load_results,
    score,
    score_with_defaults,
)
from benchmarks.twin.session import FidelitySession, PlannedCell, StoppedError, load_cells
from harness.analysis.against import FigurePair, RunPair
from harness.analysis.run_figures import FIGURES, RunFigures, ThresholdOutcome
from harness.base.errors import UsageError
from harness.run_folder.layout import RunFolder
from harness.runner.simulated_cells import SimulatedCell, play_cell
from harness.scenario.loader import override_resolved
from harness.scenario.scenario import Scenario
from harness.scenario.simulation import SimulationCosts
from harness.simulate.unsupported import find_unsupported

USUAL: dict[str, float | None] = {
    **dict.fromkeys(FIGURES), "completed_by_deadline_ratio": 1.0, "finished_s": 10.0, "delivery_p50_s": 0.1,
    "delivery_p95_s": 1.0, "amplification": 1.2, "wasted_work": 0.0,
}  # fmt: skip


def figures(verdict: str = "pass", observed: float = 1.0, **values: float | None) -> RunFigures:
    threshold = ThresholdOutcome(assertion="p95(delivery_seconds) < 3s", observed=observed, passed=observed < 3)
    return RunFigures(
        seed=1, verdict=verdict, safety=True, values={**USUAL, **values}, by_outcome={"accepted": 9},
        thresholds=[threshold], curve_t_s=[], curve=[],
    )  # fmt: skip


def cell(
    name: str,
    measured: RunFigures,
    predicted: RunFigures,
    group: Group = "open",
    default: dict[str, Any] | None = None,
    **varied: list[float | None],
) -> FidelityCell:
    pair = RunPair(run=name, name="twin", seed=1, deadline_s=20.0, measured=measured, predicted=predicted)
    costs = default or predicted.values
    return FidelityCell(
        name=name, group=group, tries=1, pair=pair, default_costs=costs, varied={key: varied.get(key, []) for key in GOALS}
    )  # fmt: skip


def results(*cells: FidelityCell) -> FidelityResults:
    host = {"cpu": "Some CPU", "cores": 2}
    return FidelityResults(
        at="2026-11-29T20:00:00Z", host=host, load_average=0.1, seconds=600.0, costs={"send": '"800MB/s"'}, cells=list(cells)
    )  # fmt: skip


def pair(predicted: float | None, measured: float | None, unit: str = "s") -> FigurePair:
    return FigurePair(key="key", title="title", unit=unit, measured=measured, predicted=predicted)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (pair(1.10, 1.0), True),
        (pair(1.11, 1.0), False),
        (pair(0.89, 1.0), False),
        (pair(None, None), None),
        (pair(None, 1.0), False),
        (pair(1.0, None), False),
    ],
)
def test_a_prediction_is_within_ten_percent_or_it_is_not(one: FigurePair, expected: bool | None):
    assert is_within(Goal("p50", 0.10, "10 %"), one) is expected


def test_ratios_are_compared_in_points_and_small_counts_by_their_difference():
    stations = GOALS["completed_by_deadline_ratio"]
    assert is_within(stations, pair(0.33, 0.30, "ratio"))
    assert not is_within(stations, pair(0.34, 0.30, "ratio"))
    wasted = GOALS["wasted_work"]
    assert is_within(wasted, pair(12.0, 3.0, ""))
    assert is_within(wasted, pair(9.0, 0.0, ""))
    assert not is_within(wasted, pair(120.0, 100.0, ""))


def test_a_score_counts_the_goals_met_and_names_the_worst_cell():
    near = cell("near", figures(), figures(finished_s=10.2))
    far = cell("far", figures(), figures(finished_s=12.0), default={**USUAL, "finished_s": 10.0})
    found = score("finished_s", [near, far])
    assert (found.met, found.counted, found.worst, found.misses) == (1, 2, far, [far])
    assert found.median_error == pytest.approx(0.11)
    assert score_with_defaults("finished_s", [near, far]) == 2


def test_a_miss_is_chance_where_a_small_change_of_the_constants_reaches_the_measured_value():
    reached = cell("reached", figures(), figures(finished_s=12.0), finished_s=[11.0, 9.5])
    beyond = cell("beyond", figures(), figures(finished_s=12.0), finished_s=[11.0, 10.5])
    assert chance_misses("finished_s", [reached, beyond]) == [reached]
    page = tables.markdown(results(reached, beyond))
    assert "- last page delivered: reached (by chance); beyond" in page
    assert "| last page delivered | 5 % | 0 of 2 | 1 |" in page


def test_never_is_later_than_any_time():
    never = cell("never", figures(finished_s=None), figures(finished_s=19.0), finished_s=[18.0, None])
    assert never.is_chance("finished_s")
    always = cell("always", figures(finished_s=None), figures(finished_s=19.0), finished_s=[18.0, 19.5])
    assert not always.is_chance("finished_s")


def test_constants_are_varied_together():
    scaled = session.scale_costs(SimulationCosts(), 1.5)
    assert scaled.commit.quantile(0.5) == pytest.approx(1.5 * SimulationCosts().commit.quantile(0.5))
    assert scaled.connect.quantile(0.5) == pytest.approx(1.5 * SimulationCosts().connect.quantile(0.5), abs=1e-6)
    assert scaled.send == pytest.approx(SimulationCosts().send / 1.5, rel=0.001)
    assert scaled.restart == SimulationCosts().restart


def test_a_cell_whose_figure_is_near_a_limit_is_known_for_it():
    assert cell("near", figures(observed=2.8), figures()).is_near_limit
    assert not cell("clear", figures(observed=2.6), figures()).is_near_limit


def test_the_tables_name_what_misses_its_goal():
    page = tables.markdown(results(
        cell("good", figures(), figures(delivery_p50_s=0.105)),
        cell("bad", figures(), figures("fail", delivery_p50_s=0.2), group="held out"),
    ))  # fmt: skip
    assert "| delivery p50 | 10 % | 1 of 2 | 0 | 0 of 1 | 1 of 2 | 52 % | +100.0 % (bad) |" in page
    assert "**200 ms for 100 ms (+100.0 %)**" in page
    assert "**FAIL for PASS**" in page
    assert "The verdict is the same in 1 of the 2 cells" in page
    assert "- delivery p50: bad" in page


def test_every_row_of_a_table_has_as_many_cells_as_its_headers():
    page = tables.markdown(results(cell("one", figures(), figures(finished_s=None)), cell("two", figures(), figures())))
    blocks = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 3
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1, block[0]


def test_an_invalid_run_is_named_and_left_out_of_the_goals():
    page = tables.markdown(results(
        cell("good", figures(), figures()), cell("lost", figures("invalid"), figures(finished_s=99.0), group="held out")
    ))  # fmt: skip
    assert "Without a valid run and left out of the goals: lost." in page
    assert "| last page delivered | 5 % | 1 of 1 | 0 | 0 of 0 |" in page
    assert "No goal is missed in any cell." in page


def test_results_are_read_back_as_they_were_written(tmp_path: Path):
    made = results(cell("one", figures(), figures()))
    write_results(tmp_path / "twin.json", made)
    assert load_results(tmp_path / "twin.json") == made
    (tmp_path / "twin.json").write_text("{}", "utf-8")
    with pytest.raises(UsageError, match="not the results of the twin benchmark"):
        load_results(tmp_path / "twin.json")


def test_the_chart_has_a_panel_per_goal_and_a_point_per_cell():
    drawn = chart.draw(results(
        cell("good", figures(), figures()), cell("bad", figures(), figures(delivery_p50_s=0.3, finished_s=None))
    ))  # fmt: skip
    points = {axes.get_title("left").split(" (")[0]: len(axes.collections) - 1 for axes in drawn.axes}
    assert points == {
        "stations by the deadline": 2, "last page delivered": 1, "delivery p50": 2, "delivery p95": 2,
        "amplification": 2, "wasted work": 2,
    }  # fmt: skip


def test_there_are_enough_cells_and_half_of_them_are_held_out():
    cells = load_cells()
    groups = [cell.group for cell in cells]
    assert len(cells) >= 24
    assert groups.count("held out") >= len(cells) / 2
    assert len({cell.slug for cell in cells}) == len(cells)
    assert not [problem for cell in cells for problem in find_unsupported(cell.scenario)]


def test_the_cells_vary_what_they_are_said_to_vary():
    scenarios = [cell.scenario for cell in load_cells()]
    workers = {scenario.server.workers for scenario in scenarios}
    assert {1, 2, 8, 16} <= workers
    assert {scenario.client.protocol for scenario in scenarios} == {"multipart", "put", "tus"}
    assert len({scenario.client.retry.strategy for scenario in scenarios}) >= 8
    assert len({scenario.server.shed for scenario in scenarios}) == 6
    assert len({fault.kind for scenario in scenarios for fault in scenario.faults}) >= 8
    assert len({scenario.arrivals.kind for scenario in scenarios}) >= 4


# --- sessions


def simulate(folder: RunFolder, scenario: Scenario) -> None:
    """In place of a real run: as a simulation."""
    play_cell(SimulatedCell(scenario.resolved(), folder.path))


def few_cells() -> list[PlannedCell]:
    """Three cells with a quarter of their stations: 210 pages bear a p95."""
    chosen = [cell for cell in load_cells() if cell.name in {"base", "surge", "vegas"}]
    return [
        replace(cell, scenario=override_resolved(cell.scenario.resolved(), ["stations.count=70"])) for cell in chosen
    ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[PlannedCell]:
    """A session of three cells, simulated in this process: others take seconds to start."""
    cells = few_cells()
    monkeypatch.setattr(session, "play_cells", lambda planned: [play_cell(one) for one in planned])
    monkeypatch.setattr(session, "load_cells", lambda: cells)
    monkeypatch.setattr(session, "VARIATIONS", (1.5,))
    return cells


def make_session(folder: Path, drive: session.Drive, said: list[str]) -> FidelitySession:
    return FidelitySession(folder, drive, said.append, lambda _: SimulationCosts())


@pytest.mark.heavy
def test_a_session_runs_each_cell_once_and_predicts_it(small: list[PlannedCell], tmp_path: Path):
    found = make_session(tmp_path, simulate, []).run()
    assert [cell.name for cell in found.cells] == [cell.name for cell in small]
    assert [cell.tries for cell in found.cells] == [1, 1, 1]
    for one in found.cells:  # a simulation predicts itself
        assert one.pair.figure("delivery_p95_s").error in {0.0, None}
        assert len(one.varied["delivery_p95_s"]) == 1
    base = found.cells[0]
    assert base.varied["delivery_p50_s"] != [base.pair.predicted.values["delivery_p50_s"]]
    assert base.default_costs == base.pair.predicted.values, "the fit of this session gives the defaults"
    assert {path.name for path in tmp_path.iterdir()} == {"calibration", "base", "surge", "vegas"}


@pytest.mark.heavy
def test_recorded_cells_are_predicted_again_and_keep_what_was_measured(small: list[PlannedCell], tmp_path: Path):
    found = make_session(tmp_path, simulate, []).run()
    stale = [
        one.model_copy(update={"pair": one.pair.model_copy(update={"predicted": figures()}), "default_costs": {}, "varied": {}})
        for one in found.cells
    ]  # fmt: skip
    assert session.predict_again(found.model_copy(update={"cells": stale})) == found


def test_recorded_cells_that_are_not_planned_are_named(small: list[PlannedCell]):
    recorded = results(*(cell(one.name, figures(), figures()) for one in small))  # all of seed 1
    with pytest.raises(UsageError, match=r"not those of open.toml and held-out.toml: .*vegas \(seed 1\)"):
        session.predict_again(recorded)


@pytest.mark.heavy
def test_an_interrupted_session_goes_on_where_it_stopped(small: list[PlannedCell], tmp_path: Path):
    driven: list[str] = []

    def drive(folder: RunFolder, scenario: Scenario) -> None:
        if driven == ["calibration", "base"]:
            driven.append("interrupted")
            raise StoppedError
        driven.append(folder.path.parent.name)
        simulate(folder, scenario)

    with pytest.raises(StoppedError):
        make_session(tmp_path, drive, []).run()
    make_session(tmp_path, drive, []).run()
    assert driven == ["calibration", "base", "interrupted", "surge", "vegas"]


@pytest.mark.heavy
def test_an_invalid_run_is_repeated_twice_at_most(small: list[PlannedCell], tmp_path: Path):
    def drive(folder: RunFolder, scenario: Scenario) -> None:
        simulate(folder, scenario)
        number = int(folder.path.name.removeprefix("try-"))
        if folder.path.parent.name == "vegas" or (folder.path.parent.name == "surge" and number == 1):
            record = json.loads(folder.run_json.read_text("utf-8"))
            folder.run_json.write_text(json.dumps({**record, "problems": ["the clock stepped"]}), "utf-8")

    said: list[str] = []
    found = make_session(tmp_path, drive, said).run()
    assert [cell.tries for cell in found.cells] == [1, 2, 3]
    assert [cell.is_valid for cell in found.cells] == [True, True, False]
    assert sum("is INVALID: the clock stepped" in line for line in said) == 3


def test_publishing_writes_page_chart_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = tmp_path / "fidelity.md"
    page.write_text("before <!-- twin bench: begin -->old<!-- twin bench: end --> after", "utf-8")
    for name, path in (("PAGE", page), ("DATA", tmp_path / "twin.json"), ("CHART", tmp_path / "twin.png")):
        monkeypatch.setattr(command, name, path)
    made = results(cell("one", figures(), figures()))
    command.publish(made)
    assert load_results(tmp_path / "twin.json") == made
    assert (tmp_path / "twin.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text("utf-8")
    assert text.startswith("before <!-- twin bench: begin -->\n")
    assert tables.markdown(made) in text
