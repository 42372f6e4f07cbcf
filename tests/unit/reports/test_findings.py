"""The sentences above the charts: each is a pure function of the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from harness.analysis.chart_data import load_chart_data
from harness.analysis.chart_types import (
    AttemptsPerPage,
    ChartLine,
    CompletionLines,
    FaultWindow,
    RateLines,
    ServerHealth,
    ServerLimits,
)
from harness.analysis.shortfalls import find_shortfalls
from harness.analysis.summarise import summarise
from harness.analysis.summary import Summary
from reports.charts import completion, failures, generator, responses, server, spectrum, throughput, timespent, tries
from reports.key_figures import list_key_figures
from reports.number_format import format_duration, format_rate, format_ratio
from tests.support import made_up_run
from tests.support.synthetic_run import kaliwates_run


def calm(**changed: Any) -> Summary:
    """The evening with hardly a failed response, so that percentiles over all of them mean something."""
    whole = made_up_run.spread(
        1365, 0.41, by_outcome={"accepted": made_up_run.spread(1360, 0.41), "reset": made_up_run.spread(5)}
    )
    return made_up_run.summary(**{"response_seconds": whole, **changed})


def flat(value: float, seconds: int = 60) -> np.ndarray:
    return np.full(seconds, value)


def rates(offered: np.ndarray, goodput: np.ndarray):
    made = made_up_run.rates()
    t = np.arange(len(offered)) + 0.5
    return RateLines(
        made_up_run.line("offered", offered, t), made_up_run.line("goodput", goodput, t), made.throughput, []
    )


def dipped(to: float, start: int = 20, end: int = 34, made_up_in: int = 0) -> np.ndarray:
    """Ten a second but for a dip, which is made up for in the seconds after it if there are any."""
    value = flat(10.0)
    value[start:end] = to
    if made_up_in:
        value[end : end + made_up_in] += (10.0 - to) * (end - start) / made_up_in
    return value


def told(goodput: np.ndarray, summary: Summary | None = None, **changed: Any) -> str:
    """The finding of a run with ten pages due per second, and this goodput."""
    return throughput.finding(
        made_up_run.series(rates=rates(flat(10.0), goodput), **changed), summary or made_up_run.summary()
    )


def test_a_fall_of_goodput_is_told_with_its_depth_its_length_its_recovery_and_the_backlog() -> None:
    assert told(dipped(3.1, made_up_in=8)) == (
        "Goodput fell to 31 % of what was due for 14 s and recovered 6 s after the brownout ended;"
        " the backlog reached 97 pages"
    )


def test_a_fall_without_recovery_says_never_and_what_is_left() -> None:
    summary = made_up_run.summary(
        recovery=[{"fault": "brownout", "ended_s": 30.0, "recovered_after_s": None, "metastable": True}]
    )
    assert told(dipped(0.0, 20, 60), summary) == (
        "Goodput fell to 0 % of what was due from 20 s on and never recovered after the brownout ended: metastable;"
        " nothing was delivered after 20 s, with 400 pages outstanding at the end"
    )


def test_a_server_that_stands_still_has_fallen_although_nothing_falls_due_any_more() -> None:
    """As in the incident: the load is over after 24 s, goodput is zero from 16 s on, and 715 pages are waiting."""
    offered, goodput = flat(0.0, 72), flat(0.0, 72)
    offered[:24], goodput[:16] = 40.0, 22.0
    series = made_up_run.series(rates=rates(offered, goodput), windows=[])
    assert throughput.finding(series, made_up_run.summary()) == (
        "From the start the server delivered 37 % of what was due; nothing was delivered after 16 s,"
        " with 608 pages outstanding at the deadline"
    )


def test_a_standstill_after_the_last_arrival_is_a_fall_of_its_own() -> None:
    offered, goodput = flat(0.0), flat(0.0)
    offered[:30], goodput[:20], goodput[45:50] = 10.0, 10.0, 20.0
    windows = [FaultWindow("outage", 20.0, 45.0)]
    recovery = [{"fault": "outage", "ended_s": 45.0, "recovered_after_s": 5.0, "metastable": False}]
    said = throughput.finding(
        made_up_run.series(rates=rates(offered, goodput), windows=windows), made_up_run.summary(recovery=recovery)
    )
    assert said == (
        "Goodput fell to 0 % of what was due for 25 s and recovered 5 s after the outage ended;"
        " the backlog reached 100 pages"
    )


def test_a_few_slow_phones_at_the_end_are_no_fall() -> None:
    offered, goodput = flat(0.0), flat(0.0)
    offered[:30], goodput[:30], goodput[30:50] = 10.0, 9.5, 0.75
    said = throughput.finding(made_up_run.series(rates=rates(offered, goodput)), made_up_run.summary())
    assert said.startswith("Goodput kept up")


def test_a_backlog_is_told_with_when_it_would_have_been_worked_off() -> None:
    offered = flat(0.0, 72)
    offered[:36] = 20.0
    series = made_up_run.series(rates=rates(offered, flat(5.0, 72)), windows=[FaultWindow("brownout", 20.0, 30.0)])
    assert throughput.finding(series, made_up_run.summary()) == (
        "From the start the server delivered 50 % of what was due; the brownout is not the cause;"
        " 360 pages were outstanding at the deadline; at the last 5/s they would have been worked off 72 s later"
    )


def test_a_fall_before_any_fault_is_not_blamed_on_one() -> None:
    assert told(dipped(2.0, 2, 9, made_up_in=8)) == (
        "From 2 s to 9 s the server delivered 20 % of what was due, while no fault was active; the backlog reached 56 pages"
    )


def test_a_fall_that_began_before_the_fault_is_not_blamed_on_it() -> None:
    assert told(dipped(1.6, 0, 37, made_up_in=20)) == (
        "From the start to 37 s the server delivered 16 % of what was due; the brownout is not the cause;"
        " the backlog reached 311 pages"
    )


def test_a_fall_during_a_fault_is_told_before_a_deeper_one_without_cause() -> None:
    goodput = dipped(2.0, 2, 14, made_up_in=5)
    goodput[22:28], goodput[28:32] = 5.0, 17.5
    said = told(goodput, windows=[FaultWindow("brownout", 22.0, 28.0)])
    assert said.startswith("Goodput fell to 50 % of what was due for 6 s")


def test_a_fall_that_is_never_made_up_for_is_told_before_one_with_a_cause() -> None:
    goodput = dipped(2.0, 20, 30, made_up_in=8)
    goodput[50:] = 3.0
    assert told(goodput).startswith(
        "From 50 s on the server delivered 30 % of what was due, while no fault was active; "
    )


def test_goodput_that_keeps_up_is_said_to() -> None:
    assert told(flat(9.9)) == "Goodput kept up with the offered load; 1,049 of 1,086 pages were delivered"


def test_pages_that_were_given_up_are_told_however_well_goodput_kept_up() -> None:
    made = rates(flat(10.0), flat(9.0))
    backlog = made_up_run.backlog(
        made, outstanding=made_up_run.line("backlog", flat(0.0, 61), np.arange(61)),
        given_up=made_up_run.line("given up", np.arange(61.0), np.arange(61)),
    )  # fmt: skip
    assert told(flat(9.0), backlog=backlog).endswith("1,049 of 1,086 pages were delivered; 60 pages were given up")


def test_where_nothing_was_delivered_it_is_said_first() -> None:
    summary = made_up_run.summary(pages={"delivered": 0, "delivered_by_deadline": 0})
    assert told(flat(0.0), summary) == (
        "Nothing was delivered: none of the 600 pages that fell due was acknowledged in time"
    )


def test_noise_of_two_seconds_is_no_fall() -> None:
    assert find_shortfalls(made_up_run.backlog(rates(flat(10.0), dipped(5.0, 20, 22)))) == []


def test_without_rows_the_rates_are_not_known() -> None:
    said = throughput.finding(made_up_run.no_series(), made_up_run.summary())
    assert said == "There are no rows, so the rates over time are not known"


def test_failures_are_told_with_their_share_their_kind_and_their_phase() -> None:
    assert failures.finding(made_up_run.summary()) == (
        "23 % of 1,365 attempts failed, 73 % of them: unavailable; 94 % fell due during the brownout"
    )


def test_a_single_kind_of_failure_is_called_all_of_them() -> None:
    summary = made_up_run.summary(attempts={"by_outcome": {"accepted": 50, "reset": 50}}, phases=[])
    assert failures.finding(summary) == "50 % of 100 attempts failed, all of them: connection reset"


def test_no_failure_is_said_so() -> None:
    assert (
        failures.finding(made_up_run.summary(attempts={"by_outcome": {"accepted": 7}})) == "None of 7 attempts failed"
    )


def test_attempts_that_the_strategy_withheld_were_not_sent() -> None:
    summary = made_up_run.summary(attempts={"by_outcome": {"accepted": 3, "reset": 1, "withheld": 96}}, phases=[])
    assert failures.finding(summary) == "25 % of 4 attempts failed, all of them: connection reset"


def during(count: int, p50: float | None, attempts: int = 420, **more: Any) -> list[dict[str, Any]]:
    """The run's first two phases; during the brownout `count` of the attempts were accepted."""
    phases: list[dict[str, Any]] = made_up_run.summary_json()["phases"][:2]
    phases[1] |= {"attempts": attempts, "accepted_seconds": made_up_run.spread(count, p50, **more)}
    return phases


