"""The recapitulation, held against schedules that can be made by hand. Hours from T0, which is midnight unless a test says otherwise."""

import pytest
from pydantic import ValidationError

from harness.analysis.recapitulation import (
    KelurahanUploads,
    WorkingHours,
    compute_recapitulation,
    deal_to_panels,
    forecast_recapitulation,
    recapitulate,
)
from harness.analysis.rows import load_rows
from harness.analysis.summarise import summarise
from harness.base.model import Outcome
from harness.scenario.recapitulation import RecapitulationOptions
from tests.support.run_builder import RunBuilder, make_pages

HOUR_S = 3600.0
DAY_S = 86_400.0
MANGLI, SEMPUSARI = "3509191001", "3509191002"


def options(**keys: object) -> RecapitulationOptions:
    return RecapitulationOptions.model_validate({"panels": 1, **keys})


def uploads(code: str, *ready_h: float, by_hand: int = 0) -> KelurahanUploads:
    """Stations that are there at these hours; the last `by_hand` of them are entered by hand."""
    hand = tuple(number >= len(ready_h) - by_hand for number in range(len(ready_h)))
    return KelurahanUploads(code, tuple(hour * HOUR_S for hour in ready_h), hand)


def hours(code, found):
    """Could begin, began, ended, in hours from T0."""
    return tuple(round(moment / HOUR_S, 6) for moment in found[code][1:])


def test_a_kelurahan_begins_when_its_last_station_is_complete():
    found = recapitulate([uploads(MANGLI, 1, 2, 12)], options())
    assert hours(MANGLI, found) == (12, 12, 15)


def test_a_panel_that_takes_any_station_begins_with_the_first_and_waits_for_the_rest():
    found = recapitulate([uploads(MANGLI, 10, 10.5, 15)], options(begin="any"))
    assert hours(MANGLI, found) == (10, 10, 16)


def test_panels_work_from_open_to_close_and_go_on_the_next_morning():
    found = recapitulate([uploads(MANGLI, *[0.0] * 14)], options())
    assert hours(MANGLI, found) == (0, 9, 24 + 11), "12 hours on day 0, two on day 1"


def test_what_is_complete_at_night_begins_in_the_morning():
    assert hours(MANGLI, recapitulate([uploads(MANGLI, 23)], options())) == (23, 24 + 9, 24 + 10)


def test_a_station_that_is_not_finished_at_the_close_goes_on_the_next_morning():
    assert hours(MANGLI, recapitulate([uploads(MANGLI, 20.5)], options())) == (20.5, 20.5, 24 + 9.5)


def test_a_day_that_is_just_filled_ends_at_its_close_and_the_next_begins_at_its_opening():
    found = recapitulate([uploads(MANGLI, *[0.0] * 12), uploads(SEMPUSARI, 0.0)], options())
    assert hours(MANGLI, found) == (0, 9, 21)
    assert hours(SEMPUSARI, found) == (0, 24 + 9, 24 + 10)


def test_the_largest_kelurahan_is_dealt_first_and_each_to_the_panel_with_the_fewest_stations():
    sizes = {"a": 102, "b": 61, "c": 50, "d": 50, "e": 44, "f": 33, "g": 22}
    dealt = deal_to_panels([uploads(code, *[0.0] * size) for code, size in sizes.items()], 4)
    assert [[one.code for one in panel] for panel in dealt] == [["a"], ["b", "g"], ["c", "e"], ["d", "f"]]


def test_a_panel_reads_what_is_complete_while_a_larger_kelurahan_is_not():
    found = recapitulate([uploads(MANGLI, 0, 12), uploads(SEMPUSARI, 9)], options())
    assert hours(SEMPUSARI, found) == (9, 9, 10)
    assert hours(MANGLI, found) == (12, 12, 14)


def test_of_several_that_are_complete_the_largest_is_read_first():
    found = recapitulate([uploads(MANGLI, 0), uploads(SEMPUSARI, 0, 0)], options())
    assert hours(SEMPUSARI, found) == (0, 9, 11)
    assert hours(MANGLI, found) == (0, 11, 12)


def test_of_what_was_completed_overnight_the_largest_is_read_first_in_the_morning():
    found = recapitulate([uploads(MANGLI, 22), uploads(SEMPUSARI, 23, 24)], options())
    assert hours(SEMPUSARI, found) == (24, 24 + 9, 24 + 11)
    assert hours(MANGLI, found) == (22, 24 + 11, 24 + 12)


def test_days_are_counted_from_the_midnight_before_t0_and_work_begins_on_the_first_day():
    found = recapitulate([uploads(MANGLI, 0)], options(t0="13h", first_day=1))
    assert hours(MANGLI, found) == (0, 20, 21), "9:00 on the day after the one whose 13:00 is T0"


def test_a_run_that_starts_within_working_hours_has_no_work_before_its_start():
    assert hours(MANGLI, recapitulate([uploads(MANGLI, 0)], options(t0="13h"))) == (0, 0, 1)


def test_less_than_a_second_of_work_ends_within_the_second():
    work = WorkingHours(9 * HOUR_S, 21 * HOUR_S, 0.0, 1)
    assert work.end_at(0.25) == DAY_S + 9 * HOUR_S + 0.25


