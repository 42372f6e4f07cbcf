import json
import math
import re

import numpy as np
import pytest

from harness.analysis import bootstrap
from harness.analysis.bootstrap import Statistic
from harness.analysis.comparable import JUDGED_FIGURES, SHOWN_FIGURES, MissingFigure, RatioStatistic
from harness.base.errors import ExitCode, UsageError
from harness.judge.compare.compare import _describe_doubt, compare_sides
from harness.judge.compare.figure import Sides, Tolerances, parse_tolerances
from harness.judge.compare.noise import FigureNoise, compute_noise
from harness.judge.compare.results import FigureComparison, RelativeChange
from tests.support.compared_runs import STATIONS, compared, pages, record

P95 = "delivery_seconds.p95"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(bootstrap, "REPLICATES", 300)


def answer(base, run, tolerances=None, noise=None):
    sides = [[side] if not isinstance(side, list) else side for side in (base, run)]
    return compare_sides(Sides(*sides), tolerances or Tolerances(), noise)


def figure(comparison, key):
    (found,) = [figure for figure in comparison.figures if figure.key == key]
    return found


def noise(log_sd, runs=10):
    values = [1.0] * runs
    made = compute_noise(record(), dict.fromkeys(JUDGED_FIGURES, values), "2026-11-23 12:00:00 UTC")
    figures = {key: FigureNoise(values=values, log_sd=log_sd) for key in JUDGED_FIGURES}
    return made.model_copy(update={"figures": figures})


def test_two_runs_that_differ_by_noise_alone_pass():
    found = answer(compared(pages(1)), compared(pages(2)))
    assert (found.verdict, found.exit_code) == ("pass", ExitCode.PASSED)
    assert found.finding == "No figure of 6 is worse by more than 5 %"
    assert {figure.verdict for figure in found.figures if figure.key in JUDGED_FIGURES} == {"pass"}


@pytest.mark.heavy
def test_a_run_that_is_slower_by_a_fifth_fails_and_says_by_how_much():
    found = answer(compared(pages(1)), compared(pages(2, slower=1.2)))
    assert (found.verdict, found.exit_code) == ("fail", ExitCode.FAILED)
    p95 = figure(found, P95)
    assert p95.change.low < 0.2 < p95.change.high
    assert p95.change.change == pytest.approx(0.2, abs=0.03)
    assert "delivery p95 +19 %" in found.finding


@pytest.mark.heavy
def test_a_run_that_is_faster_passes():
    assert answer(compared(pages(1)), compared(pages(2, slower=0.5))).verdict == "pass"


@pytest.mark.heavy
def test_a_change_about_as_large_as_the_tolerance_is_inconclusive():
    found = answer(compared(pages(1)), compared(pages(2, slower=1.05, own=0.1)))
    assert (found.verdict, found.exit_code) == ("inconclusive", ExitCode.INVALID)
    reason = figure(found, P95).reason
    assert reason.startswith(
        "it may or may not be worse by more than 5 %: to tell, compare five runs per side, or runs of"
    )
    needed = re.search(r"runs of about ([\d,]+) stations like these", reason)
    assert needed is not None
    assert STATIONS < int(needed[1].replace(",", "")) < 100 * STATIONS
    assert re.fullmatch(
        r"Can't tell: delivery p50 may be [\d.]+ % (better or|to) [\d.]+ % worse; delivery p95 may be .* worse(; and \d more)?",
        found.finding,
    ), found.finding


def test_several_runs_per_side_that_can_not_tell_say_about_how_many_could():
    sides = [
        [compared(pages(seed, slower=1 + 0.05 * (seed % 3))) for seed in range(first, first + 5)] for first in (1, 6)
    ]
    reason = figure(answer(*sides), P95).reason
    needed = re.search(r"to tell, compare about (\d+) runs per side$", reason)
    assert needed is not None, reason
    assert 6 <= int(needed[1]) < 100


def doubt(better, low, high):
    """The clause on a figure whose change has these bounds; relative, None for no bound."""
    change = RelativeChange(change=0.0, low=low, high=high, how="runs", drawn_from="")
    made = FigureComparison(
        key="rates.goodput_per_s" if better == "higher" else "delivery_seconds.p50", unit="s", better=better, base=1.0,
        run=1.0, change=change, tolerance=0.05, detectable=None, verdict="inconclusive", reason="",
    )  # fmt: skip
    return _describe_doubt(made)