def test_responses_compare_the_fault_with_the_time_before_it() -> None:
    assert responses.finding(calm(phases=during(400, 2.4))) == (
        "95 % of accepted uploads took at most 1.2 s before, but 7.2 s during the brownout"
    )


def test_responses_without_a_fault_give_the_whole_run() -> None:
    assert responses.finding(calm(phases=[])) == "95 % of accepted uploads took at most 1.2 s, over the whole run"


def test_too_few_responses_give_no_percentile() -> None:
    few = made_up_run.spread(12, by_outcome={"accepted": made_up_run.spread(12, max=3.5)})
    assert responses.finding(made_up_run.summary(response_seconds=few, phases=[])) == (
        "12 accepted uploads: too few for percentiles; the longest took 3.5 s"
    )


def test_a_phase_of_quick_refusals_is_not_the_best_one() -> None:
    """Over all responses the outage would have a p95 of 7.8 ms, the best of all phases."""
    phases = during(3, None, attempts=120)
    phases[1] |= {"name": "outage", "response_seconds": made_up_run.spread(120, 0.0026)}
    assert responses.finding(calm(phases=phases)) == (
        "95 % of accepted uploads took at most 1.2 s, over the whole run; during the outage 3 of 120 uploads were accepted"
    )


def test_completion_names_who_was_last() -> None:
    assert completion.finding(made_up_run.series(), made_up_run.summary()) == (
        "335 of 362 stations (93 %) were complete by the deadline; Tegalbesar was last with 87 %"
    )


