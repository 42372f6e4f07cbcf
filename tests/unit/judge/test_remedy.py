"""Which change is tried first: by what the figures of a failed run point at."""

from __future__ import annotations

from typing import Any

import pytest

from harness.judge.remedy import Remedy, first_remedy
from harness.scenario.loader import load_scenario
from tests.support.made_up_verdicts import record, summary, verdict

OUTBOX = {"client": {"retry": {"strategy": "outbox"}}}


def found(scenario: dict[str, Any], own_server: bool = True, **figures: Any) -> Remedy:
    remedy = first_remedy(record(scenario=scenario, own_server=own_server), summary(**figures), verdict("fail"))
    assert remedy is not None
    return remedy


def test_a_run_that_passed_or_cannot_be_trusted_has_no_remedy() -> None:
    assert first_remedy(record(), summary(), verdict("pass")) is None
    assert first_remedy(record(), summary(), verdict("invalid")) is None
    assert first_remedy(record(), summary(), None) is None


def test_a_server_that_loses_pages_is_repaired_before_anything_else() -> None:
    unsafe = verdict("fail").model_copy(update={"safety": False})
    remedy = first_remedy(record(), summary(audit={"lost": 3, "unsafe": 3}), unsafe)
    assert remedy is not None
    assert (remedy.title, remedy.settings) == ("Repair what the server stores", ())
    assert remedy.evidence.startswith("3 pages are not safe")


def test_a_storm_of_retries_on_an_unbounded_queue_is_ended_on_both_sides() -> None:
    scenario = {
        "client": {"retry": {"strategy": "immediate"}},
        "server": {"workers": 4, "shed": "none", "retry_after": "none"},
    }
    remedy = found(scenario, attempts={"amplification": 8.87}, server={"wasted_work": 1831, "answered": 246})
    assert remedy.settings == (
        "client.retry.strategy=outbox",
        "client.retry.honour_retry_after=true",
        "server.shed=queue_full",
        "server.queue_capacity=64",
        "server.retry_after=queue_estimate",
    )
    assert remedy.evidence.startswith(
        "every page was sent 8.9 times on average and 1,831 jobs ran for clients that had already left"
    )


def test_of_an_external_server_only_the_clients_are_changed() -> None:
    timeouts = {"amplification": 5.0, "by_outcome": {"timeout_response": 4532, "accepted": 246}}
    remedy = found({"client": {"retry": {"strategy": "immediate"}}}, False, attempts=timeouts)
    assert remedy.settings == ("client.retry.strategy=outbox", "client.retry.honour_retry_after=true")


def test_refusals_that_are_repeated_are_no_storm_and_call_for_workers() -> None:
    scenario = {"client": {"retry": {"strategy": "full_jitter"}}, "server": {"workers": 1}}
    attempts = {"amplification": 3.74, "by_outcome": {"unavailable": 2057, "timeout_response": 22, "accepted": 445}}
    server = {"shed": 2057, "wasted_work": 22, "answered": 2502, "workers_busy_max": 1.0}
    remedy = found(scenario, attempts=attempts, server=server, pages={"delivered": 445, "delivered_by_deadline": 420})
    assert remedy.settings == ("server.workers=3",)
    assert remedy.evidence.startswith("its only worker was busy, and 420 of 1,086 pages")


def test_where_stations_gave_up_they_keep_their_photos() -> None:
    pages = {"gave_up_by_reason": {"attempts_used_up": 31}}
    remedy = found({"client": {"retry": {"strategy": "none"}}, "server": {"workers": 8}}, pages=pages)
    assert remedy.settings == ("client.retry.strategy=outbox",)
    assert remedy.evidence.startswith("stations gave up 31 of the 37 pages that are missing")


def test_timeouts_while_sending_call_for_uploads_that_are_resumed() -> None:
    attempts = {"by_outcome": {"accepted": 1049, "timeout_send": 230, "unavailable": 20}}
    assert found(OUTBOX | {"server": {"workers": 8}}, attempts=attempts).settings == ("client.protocol=tus",)


@pytest.mark.parametrize(
    ("protocol", "resumes"), [("multipart", True), ("put", True), ("tus", False), ("steps", False)]
)
def test_only_uploads_that_begin_again_from_their_first_byte_are_resumed_instead(protocol: str, resumes: bool) -> None:
    attempts = {"by_outcome": {"accepted": 1049, "timeout_send": 230}}
    scenario = {"client": {"protocol": protocol, "retry": {"strategy": "outbox"}}, "server": {"workers": 8}}
    settings = found(scenario, attempts=attempts).settings
    assert (settings == ("client.protocol=tus",)) is resumes


@pytest.mark.parametrize(("workers", "busy"), [(None, 8.0), (8, None), (8, 7.0)])
def test_workers_are_multiplied_only_if_all_of_a_known_number_were_busy(
    workers: int | None, busy: float | None
) -> None:
    figures = summary(server={"workers_busy_max": busy})
    scenario = OUTBOX | {"server": {"workers": workers}}
    assert first_remedy(record(scenario=scenario), figures, verdict("fail")) is None


def test_a_server_of_which_nothing_can_be_changed_leaves_patience_to_the_clients() -> None:
    remedy = found({"client": {"retry": {"strategy": "immediate"}}}, own_server=False)
    assert (remedy.title, remedy.settings) == ("Let stations keep their photos", ("client.retry.strategy=outbox",))


def test_the_title_says_which_side_is_changed() -> None:
    storm = {"amplification": 5.0, "by_outcome": {"timeout_response": 4532, "accepted": 246}}
    retries = {"client": {"retry": {"strategy": "immediate"}}}
    alone = found(retries, False, attempts=storm)
    both = found(retries | {"server": {"workers": 4, "shed": "none"}}, attempts=storm)
    assert alone.title == "Let stations keep their photos and retry later"
    assert both.title == "Bound the server's queue, and let stations retry later"


def test_busy_workers_are_multiplied_by_the_pages_that_they_should_have_delivered() -> None:
    few = {"delivered": 320, "delivered_by_deadline": 320}
    remedy = found(OUTBOX | {"server": {"workers": 8}}, pages=few)
    assert remedy.settings == ("server.workers=28",)  # 8 * 1,086 / 320 = 27.15
    assert remedy.evidence == "all 8 workers were busy at once, and 320 of 1,086 pages were delivered by the deadline"
    nothing = found(OUTBOX | {"server": {"workers": 1}}, pages={"delivered": 0, "delivered_by_deadline": 0})
    assert nothing.settings == ("server.workers=8",)


def test_a_server_with_workers_to_spare_and_patient_clients_has_no_remedy_that_the_figures_name() -> None:
    idle = summary(server={"workers_busy_max": 3.0})
    assert first_remedy(record(scenario=OUTBOX | {"server": {"workers": 8}}), idle, verdict("fail")) is None


@pytest.mark.parametrize("name", ["kaliwates", "kaliwates-incident", "metastable", "smoke"])
def test_every_scenario_takes_the_settings_of_every_remedy(name: str) -> None:
    scenario = load_scenario(name)
    resolved = scenario.model_dump(mode="json")
    waste = {"wasted_work": 900, "answered": 246}
    storm = first_remedy(record(scenario=resolved), summary(server=waste), verdict("fail"))
    slow = first_remedy(record(scenario=resolved | OUTBOX), summary(server={"workers_busy_max": 99.0}), verdict("fail"))
    assert storm is not None
    assert slow is not None
    for remedy in (storm, slow):
        load_scenario(name, overrides=[*remedy.settings])
    load_scenario(name, overrides=["client.protocol=tus"])
