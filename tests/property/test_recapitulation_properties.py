"""The recapitulation: what holds whatever was uploaded when."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.recapitulation import KelurahanUploads, WorkingHours, forecast_recapitulation, recapitulate
from harness.scenario.recapitulation import DAY_S, RecapitulationOptions

ROUNDING_S = 0.01
ready = st.lists(st.integers(0, 14 * 24 * 4).map(lambda quarter: quarter * 900.0), min_size=1, max_size=12)
places = st.lists(ready, min_size=1, max_size=7)
tables = st.fixed_dictionaries(
    {
        "panels": st.integers(1, 5),
        "begin": st.sampled_from(["complete", "any"]),
        "per_station": st.sampled_from(["20m", "1h", "90m"]),
        "by_hand": st.sampled_from(["0s", "30m"]),
        "t0": st.sampled_from(["0h", "13h", "22h"]),
        "first_day": st.integers(0, 3),
    }
)


def uploads_of(moments: list[list[float]], later_s: float = 0.0) -> list[KelurahanUploads]:
    return [
        KelurahanUploads(f"350919{number:04d}", tuple(one + later_s for one in each), (False,) * len(each))
        for number, each in enumerate(moments, start=1001)
    ]


@given(places, tables)
def test_nothing_ends_earlier_than_if_all_had_been_there_and_each_ends_after_it_began(moments, table):
    options = RecapitulationOptions.model_validate(table)
    figures = forecast_recapitulation(uploads_of(moments), options, {})
    assert figures.late_s >= -ROUNDING_S
    for place in figures.kelurahan:
        assert place.could_begin_s <= place.began_s + ROUNDING_S
        assert place.began_s + place.stations * options.per_station <= place.ended_s + ROUNDING_S


@given(places, tables, st.floats(0, 5 * DAY_S))
def test_uploads_that_are_all_later_never_let_a_kecamatan_end_earlier(moments, table, later_s):
    options = RecapitulationOptions.model_validate(table)
    ends = [forecast_recapitulation(uploads_of(moments, by_s), options, {}).ended_s for by_s in (0.0, later_s)]
    assert ends[0] <= ends[1] + ROUNDING_S


@given(places, tables)
def test_taking_whichever_station_is_there_never_ends_later_than_waiting_for_the_whole_kelurahan(moments, table):
    ends = [
        forecast_recapitulation(
            uploads_of(moments), RecapitulationOptions.model_validate({**table, "begin": begin}), {}
        )
        for begin in ("any", "complete")
    ]
    assert ends[0].ended_s <= ends[1].ended_s + ROUNDING_S


@given(places, tables)
def test_a_panel_reads_one_kelurahan_at_a_time_and_never_outside_its_hours(moments, table):
    options = RecapitulationOptions.model_validate({**table, "begin": "complete"})
    hours = WorkingHours(options.open, options.close, options.t0, options.first_day)
    found = sorted(recapitulate(uploads_of(moments), options).values(), key=lambda one: (one.panel, one.began_s))
    for before, after in pairwise(found):
        assert before.panel < after.panel or before.ended_s <= after.began_s + ROUNDING_S
    for one in found:
        for moment_s in (one.began_s, one.ended_s):
            day, time_s = divmod(moment_s + options.t0, DAY_S)
            assert day >= options.first_day
            assert options.open - ROUNDING_S <= time_s <= options.close + ROUNDING_S
        assert hours.worked_by(one.ended_s) > hours.worked_by(one.began_s)