def test_a_doubt_says_how_much_better_or_worse_a_figure_may_be():
    assert doubt("lower", -0.18, 0.21) == "delivery p50 may be 18 % better or 21 % worse"
    assert doubt("higher", -0.21, 0.18) == "goodput may be 18 % better or 21 % worse"
    assert doubt("lower", 0.03, 0.09) == "delivery p50 may be 3 % to 9 % worse"
    assert doubt("lower", -0.18, None) == "delivery p50 may be 18 % better or much worse"
    assert doubt("lower", None, None) == "delivery p50 may be much better or much worse"
    assert doubt("lower", 0.0, 0.09) == "delivery p50 may be no different or 9 % worse"


def in_waves(seed, stations, lengths=0.97):
    """Seconds of stations that wait together for long."""
    steps, waves = np.random.default_rng(seed).normal(size=stations) * 0.6, np.zeros(stations)
    for place in range(1, stations):
        waves[place] = lengths * waves[place - 1] + steps[place]
    return np.repeat(np.exp(waves), 3)


def test_an_interval_too_wide_to_tell_anything_says_why_and_how_many_stations_it_needs():
    found = answer(compared(in_waves(1, 60)), compared(in_waves(2, 60)))
    p50 = figure(found, "delivery_seconds.p50")
    assert (p50.verdict, p50.change.informative_bounds) == ("inconclusive", (None, None))
    assert p50.reason.startswith(
        "60 stations are too few for an interval: they form 3 blocks of about 20 that queue together"
    )
    needed = re.search(r"it takes at least (\d+) stations, or more runs per side$", p50.reason)
    assert needed is not None
    assert 60 < int(needed[1]) < 400
    assert figure(found, "service_seconds.p50").reason == p50.reason  # one that nobody judges says it too
    assert "the last station" in figure(found, "rates.goodput_per_s").reason


def test_no_interval_of_a_judged_or_shown_figure_is_open_without_a_reason():
    found = answer(compared(in_waves(1, 60)), compared(in_waves(2, 60)))
    is_open = [one for one in found.figures if one.change and None in one.change.informative_bounds]
    assert len(is_open) == 3
    assert all(one.reason for one in is_open)


def test_with_more_stations_the_same_waves_can_be_told_apart():
    few, many = ([compared(in_waves(seed, stations, 0.8)) for seed in (0, 1)] for stations in (60, 600))
    assert None in figure(answer(*few), "delivery_seconds.p50").change.informative_bounds
    assert None not in figure(answer(*many), "delivery_seconds.p50").change.informative_bounds


def test_an_interval_that_can_not_leave_out_never_says_so():
    lost = pages(2)
    lost[: round(0.045 * len(lost))] = np.inf  # just not enough to reach the 95th percentile itself
    p95 = figure(answer(compared(pages(1)), compared(lost)), P95)
    assert p95.change.high is None
    assert "it is infinite" in p95.reason


def test_a_share_that_could_be_nothing_says_so():
    waves = in_waves(1, 60)
    waves[9:] = np.inf  # three stations side by side are complete
    assert (
        "it is 0: compare more stations"
        in figure(answer(compared(waves), compared(waves[::-1])), "stations.completed_by_deadline_ratio").reason
    )


def test_two_seeds_that_differ_widely_say_how_many_would_do():
    sides = [
        [compared(pages(seed, slower=by), seed=seed) for seed, by in ((1, one), (2, other))]
        for one, other in ((1, 1), (1, 9))
    ]
    assert "2 runs against 2: too few" in figure(answer(*sides), P95).reason


def test_a_tolerance_of_its_own_is_what_a_figure_is_held_against():
    found = answer(compared(pages(1)), compared(pages(2, slower=1.2)), Tolerances(0.5, {P95: 0.1}))
    assert {f.key for f in found.figures if f.verdict == "fail"} == {P95}


@pytest.mark.heavy
def test_lower_goodput_and_fewer_complete_stations_are_worse():
    lost = pages(2)
    lost[np.random.default_rng(3).random(len(lost)) < 0.2] = np.inf
    found = answer(compared(pages(1)), compared(lost))
    for key in ("rates.goodput_per_s", "stations.completed_by_deadline_ratio"):
        assert figure(found, key).verdict == "fail"
        assert figure(found, key).change.change < 0


