"""What an experiment says: pairing, intervals, pace, table and charts."""

import signal
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.analysis.experiment import (
    CellFigures,
    ExperimentFigures,
    compute_paired_difference,
    compute_variant_figures,
)
from harness.base.errors import UsageError
from harness.base.signals import Interruption
from harness.runner.experiment import ExperimentRunner, TimeLeftEstimator, max_cell_s
from harness.scenario.experiment import load_experiment
from reports.experiment import completion_band, draw_curves, draw_rank, finding, headers, rows


def cell(variant, seed, share, **changed):
    figures = {
        "run": f"{variant}-{seed}", "valid": True, "completed_at": {"48": share / 2}, "completed_by_deadline_ratio": share,
        "delivery_p50_s": 1.0, "delivery_p95_s": None, "never_arrived": 5, "amplification": 2.0, "resent_ratio": 0.5,
        "wasted_work": 7, "recovered_after_s": None, "never_recovered": False, "safety": True, "curve_t_s": [0.0, 36.0, 72.0],
        "curve": [0.0, share / 2, share],
    }  # fmt: skip
    return CellFigures(variant=variant, seed=seed, **{**figures, **changed})


def experiment(**shares):
    first = [cell("was", seed, share) for seed, share in enumerate(shares["was"])]
    variants = [
        compute_variant_figures(name, {}, [cell(name, seed, share) for seed, share in enumerate(values)], first)
        for name, values in shares.items()
    ]
    return ExperimentFigures(
        name="x", title="", base="kaliwates", seeds=[0, 1, 2], at_s=[48.0], deadline_s=72.0, time_scale=3600.0,
        variants=variants, planned_cells=sum(map(len, shares.values())),
    )  # fmt: skip


def test_a_paired_difference_has_students_interval():
    found = compute_paired_difference([0.1, 0.2, 0.3])
    assert found.mean == pytest.approx(0.2)
    # t(0.975, 2) = 4.3027; s = 0.1; 4.3027 * 0.1 / sqrt(3) = 0.24842
    assert [found.low, found.high] == pytest.approx([0.2 - 0.24842, 0.2 + 0.24842], abs=1e-4)


def test_one_seed_has_no_interval():
    found = compute_paired_difference([0.1])
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high, found.seeds) == (None, None, 1)


def test_differences_are_paired_by_seed_not_by_mean():
    figures = experiment(was=[0.1, 0.5, 0.9], better=[0.3, 0.7, 1.0])
    found = figures.variants[1].difference["completed_by_deadline_ratio"]
    assert found.mean == pytest.approx(0.5 / 3)
    assert found.low > 0  # the seeds differ far more among themselves than each differs from its twin


def test_a_figure_that_a_seed_lacks_has_neither_mean_nor_difference():
    figures = experiment(was=[0.1, 0.5, 0.9], better=[0.3, 0.7, 1.0])
    assert figures.variants[1].mean["delivery_p95_s"] is None
    assert figures.variants[1].difference["delivery_p95_s"] is None


def test_the_table_speaks_in_election_hours_and_names_what_never_came():
    figures = experiment(was=[0.2, 0.2], better=[0.8, 0.9])
    assert headers(figures)[1] == "complete at 48 h"
    was, better = (dict(zip(headers(figures), row, strict=True)) for row in rows(figures))
    assert (was["complete at 48 h"], was["at the deadline"], was["p95"], was["against the first"]) == (
        "10 %",
        "20 %",
        "never",
        "",
    )
    assert better["against the first"].startswith("+65 points (")
    assert better["safety"] == "nothing lost"


def test_a_lost_page_and_an_invalid_run_are_not_hidden():
    lost = [cell("was", 0, 0.5, safety=False), cell("was", 1, 0.5, valid=False)]
    figures = experiment(was=[0.5, 0.5])
    figures = figures.model_copy(update={"variants": [compute_variant_figures("was", {}, lost, lost)]})
    assert rows(figures)[0][-1] == "LOST; 1 of 2 INVALID"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([(False, False, 3.0), (False, False, 5.0)], "5 s"),
        ([(True, False, None), (True, None, None)], "never"),
        ([(True, True, None), (True, True, None)], "never (metastable)"),
        ([(True, True, None), (True, False, None)], "never (metastable in 1)"),
        ([(True, True, None), (False, False, 5.0)], "never in 1 of 2 (metastable)"),
    ],
)
def test_the_table_says_how_often_a_variant_never_recovered_and_stayed_down(told, said):
    cells = [
        cell("was", seed, 0.5, never_recovered=never, metastable=metastable, recovered_after_s=after_s)
        for seed, (never, metastable, after_s) in enumerate(told)
    ]
    figures = experiment(was=[0.5, 0.5])
    figures = figures.model_copy(update={"variants": [compute_variant_figures("was", {}, cells, cells)]})
    assert said in rows(figures)[0]