def test_names_in_capitals_are_written_as_one_writes_them() -> None:
    made = made_up_run.series().completion
    shouted = [ChartLine(place.label.upper(), place.t_s, place.value) for place in made.kelurahan]
    series = made_up_run.series(completion=CompletionLines(made.total, made.planned, shouted))
    assert completion.finding(series, made_up_run.summary()).endswith("Tegalbesar was last with 87 %")


def test_too_few_responses_in_a_fault_for_p95_compare_the_medians() -> None:
    assert responses.finding(calm(phases=during(120, 2.4, attempts=130, p95=None))) == (
        "Half of the accepted uploads took at most 400 ms before, but 2.4 s during the brownout"
    )


def test_completion_of_all_says_how_much_time_was_left() -> None:
    made = made_up_run.series().completion
    full = CompletionLines(made_up_run.line("all", np.linspace(0, 1, 61), np.arange(61)), made.planned, made.kelurahan)
    summary = made_up_run.summary(stations={"completed_by_deadline": 362, "completed_by_deadline_ratio": 1.0})
    said = completion.finding(made_up_run.series(completion=full), summary)
    assert said == "All 362 stations were complete 12 s before the deadline; Tegalbesar was last"


def queue_of(value: np.ndarray, **changed: Any):
    nothing = made_up_run.empty()
    health = ServerHealth(made_up_run.line("queue_depth", value), nothing, nothing, nothing, nothing)
    return made_up_run.series(server=health, **changed)