def test_entering_a_station_by_hand_takes_longer():
    assert hours(MANGLI, recapitulate([uploads(MANGLI, 9, 9, by_hand=1)], options(by_hand="30m"))) == (9, 9, 11.5)


def test_working_hours_are_their_own_inverse_within_a_day():
    worked = WorkingHours(9 * HOUR_S, 21 * HOUR_S, 13 * HOUR_S, 1)
    for moment_h in (20.0, 25.5, 31.99, 44.0, 50.25):
        assert worked.begin_at(worked.worked_by(moment_h * HOUR_S)) == pytest.approx(moment_h * HOUR_S)
        assert worked.end_at(worked.worked_by((moment_h + 0.001) * HOUR_S)) == pytest.approx(
            (moment_h + 0.001) * HOUR_S
        )


def test_lateness_counts_against_a_recapitulation_for_which_everything_was_there():
    figures = forecast_recapitulation([uploads(MANGLI, 9, 33), uploads(SEMPUSARI, 9)], options(), {MANGLI: "Mangli"})
    mangli, sempusari = figures.kelurahan
    assert (mangli.name, mangli.undelayed_ended_s, mangli.late_s) == ("Mangli", 11 * HOUR_S, 24 * HOUR_S)
    assert (sempusari.name, sempusari.late_s) == (SEMPUSARI, -2 * HOUR_S), "it went first"
    assert (figures.undelayed_ended_s, figures.ended_s) == (12 * HOUR_S, 35 * HOUR_S)
    assert (figures.late_s, figures.spare_s) == (23 * HOUR_S, 17 * DAY_S - 35 * HOUR_S)


def test_each_kecamatan_has_panels_of_its_own_and_the_last_decides():
    figures = forecast_recapitulation([uploads(MANGLI, 0), uploads("3509201001", 0, 0)], options(), {})
    assert [one.code for one in figures.kecamatan] == ["350919", "350920"]
    assert [one.ended_s / HOUR_S for one in figures.kecamatan] == [10, 11]
    assert figures.ended_s == 11 * HOUR_S


def test_the_share_in_time_and_the_spare_time_show_a_missed_deadline():
    figures = forecast_recapitulation([uploads(MANGLI, 0), uploads(SEMPUSARI, 0, 20)], options(deadline="12h"), {})
    assert figures.in_time_ratio == 0.5
    assert figures.spare_s == pytest.approx(12 * HOUR_S - (24 + 10) * HOUR_S)


@pytest.mark.parametrize("keys", [{"open": "21h", "close": "9h"}, {"panels": 0}, {"per_station": "0s"}, {"t0": "24h"}])
def test_impossible_hours_are_refused(keys):
    with pytest.raises(ValidationError):
        options(**keys)


# From a run folder


CODES = [f"{MANGLI}001", f"{MANGLI}002", f"{SEMPUSARI}001"]
SCENARIO = {"name": "made", "stations": {"region": "kaliwates"}, "thresholds": [], "recapitulation": {"panels": 1}}


def built(path, scenario=SCENARIO, **record):
    run = RunBuilder(
        path,
        pages=make_pages([0.0, 0.0, 0.0], 1, CODES),
        scenario=scenario,
        time_scale=3600.0,
        deadline_s=20.0,
        **record,
    )
    run.attempt(0, done_s=2.0)
    run.attempt(1, outcome=Outcome.UNAVAILABLE, done_s=3.0)
    run.attempt(2, done_s=10.0)
    return run


def test_a_runs_seconds_are_turned_into_election_time_and_what_never_arrived_is_there_at_the_deadline(tmp_path):
    figures = summarise(built(tmp_path / "run").finish("deadline", at_s=20.0)).recapitulation
    assert figures is not None
    assert [(one.name, one.stations, one.by_hand) for one in figures.kelurahan] == [
        ("MANGLI", 2, 1),
        ("SEMPUSARI", 1, 0),
    ]
    assert [one.could_begin_s / HOUR_S for one in figures.kelurahan] == [20, 10]
    assert [one.ended_s / HOUR_S for one in figures.kelurahan] == [24 + 10, 11]
    assert figures.by_hand == 1


@pytest.mark.parametrize("how", ["interrupted", "aborted", "crashed"])
def test_a_run_that_was_cut_short_has_no_recapitulation(tmp_path, how):
    rows = load_rows(built(tmp_path / "run").finish(how, at_s=12.0))
    assert compute_recapitulation(rows, {}) is None


def test_a_run_that_was_broken_off_has_no_recapitulation(tmp_path):
    assert compute_recapitulation(load_rows(built(tmp_path / "run").break_off()), {}) is None


@pytest.mark.parametrize("table", [{}, {"recapitulation": None}])
def test_a_scenario_without_the_table_has_no_recapitulation(tmp_path, table):
    scenario = {key: value for key, value in SCENARIO.items() if key != "recapitulation"} | table
    rows = load_rows(built(tmp_path / "run", scenario).finish("completed", at_s=12.0))
    assert compute_recapitulation(rows, {}) is None