def test_the_finding_names_the_best_against_the_first():
    assert finding(experiment(was=[0.2, 0.2], better=[0.8, 0.9])) == (
        "With “better” 85 % of stations completed by the deadline, with “was” 20 %"
    )
    assert finding(experiment(was=[0.2, 0.2], worse=[0.1, 0.1])) == (
        "No variant completed more stations by the deadline than “was”: 20 %"
    )
    assert finding(experiment(was=[0.2, 0.2], a=[0.9, 0.9], b=[0.9, 0.9])).startswith("With “a” and “b” 90 % of")
    assert finding(experiment(was=[0.2, 0.2], a=[0.9, 0.9], b=[0.9, 0.9], c=[0.9, 0.9])).startswith(
        "With “a” and 2 more variants 90 % of"
    )
    assert finding(experiment(was=[0.2])) == "“was” completed 20 % of the stations by the deadline"


def test_a_tie_is_called_one_and_a_difference_within_the_noise_may_be_chance():
    assert finding(experiment(was=[1.0, 1.0], other=[1.0, 1.0])) == (
        "The variants tie: each completed 100 % of the stations by the deadline"
    )
    assert finding(experiment(was=[0.1, 0.5], better=[0.7, 0.4])) == (
        "With “better” 55 % of stations completed by the deadline, with “was” 30 %; with 2 seeds that may be chance"
    )


def test_nothing_is_concluded_from_a_part_of_the_matrix_or_from_an_invalid_run():
    assert finding(experiment(was=[])) == "No run has finished yet"
    whole = experiment(was=[0.2, 0.2], better=[0.8, 0.9])
    part = whole.model_copy(update={"planned_cells": 6})
    assert finding(part) == "4 of 6 runs have finished: the variants are compared when all have"
    bad = [cell("was", 0, 0.5), cell("was", 1, 0.5, valid=False)]
    figures = whole.model_copy(update={"variants": [compute_variant_figures("was", {}, bad, bad)], "planned_cells": 2})
    assert finding(figures) == "Nothing can be concluded: 1 of 2 runs is INVALID"


def test_a_band_spans_the_seeds_and_a_run_that_ended_early_stays_where_it_was():
    early = cell("a", 0, 1.0, curve_t_s=[0.0, 10.0], curve=[0.0, 1.0])
    seconds, least, median, most = completion_band([early, cell("a", 1, 0.5)], 72.0)
    assert seconds[-1] == 72.0
    assert (least[-1], median[-1], most[-1]) == (0.5, 0.75, 1.0)
    assert (least <= median).all()
    assert (median <= most).all()


@pytest.mark.heavy
def test_the_charts_draw_every_variant_with_its_values():
    figures = experiment(was=[0.2, 0.2], better=[0.8, 0.9], best=[1.0, 1.0])
    drawn = {line.get_gid(): line for axes in draw_curves(figures).axes for line in axes.lines}
    assert set(drawn) == {"first", "was", "better", "best"}
    assert np.asarray(drawn["better"].get_ydata())[-1] == pytest.approx(0.85)
    dots = {
        line.get_gid(): line.get_xdata() for axes in draw_rank(figures).axes for line in axes.lines if line.get_gid()
    }
    assert np.asarray(dots["better"]).tolist() == [0.8, 0.9]


def test_an_experiment_without_a_finished_cell_is_drawn_in_words():
    figures = experiment(was=[])
    assert draw_curves(figures).texts[0].get_text() == "No run has finished yet"
    assert draw_rank(figures).texts[0].get_text() == "No run has finished yet"


def matrix_cells(tmp_path):
    path = tmp_path / "m.toml"
    variants = "".join(f'[[variants]]\nname = "v{number}"\nset = {{ "deadline" = "{deadline}s" }}\n' for number, deadline in enumerate((20, 20, 60)))  # fmt: skip
    path.write_text(f'name = "m"\nbase = "smoke"\nseeds = {list(range(10))}\n{variants}', "utf-8")
    return load_experiment(str(path))[1]


