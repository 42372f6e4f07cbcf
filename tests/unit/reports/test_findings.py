"""The sentences above the charts: each is a pure function of the figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.analysis.chart_types import (
    AttemptsPerPage,
    ChartLine,
    CompletionLines,
    FaultWindow,
    RateLines,
    ServerHealth,
    ServerLimits,
)
from harness.analysis.summary import Summary
from reports.charts import completion, failures, generator, responses, server, spectrum, throughput, timespent, tries
from tests.support import made_up_run


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


def dipped(to: float, start: int = 20, end: int = 34) -> np.ndarray:
    value = flat(10.0)
    value[start:end] = to
    return value


def test_a_fall_of_goodput_is_told_with_its_depth_its_length_and_its_recovery() -> None:
    series = made_up_run.series(rates=rates(flat(10.0), dipped(3.1)))
    assert throughput.finding(series, made_up_run.summary()) == (
        "Goodput fell to 31 % of offered for 14 s and recovered 6 s after the brownout ended"
    )


def test_a_fall_without_recovery_says_never() -> None:
    summary = made_up_run.summary(
        recovery=[{"fault": "brownout", "ended_s": 30.0, "recovered_after_s": None, "metastable": True}]
    )
    series = made_up_run.series(rates=rates(flat(10.0), dipped(0.0, 20, 60)))
    assert throughput.finding(series, summary) == (
        "Goodput fell to 0 % of offered for 40 s and never recovered after the brownout ended: metastable"
    )


def test_a_fall_before_any_fault_is_not_blamed_on_one() -> None:
    series = made_up_run.series(rates=rates(flat(10.0), dipped(2.0, 2, 9)))
    assert throughput.finding(series, made_up_run.summary()) == (
        "Goodput fell to 20 % of offered for 7 s, from 2 s on, while no fault was active"
    )


def test_a_fall_that_began_before_the_fault_is_not_blamed_on_it() -> None:
    series = made_up_run.series(rates=rates(flat(10.0), dipped(1.6, 0, 37)))
    assert throughput.finding(series, made_up_run.summary()) == (
        "Goodput fell to 16 % of offered for 37 s, from the start on, before the brownout began"
    )


def test_a_fall_during_a_fault_is_told_before_a_deeper_one_without_cause() -> None:
    goodput = dipped(2.0, 2, 15)
    goodput[21:27] = 5.0
    series = made_up_run.series(rates=rates(flat(10.0), goodput), windows=[FaultWindow("brownout", 22.0, 28.0)])
    assert throughput.finding(series, made_up_run.summary()).startswith("Goodput fell to 5")


def test_goodput_that_keeps_up_is_said_to() -> None:
    series = made_up_run.series(rates=rates(flat(10.0), flat(9.9)))
    assert throughput.finding(series, made_up_run.summary()) == (
        "Goodput kept up with the offered load; 1,049 of 1,086 pages were delivered"
    )


def test_noise_of_two_seconds_is_no_fall() -> None:
    assert (
        throughput.find_shortfalls(made_up_run.line("o", flat(10.0)), made_up_run.line("g", dipped(5.0, 20, 22))) == []
    )


def test_without_scrapes_the_rates_are_not_known() -> None:
    said = throughput.finding(made_up_run.no_series(), made_up_run.summary())
    assert said == "The generator was not scraped, so its rates over time are not known"


def test_failures_are_told_with_their_share_their_kind_and_their_phase() -> None:
    assert failures.finding(made_up_run.summary()) == (
        "23 % of 1,365 attempts failed, 73 % of them: unavailable (503); 94 % fell due during the brownout"
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


def test_responses_compare_the_fault_with_the_time_before_it() -> None:
    assert responses.finding(calm()) == ("95 % of responses came within 1.2 s before, but 7.2 s during the brownout")


def test_responses_without_a_fault_give_the_whole_run() -> None:
    assert responses.finding(calm(phases=[])) == "95 % of responses came within 1.2 s, over the whole run"


def test_too_few_responses_give_no_percentile() -> None:
    few = made_up_run.spread(12, by_outcome={}, max=3.5)
    assert responses.finding(made_up_run.summary(response_seconds=few, phases=[])) == (
        "12 responses: too few for percentiles; the longest took 3.5 s"
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
    phases = made_up_run.summary_json()["phases"]
    phases[1]["response_seconds"] = made_up_run.spread(120, 2.4, p95=None)
    assert responses.finding(calm(phases=phases)) == (
        "Half of the responses came within 400 ms before, but 2.4 s during the brownout"
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
    phases = made_up_run.summary_json()["phases"][:2]
    phases[1]["response_seconds"] = made_up_run.spread(420, 0.41)
    said = responses.finding(calm(phases=phases))
    assert said == "95 % of responses came within 1.2 s, and the brownout hardly changed that (1.2 s)"


def test_a_fault_that_made_responses_quicker_is_not_said_to_have_slowed_them() -> None:
    phases = made_up_run.summary_json()["phases"][:2]
    phases[1]["response_seconds"] = made_up_run.spread(420, 0.01)
    said = responses.finding(calm(phases=phases))
    assert said == "95 % of responses came within 1.2 s before, and even within 30 ms during the brownout"


def test_quick_refusals_do_not_make_responses_look_well() -> None:
    assert responses.finding(made_up_run.summary()) == (
        "17 % of responses: unavailable (503), half of them within 12 ms; 95 % of the accepted came within 1.2 s"
    )


def test_where_nothing_was_accepted_it_is_said() -> None:
    whole = made_up_run.spread(300, 0.01, by_outcome={"unavailable": made_up_run.spread(300, 0.01)})
    assert responses.finding(made_up_run.summary(response_seconds=whole)) == (
        "100 % of responses: unavailable (503), half of them within 10 ms; none was accepted"
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
    assert spectrum.finding(made_up_run.summary(delivery_seconds=most)) == "645 of 1,086 pages were never delivered"


def test_the_spectrum_of_a_few_pages_says_that_they_are_too_few() -> None:
    few = made_up_run.summary(delivery_seconds=made_up_run.spread(50, 0.4, p95=None, p99=None, never=0))
    assert spectrum.finding(few) == "50 pages are too few to tell how long the slowest took"


def test_the_time_is_told_as_shares_overall_and_during_the_fault() -> None:
    assert timespent.finding(made_up_run.series()) == (
        "Delivered attempts spent 67 % of their time in the queue and 31 % being served;"
        " during the brownout 90 % in the queue"
    )


def test_the_time_of_no_attempt_is_not_known() -> None:
    said = "No attempt was delivered, so it is not known where the time went"
    assert timespent.finding(made_up_run.no_series()) == said


def test_tries_tell_the_share_of_first_attempts_and_the_most_stubborn_page() -> None:
    assert tries.finding(made_up_run.series()) == (
        "83 % of 1,086 pages were delivered at the first attempt; no page took more than 4 attempts;"
        " 6 were never attempted"
    )


def test_tries_of_a_perfect_evening() -> None:
    perfect = AttemptsPerPage(np.array([0, 7]), np.array([0, 0]))
    assert tries.finding(made_up_run.series(tries=perfect)) == "All 7 pages were delivered at the first attempt"


def test_tries_of_an_evening_that_never_began() -> None:
    nothing = AttemptsPerPage(np.array([0]), np.array([9]))
    assert tries.finding(made_up_run.series(tries=nothing)) == "None of 9 pages was attempted"