@pytest.mark.heavy
def test_a_percentile_that_never_arrives_any_more_fails_without_end():
    lost = pages(2)
    lost[::10] = np.inf
    p95 = figure(answer(compared(pages(1)), compared(lost)), P95)
    assert (p95.verdict, p95.run, p95.change.change, p95.change.low) == ("fail", None, None, None)


@pytest.mark.heavy
def test_a_percentile_that_arrives_on_neither_side_is_not_compared_unless_it_was_asked_for():
    lost = pages(2)
    lost[::10] = np.inf
    assert figure(answer(compared(lost), compared(lost)), P95).verdict == "not compared"
    asked = answer(compared(lost), compared(lost), Tolerances(0.05, {P95: 0.05}))
    assert (figure(asked, P95).verdict, asked.verdict) == ("inconclusive", "inconclusive")


@pytest.mark.heavy
def test_a_figure_that_only_one_side_has_is_inconclusive():
    few = compared(pages(2), figures={P95: MissingFigure("n/a (needs 200; there are 3)")})
    found = answer(compared(pages(1)), few)
    assert (found.verdict, figure(found, P95).reason) == ("inconclusive", "run: n/a (needs 200; there are 3)")


def test_runs_without_any_figure_are_inconclusive_never_a_pass():
    nothing = {key: MissingFigure("no data: there is nothing to count") for key in JUDGED_FIGURES}
    found = answer(compared(pages(1), figures=dict(nothing)), compared(pages(2), figures=dict(nothing)))
    assert found.verdict == "inconclusive"


@pytest.mark.heavy
def test_an_invalid_run_is_neither_a_pass_nor_a_fail_however_slow_it_was():
    late = compared(pages(2, slower=3.0), reasons=["the generator was late"], name="late")
    found = answer(compared(pages(1)), late)
    assert (found.verdict, found.exit_code) == ("inconclusive", ExitCode.INVALID)
    assert "runs/late" in found.reasons[0]
    assert {figure.verdict for figure in found.figures} == {"not judged"}


@pytest.mark.heavy
def test_a_run_that_lost_an_acknowledged_page_fails_whatever_else():
    lost = compared(pages(2), unsafe=1, reasons=["the generator was late"], name="lossy")
    found = answer(compared(pages(1)), lost)
    assert (found.verdict, found.exit_code) == ("fail", ExitCode.FAILED)
    assert found.reasons[0] == "runs/lossy is not safe: its audit found 1 unsafe page"


@pytest.mark.heavy
def test_what_the_base_lost_is_not_held_against_the_run():
    assert answer(compared(pages(1), unsafe=1), compared(pages(2))).verdict == "pass"


@pytest.mark.heavy
def test_the_same_raises_few_alarms_even_where_nothing_may_be_worse():
    unseen: dict[str, Statistic | MissingFigure] = {key: MissingFigure("n/a") for key in SHOWN_FIGURES}
    runs = [compared(pages(number), figures=unseen) for number in range(40)]
    alarms = sum(answer(*pair, Tolerances(0.0)).verdict == "fail" for pair in zip(runs[::2], runs[1::2], strict=True))
    assert alarms <= 3  # one-sided 2.5 % of 20 is 0.5; 4 or more come in 1 of 600 series


@pytest.mark.heavy
def test_more_judged_figures_make_every_interval_wider():
    few = {key: MissingFigure("n/a") for key in JUDGED_FIGURES if key != P95}
    alone = answer(compared(pages(1), figures=dict(few)), compared(pages(2), figures=dict(few)))
    among = answer(compared(pages(1)), compared(pages(2)))
    widths = [figure(found, P95).change.high - figure(found, P95).change.low for found in (alone, among)]
    assert widths[0] < widths[1]


@pytest.mark.heavy
def test_the_same_runs_give_the_same_comparison():
    base, run = compared(pages(1)), compared(pages(2))
    assert answer(base, run) == answer(base, run)


def test_several_seeds_are_compared_seed_by_seed():
    base = [compared(pages(seed, slower=seed), seed=seed) for seed in range(1, 6)]
    run = [compared(pages(50 + seed, slower=seed * 1.2), seed=seed) for seed in range(1, 6)]
    found = answer(base, run)
    assert found.verdict == "fail"
    p95 = figure(found, P95)
    assert p95.change.how == "pairs of seeds"
    assert p95.change.low < 0.2 < p95.change.high < 0.3