def test_a_queue_that_still_grows_did_not_stay_at_its_peak() -> None:
    summary = made_up_run.summary(server={"shed": None, "wasted_work": None, "queue_depth_max": 2398.0})
    grows = np.append(np.linspace(0, 2398, 72), np.zeros(4))
    assert server.finding(queue_of(grows), summary) == "The queue reached 2,398 (still growing at the deadline)"


def test_how_a_queue_empties_after_the_deadline_does_not_count_as_staying_at_its_peak() -> None:
    """As in the incident: nothing is sent any more, and the workers go on with what nobody waits for."""
    summary = made_up_run.summary(server={"shed": None, "wasted_work": None, "queue_depth_max": 2398.0})
    drains = np.append(np.linspace(0, 2398, 72), [2380.0, 2350.0, 2320.0, 2290.0, 0.0])
    found = server.finding(queue_of(drains, end_s=76.0), summary)
    assert found == "The queue reached 2,398 (still growing at the deadline)"
    passed = np.concatenate([np.linspace(0, 2398, 60), np.linspace(2398, 0, 12)])
    assert server.finding(queue_of(passed), summary) == "The queue reached 2,398"


def test_a_bounded_queue_is_full_at_its_capacity() -> None:
    summary = made_up_run.summary(server={"shed": None, "wasted_work": None, "queue_depth_max": 64.0})
    full = np.where((np.arange(72) >= 20) & (np.arange(72) < 32), 63.0, 4.0)
    bounded = queue_of(full, server_limits=ServerLimits(8, 64))
    assert server.finding(bounded, summary) == "The queue reached 64 (full for 12 s)"
    assert server.finding(queue_of(full, server_limits=ServerLimits(8, 128)), summary) == "The queue reached 64"


def test_the_servers_finding_counts_queue_shedding_and_waste() -> None:
    assert server.finding(made_up_run.series(), made_up_run.summary()) == (
        "The queue reached 64 (and stayed there for 10 s), 216 uploads were shed and 31 jobs ran for clients that had already left"
    )


def test_a_server_at_ease_is_said_to_be() -> None:
    summary = made_up_run.summary(server={"shed": 0, "wasted_work": 0, "queue_depth_max": 3.0})
    made = made_up_run.series().server
    calm = ServerHealth(
        made_up_run.line("queue_depth", flat(3.0)), made.workers_busy, made.active_requests, made.shed, made.wasted
    )
    said = server.finding(made_up_run.series(server=calm), summary)
    assert said == "The queue reached 3, nothing was shed and no work was wasted"


def test_a_server_that_publishes_nothing_is_said_to() -> None:
    summary = made_up_run.summary(server={"shed": None, "wasted_work": None, "queue_depth_max": None})
    assert server.finding(made_up_run.series(), summary) == "The server publishes no queue, shedding or wasted work"


def test_the_generators_finding_gives_lateness_and_cpu() -> None:
    assert generator.finding(made_up_run.summary()) == (
        "99 % of attempts were sent within 2.6 ms of their due time; the generator used at most 45 % of a core"
    )


