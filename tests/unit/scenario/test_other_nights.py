"""The built-in scenarios of other nights against the published counts they are made from (docs/data/upload-curves.csv)."""

from __future__ import annotations

import csv
from datetime import datetime

import pytest

from harness.plan.regions import load_region
from harness.scenario.arrivals import CurveArrivals
from harness.scenario.loader import load_scenario
from harness.scenario.stations import PAGES_OF_FORM
from mock_server.profile.forms import PAGES_PER_FORM
from tests.support.documents import ROOT


def published(event: str) -> dict[str, tuple[int, int]]:
    """Local time -> (uploaded, total)."""
    with (ROOT / "docs" / "data" / "upload-curves.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["event"] == event and row["uploaded"] and row["total"]]
    return {row["local_time"]: (int(row["uploaded"]), int(row["total"])) for row in rows}


def hours_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds() / 3600


def share_at(scenario: str, hours: float) -> float:
    """The share of the stations that has arrived so many hours of election time after T0, which must be a point of the curve."""
    loaded = load_scenario(scenario)
    assert isinstance(loaded.arrivals, CurveArrivals)
    return dict(loaded.arrivals.points)[hours * 3600 / loaded.time_scale]


def test_the_mock_server_and_the_scenarios_know_the_same_forms():
    assert PAGES_OF_FORM == PAGES_PER_FORM


@pytest.mark.heavy
@pytest.mark.parametrize(("region", "event"), [("nigeria", "ireV-2023-presidential"), ("kenya", "kenya-2022")])
def test_a_region_has_as_many_stations_as_were_published(region, event):
    ((_, total),) = {(0, total) for _, total in published(event).values()}
    assert len(load_region(region)) == total


@pytest.mark.parametrize("moment", ["2022-08-09T23:00", "2022-08-10T09:14", "2022-08-10T11:00"])
def test_kenyas_forms_are_sent_as_they_were_published(moment):
    uploaded, total = published("kenya-2022")[moment]
    assert share_at("kenya-2022", hours_between("2022-08-09T17:00", moment)) == pytest.approx(
        uploaded / total, abs=5e-4
    )


@pytest.mark.parametrize(
    ("moments", "hours"),
    [
        (("2023-11-11T17:50", "2023-11-11T17:55", "2023-11-11T17:55"), 2 + 55 / 60),
        (("2023-11-11T19:00",) * 3, 4),
        (("2023-11-12T08:30",) * 3, 17.5),
    ],
)
def test_nigerias_units_send_as_they_did_where_the_same_portal_worked(moments, hours):
    states = [
        published(event)[at] for event, at in zip(("bayelsa-2023", "imo-2023", "kogi-2023"), moments, strict=True)
    ]
    uploaded, total = (sum(column) for column in zip(*states, strict=True))
    assert share_at("irev-2023", hours) == pytest.approx(uploaded / total, abs=1e-3)


def test_the_presidential_contest_is_refused_until_the_hotfix_and_the_others_are_not():
    loaded = load_scenario("irev-2023")
    (fault,) = loaded.faults
    assert fault.end is not None
    assert fault.end * loaded.time_scale / 3600 == pytest.approx(hours_between("2023-02-25T15:00", "2023-02-25T20:55"))
    assert fault.match.form == list(loaded.stations.forms)[-1] == "ec8a", (
        "sent last, so that it holds up none of the others"
    )


def test_nigerias_server_does_75_sheets_a_second_at_best_and_six_tenths_when_it_is_full():
    loaded = load_scenario("irev-2023")
    server, service_s = loaded.server, loaded.server.service_time.expected_value() * loaded.time_scale
    assert server.contention_knee is not None
    assert server.contention_knee / service_s == pytest.approx(75, rel=0.01)
    slowed = 1 + server.contention_slope * (server.workers - server.contention_knee)
    assert server.workers / slowed / service_s == pytest.approx(0.6, rel=0.01)


def test_logins_fail_for_three_hours():
    loaded = load_scenario("login-storm")
    (fault,) = loaded.faults
    assert (fault.start, fault.end) == (0.0, 3 * 3600 / loaded.time_scale)
    assert fault.match.phase == "login"