def test_seeds_that_are_not_paired_know_less():
    base = [compared(pages(seed, slower=seed), seed=seed) for seed in range(1, 6)]
    run = [compared(pages(50 + seed, slower=seed * 1.2), seed=seed + 10) for seed in range(1, 6)]
    found = answer(base, run)
    assert (found.verdict, figure(found, P95).change.how) == ("inconclusive", "runs")
    assert found.unlike == ["seed: 1, 2, 3, 4, 5 against 11, 12, 13, 14, 15"]


def test_one_base_against_several_runs_takes_its_noise_from_them():
    found = answer(compared(pages(1)), [compared(pages(seed, slower=1.2)) for seed in range(2, 7)])
    p95 = figure(found, P95)
    assert (found.verdict, p95.change.how, p95.change.drawn_from) == ("fail", "runs", "1 run against 5")


@pytest.mark.heavy
def test_calibrated_noise_is_the_least_that_an_interval_spans():
    plain, calibrated = (
        answer(compared(pages(1)), compared(pages(2))),
        answer(compared(pages(1)), compared(pages(2)), noise=noise(0.05)),
    )
    assert figure(calibrated, P95).change.high > 0.2 > figure(plain, P95).change.high
    assert calibrated.calibration == "10 runs, 2026-11-23 12:00:00 UTC"


@pytest.mark.heavy
def test_a_gate_tighter_than_this_machine_can_see_is_refused_in_words():
    found = answer(compared(pages(1)), compared(pages(2)), noise=noise(0.02))
    p95 = figure(found, P95)
    assert (found.verdict, found.exit_code, p95.verdict) == ("inconclusive", ExitCode.INVALID, "inconclusive")
    assert "less than this machine can detect: 14 %" in p95.reason
    assert answer(compared(pages(1)), compared(pages(2)), Tolerances(0.16), noise(0.02)).verdict == "pass"


@pytest.mark.heavy
def test_a_change_beyond_all_noise_fails_a_gate_that_is_too_tight_to_pass():
    assert answer(compared(pages(1)), compared(pages(2, slower=3.0)), noise=noise(0.02)).verdict == "fail"


@pytest.mark.heavy
def test_a_figure_that_was_nothing_and_still_is_has_not_changed():
    nothing: dict[str, Statistic | MissingFigure] = {
        "attempts.resent_ratio": RatioStatistic(np.zeros(STATIONS), np.ones(STATIONS))
    }
    tolerances = Tolerances(0.05, {"attempts.resent_ratio": 0.05})
    found = answer(compared(pages(1), figures=dict(nothing)), compared(pages(2), figures=dict(nothing)), tolerances)
    assert figure(found, "attempts.resent_ratio").verdict == "pass"
    some: dict[str, Statistic | MissingFigure] = {
        "attempts.resent_ratio": RatioStatistic(np.full(STATIONS, 0.1), np.ones(STATIONS))
    }
    found = answer(compared(pages(1), figures=dict(nothing)), compared(pages(2), figures=some), tolerances)
    assert figure(found, "attempts.resent_ratio").verdict == "fail"


def test_a_comparison_can_be_written_as_json_without_infinity():
    lost = np.full(3 * STATIONS, math.inf)
    found = answer(compared(pages(1)), compared(lost))
    assert json.dumps(found.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fast", "fast"),
        ("5", "5%"),
        ("-5%", "95%"),
        ("-0.05", "negative"),
        ("response_seconds.p96=5%", "response_seconds.p99"),
        ("lateness_seconds.p95=5%", "is not a figure that can be compared"),
        ("attempts.amplification=", "attempts.amplification="),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused_with_what_is_allowed(text, said):
    with pytest.raises(UsageError, match="--tolerance") as error:
        parse_tolerances([text])
    assert said in str(error.value)


def test_tolerances_are_read_as_written():
    read = parse_tolerances(["8%", "response_seconds.p99=12.5%"])
    assert (read.default, read.of("response_seconds.p99"), read.of(P95), read.of("service_seconds.p50")) == (
        0.08,
        0.125,
        0.08,
        None,
    )