def test_before_the_first_cell_the_time_left_is_the_longest_that_they_can_take(tmp_path):
    cells = matrix_cells(tmp_path)
    assert TimeLeftEstimator().left_s(cells) == pytest.approx(sum(map(max_cell_s, cells)))
    assert not TimeLeftEstimator().is_known


def test_the_time_left_of_thirty_cells_comes_within_a_fifth_once_each_variant_has_run(tmp_path):
    """Cells of one variant differ by up to a tenth from seed to seed; two variants end long before their deadlines."""
    cells = matrix_cells(tmp_path)
    rng = np.random.default_rng(4)
    typical = {"v0": 14.0, "v1": 31.0, "v2": 71.0}
    took = [typical[cell.variant.name] * rng.uniform(0.9, 1.1) for cell in cells]
    pace = TimeLeftEstimator()
    for done, (each, seconds) in enumerate(zip(cells, took, strict=True)):
        if done >= 3:
            assert pace.left_s(cells[done:]) == pytest.approx(sum(took[done:]), rel=0.2)
        pace.add(each, seconds)


def test_the_table_says_how_late_the_recapitulation_is_where_a_scenario_has_one():
    late = {"was": [200_000.0, 220_000.0], "better": [0.0, 7_200.0]}
    cells = {
        name: [cell(name, seed, 0.5, recapitulation_late_s=value) for seed, value in enumerate(values)]
        for name, values in late.items()
    }
    variants = [compute_variant_figures(name, {}, own, cells["was"]) for name, own in cells.items()]
    figures = experiment(was=[0.5]).model_copy(update={"variants": variants})
    assert headers(figures)[-1] == "recapitulation late by"
    assert [row[-1] for row in rows(figures)] == ["2 d 10 h", "1 h"]
    difference = figures.variants[1].difference["recapitulation_late_s"]
    assert difference is not None
    assert difference.mean == -206_400.0


def test_a_table_without_a_recapitulation_has_no_column_for_it():
    figures = experiment(was=[0.2], better=[0.8])
    assert headers(figures)[-1] == "safety"
    assert all(len(row) == len(headers(figures)) for row in rows(figures))


def test_each_cell_is_reset_before_it_runs_and_runs_against_the_server_that_was_admitted(tmp_path, monkeypatch):
    events: list[tuple[Any, ...]] = []

    class Recorded:
        def __init__(self, spec, *_):
            self.spec = spec

        def execute(self):
            events.append(("run", self.spec.folder.path.name, self.spec.external))
            raise Interruption(signal.SIGINT)

    class Reset:
        def run(self, title, _):
            events.append(("between", title))

    monkeypatch.setattr("harness.runner.experiment.Run", Recorded)
    loaded, cells = load_experiment("metastability")
    server: Any = SimpleNamespace(name="theirs")
    reset: Any = Reset()
    runner = ExperimentRunner(loaded, cells[:1], tmp_path, [], lambda *_: server, reset)
    nobody: Any = SimpleNamespace(received=None)
    assert not runner.run(lambda _: nobody_watching, lambda _: None, nobody)
    assert events == [("between", cells[0].name), ("run", cells[0].name, server)]


nobody_watching: Any = SimpleNamespace(log=lambda _: None)


@pytest.mark.parametrize(
    ("own", "recorded", "target", "why"),
    [
        (True, "http://127.0.0.1:1", "http://127.0.0.1:8080", "is a run against the mock"),
        (False, "http://127.0.0.1:8080", None, "is a run against http://127.0.0.1:8080"),
        (False, "http://127.0.0.1:8080", "http://127.0.0.1:8081", "is a run against http://127.0.0.1:8080"),
        (False, "http://127.0.0.1:8080", "http://127.0.0.1:8080/", ""),
        (True, "http://127.0.0.1:1", None, ""),
    ],
)
def test_a_folder_with_runs_against_another_server_is_not_continued(tmp_path, monkeypatch, own, recorded, target, why):
    loaded, cells = load_experiment("metastability")
    record = SimpleNamespace(
        simulated=False, own_server=own, target=recorded, scenario=cells[0].scenario.resolved(), ended=None
    )
    monkeypatch.setattr("harness.runner.experiment._record", lambda _: record)
    runner = ExperimentRunner(loaded, cells[:1], tmp_path, [])
    with pytest.raises(UsageError, match=why) if why else nullcontext():
        runner.check_folder(target=target)