def test_a_lost_worker_comes_first() -> None:
    said = generator.finding(made_up_run.summary(generator={"workers": 2, "workers_lost": 1}))
    assert said.startswith("1 worker of the generator was lost; 99 %")
    assert said.endswith("the busiest worker used at most 45 % of a core")


def test_a_fault_that_nobody_noticed_is_told_as_such() -> None:
    assert responses.finding(calm(phases=during(420, 0.41))) == (
        "95 % of accepted uploads took at most 1.2 s, and the brownout hardly changed that (1.2 s)"
    )


def test_a_fault_that_leaves_more_room_to_those_it_lets_in_is_not_said_to_have_slowed_them() -> None:
    assert responses.finding(calm(phases=during(300, 0.01))) == (
        "95 % of accepted uploads took at most 1.2 s before, and only 30 ms during the brownout"
    )


def failing(**counts: tuple[int, float | None]) -> Summary:
    """A run whose uploads ended like this: outcome = (how many, median in seconds)."""
    parts = {name: made_up_run.spread(number, p50) for name, (number, p50) in counts.items()}
    return made_up_run.summary(response_seconds=made_up_run.spread(0, by_outcome=parts))


def test_quick_refusals_do_not_make_responses_look_well() -> None:
    assert responses.finding(failing(accepted=(190, 1.4666), unavailable=(810, 0.0029))) == (
        "4 of 5 uploads were refused at once; accepted ones took up to 4.4 s (p95)"
    )
    assert responses.finding(made_up_run.summary()) == (
        "1 of 6 uploads was refused at once; accepted ones took up to 1.2 s (p95)"
    )


def test_uploads_that_time_out_are_told_with_the_time_they_waited() -> None:
    assert responses.finding(failing(accepted=(15, None), timeout_response=(285, 4.0))) == (
        "19 of 20 uploads timed out after 4 s; 15 were accepted"
    )


def test_refusals_that_take_their_time_are_not_called_quick() -> None:
    assert responses.finding(failing(accepted=(63, 0.5), unavailable=(37, 2.5))) == (
        "37 % of 100 uploads were refused after 2.5 s (p50); accepted ones took up to 1.5 s (p95)"
    )


def test_where_nothing_was_accepted_it_is_said() -> None:
    assert (
        responses.finding(failing(unavailable=(300, 0.01))) == "All 300 uploads were refused at once; none was accepted"
    )


def test_connections_that_were_refused_count_as_uploads_that_failed() -> None:
    assert responses.finding(failing(refused=(5430, 0.0002))) == (
        "All 5,430 uploads found the connection refused; none was accepted"
    )


def test_the_spectrum_tells_how_long_the_unlucky_waited() -> None:
    summary = made_up_run.summary(delivery_seconds=made_up_run.spread(1086, 0.4, never=0))
    assert spectrum.finding(summary) == (
        "One in a hundred pages took more than 2 s to be delivered, 5 times the median"
    )


def test_the_spectrum_does_not_forget_the_pages_that_never_arrived() -> None:
    assert spectrum.finding(made_up_run.summary()) == (
        "One in twenty pages took more than 1.8 s to be delivered, 3 times the median; 37 never were"
    )
    most = made_up_run.spread(1086, never=645)
    assert spectrum.finding(made_up_run.summary(delivery_seconds=most)) == "645 of 1,086 pages were never acknowledged"


def test_the_spectrum_of_a_few_pages_says_that_they_are_too_few() -> None:
    few = made_up_run.summary(delivery_seconds=made_up_run.spread(50, 0.4, p95=None, p99=None, never=0))
    assert spectrum.finding(few) == "50 pages are too few to tell how long the slowest took"


def test_the_time_is_told_as_shares_overall_and_during_the_fault() -> None:
    assert timespent.finding(made_up_run.series()) == (
        "Delivered attempts spent 67 % of their time in the queue and 31 % being served;"
        " during the brownout 90 % in the queue"
    )


def test_a_server_that_does_not_say_what_it_spent_is_named_where_its_time_would_be():
    untimed = replace(made_up_run.time_spent(), has_server_timing=False)
    untimed.parts[3].value[:] = untimed.parts[4].value[:] = 0.0
    untimed.parts[5].value[:] = np.where(untimed.attempts > 0, 0.5, np.nan)
    found = timespent.finding(made_up_run.series(time_spent=untimed, windows=[]))
    assert found == (
        "Delivered attempts spent 96 % of their time waiting for the answer; the server sends no Server-Timing, "
        "so its own time is part of the answer"
    )


def test_the_time_of_no_attempt_is_not_known() -> None:
    said = "No attempt was delivered, so it is not known where the time went"
    assert timespent.finding(made_up_run.no_series()) == said


def test_tries_tell_the_share_of_first_attempts_and_how_many_pages_took_the_most() -> None:
    assert tries.finding(made_up_run.series()) == (
        "83 % of 1,086 pages were delivered at the first attempt; 24 pages took 4 attempts; 6 were not attempted"
    )


def test_tries_of_a_single_stubborn_page() -> None:
    tried = AttemptsPerPage(np.array([0, 5, *[0] * 9, 1]), np.zeros(12, dtype=np.int64))
    assert tries.finding(made_up_run.series(tries=tried)) == (
        "83 % of 6 pages were delivered at the first attempt; one page took 11 attempts"
    )


def test_tries_of_a_perfect_evening() -> None:
    perfect = AttemptsPerPage(np.array([0, 7]), np.array([0, 0]))
    assert tries.finding(made_up_run.series(tries=perfect)) == "All 7 pages were delivered at the first attempt"


def test_tries_of_an_evening_that_never_began() -> None:
    nothing = AttemptsPerPage(np.array([0]), np.array([9]))
    assert tries.finding(made_up_run.series(tries=nothing)) == "None of 9 pages was attempted"


@pytest.mark.heavy
def test_the_title_of_a_server_that_is_too_small_can_be_recomputed_from_the_rows(tmp_path: Path) -> None:
    """With SQL over plan and attempts, without any code of the analysis."""
    folder = kaliwates_run(tmp_path / "run", workers=2)
    summary = summarise(folder)
    found = duckdb.sql(
        f"""
        WITH acknowledged AS (
            SELECT station, form, page, min(done_s) AS at_s FROM '{folder.attempts}' WHERE outcome = 'accepted' GROUP BY ALL
        )
        SELECT count(*), count(*) FILTER (at_s <= 72), count(*) FILTER (at_s > 54 AND at_s <= 72)
        FROM '{folder.plan}' LEFT JOIN acknowledged USING (station, form, page) WHERE due_s < 72
        """  # noqa: S608 - our own paths
    )
    assert found is not None
    due, delivered, at_last = found.fetchall()[0]
    left, rate_per_s = due - delivered, at_last / 18
    assert throughput.finding(load_chart_data(folder), summary) == (
        f"From the start the server delivered {format_ratio(delivered / due)} of what was due; the brownout is not the cause;"
        f" {left} pages were outstanding at the deadline; at the last {format_rate(rate_per_s)} they would have been worked"
        f" off {format_duration(left / rate_per_s)} later"
    )
    figure = next(figure for figure in list_key_figures(summary) if figure.name == "Delivered")
    goodput, offered = (format_rate(pages / 72).removesuffix("/s") for pages in (delivered, due))
    assert figure.value == f"{goodput} of {offered} pages/s due"


def test_what_is_left_at_the_deadline_is_told_however_well_a_fall_was_made_up_for() -> None:
    goodput = dipped(3.0, made_up_in=8)
    goodput[58:] = 8.0
    assert told(goodput, deadline_s=60.0) == (
        "Goodput fell to 30 % of what was due for 14 s and recovered 6 s after the brownout ended;"
        " the backlog reached 98 pages; 4 pages were outstanding at the deadline"
    )
