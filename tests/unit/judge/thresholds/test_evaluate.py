from __future__ import annotations

import pytest

from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import summarise
from harness.base.errors import ConfigurationError
from harness.base.model import Outcome
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import check_assertions, evaluate_condition, evaluate_thresholds
from harness.judge.thresholds.parser import InvalidAssertionError
from harness.run_folder import scrape_log
from harness.run_folder.layout import FaultRecord
from tests.support.run_builder import RunBuilder


def figures_of(folder):
    """Summary and samples, as after a run."""
    return summarise(folder), RunData(folder, load_rows(folder))


def held(figures, assertion):
    """The assertion held against the figures."""
    return evaluate_condition(parse_condition(assertion), *figures)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """250 stations with a page each: 240 delivered after 1 ms, 2 ms, … 240 ms; 10 refused with a 503 after 1 s."""
    made = RunBuilder(tmp_path_factory.mktemp("run") / "run", stations=250)
    for page in range(240):
        made.attempt(page, done_s=(page + 1) / 1000, sent_bytes=1_000)
    for page in range(240, 250):
        made.attempt(page, outcome=Outcome.UNAVAILABLE, due_s=25.0, done_s=26.0, sent_bytes=1_000)
    made.store_all(but=range(240, 250))
    return figures_of(made.finish("deadline", at_s=72.0))


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """A run that did nothing."""
    return figures_of(RunBuilder(tmp_path_factory.mktemp("nothing") / "run").finish(at_s=0.0))


PASSING_AND_FAILING = [
    ("p50(response_seconds) <= 125ms", "p50(response_seconds) < 125ms", 0.125),
    ("p95(response_seconds) < 239ms", "p95(response_seconds) < 0.238", 0.238),
    ("p50(delivery_seconds) < 1s", "p50(delivery_seconds) < 100ms", 0.125),
    ("min(response_seconds) >= 1ms", "min(response_seconds) > 1ms", 0.001),
    ("max(response_seconds) <= 1", "max(response_seconds) < 1", 1.0),
    ("avg(response_seconds) < 160ms", "avg(response_seconds) < 150ms", (0.001 * 240 * 241 / 2 + 10) / 250),
    ("count(response_seconds) == 250", "count(response_seconds) != 250", 250.0),
    ("p25(service_seconds) < 64ms", "p(25)(service_seconds) < 62ms", 0.063),
    ("max(lateness_seconds) < 50ms", "max(lateness_seconds) > 50ms", 0.0),
    ("stations.completed_by_deadline_ratio >= 96%", "stations.completed_by_deadline_ratio > 96%", 0.96),
    ("attempts.by_outcome.unavailable == 10", "attempts.by_outcome.unavailable < 10", 10.0),
    ("attempts.by_outcome.reset == 0", "attempts.by_outcome.reset > 0", 0.0),
    ("attempts.amplification <= 1", "attempts.amplification < 1", 1.0),
    ("attempts.sent_bytes <= 250KB", "attempts.sent_bytes < 250KB", 250_000.0),
    ("pages.gave_up_by_reason.deadline == 0", "pages.gave_up_by_reason.deadline > 0", 0.0),
    ("response_seconds.p95 < 239ms", "response_seconds.p95 < 238ms", 0.238),
    ("response_seconds.by_outcome.accepted.max <= 240ms", "response_seconds.by_outcome.accepted.max < 240ms", 0.24),
    ("response_seconds.count == 250", "response_seconds.count != 250", 250.0),
    ("rates.sent_bytes_per_s > 9KB/s", "rates.sent_bytes_per_s < 9KB/s", 250_000 / 26),
    ("rates.throughput_per_s > 9/s", "rates.throughput_per_s < 9/s", 250 / 26),
    ("kelurahan.3509191001.completed_by_deadline == 240", "kelurahan.3509191001.completed_by_deadline > 240", 240.0),
    ("audit.unsafe == 0", "audit.unsafe > 0", 0.0),
]


@pytest.mark.parametrize(("passing", "failing", "observed"), PASSING_AND_FAILING)
def test_a_threshold_passes_and_its_twin_fails(run, passing, failing, observed):
    good, bad = held(run, passing), held(run, failing)
    assert good.observed == pytest.approx(observed, abs=1e-9)
    assert bad.observed == pytest.approx(observed, abs=1e-9)
    assert (good.passed, good.reason) == (True, "")
    assert bad.passed is False
    assert bad.reason != ""


@pytest.mark.parametrize(
    "assertion",
    [
        *(f"{aggregation}({sample}_seconds) {compare} 10"
          for aggregation in ("p50", "avg", "min", "max", "count")
          for sample in ("response", "service", "delivery", "completion", "lateness")
          for compare in ("<", ">", "!=")),
        "response_seconds.p50 < 10", "response_seconds.mean < 10", "response_seconds.by_outcome.accepted.max < 10",
        "attempts.by_outcome.reset == 0", "attempts.amplification < 2", "rates.goodput_per_s >= 0",
        "server.shed == 0", "server.shed_by_reason.queue_full == 0", "server.wasted_work == 0",
        "generator.cpu_max_ratio < 90%", "recovery.brownout.recovered_after_s < 10s",
        "recovery.brownout.metastable == false", "generator.scraped.attempts == 0", "kelurahan.99.stations == 0",
    ],
)  # fmt: skip
def test_no_data_is_a_failure_whatever_is_asserted(nothing, assertion):
    found = held(nothing, assertion)
    assert (found.passed, found.observed) == (False, None)
    assert found.reason != ""


@pytest.mark.parametrize("compare", ["<", ">"])
def test_a_rate_in_no_time_is_no_value(tmp_path, compare):
    made = RunBuilder(tmp_path / "run", warm_up_s=10.0)
    made.attempt(0)
    found = held(figures_of(made.finish(at_s=10.0)), f"rate(deliveries) {compare} 1")
    assert (found.passed, found.observed, found.reason) == (False, None, "no time passed")


def test_what_is_acknowledged_just_when_the_warm_up_ends_is_delivered_after_it(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=2, warm_up_s=10.0)
    made.attempt(0, due_s=9.0, done_s=10.0)
    made.attempt(1, due_s=9.0, done_s=9.999)
    assert held(figures_of(made.finish(at_s=20.0)), "count(deliveries) > 0").observed == 1.0


def test_a_window_that_the_run_did_not_have_is_named(run):
    found = held(run, 'max(response_seconds) < 1s during "brownout"')
    assert (found.passed, found.observed, found.reason) == (False, None, "no data: the run had no fault brownout")


def test_a_series_that_was_never_scraped_is_named_with_or_without_its_labels(run):
    why = "no data: no scrape has a series mock_server_shed_total"
    assert held(run, "count(mock_server_shed_total) < 9").reason == why
    assert held(run, 'count(mock_server_shed_total{reason="codel"}) < 9').reason == f"{why} with these labels"


def test_too_small_a_sample_fails_with_the_size_it_needs(run):
    found = held(run, "p99(response_seconds) < 100s")
    assert (found.passed, found.observed) == (False, None)
    assert found.reason == "n/a (needs 1,000; there are 250)"
    assert held(run, "response_seconds.p99 < 100s").reason == found.reason
    assert held(run, "p99.9(response_seconds) < 100s").reason == "n/a (needs 10,000; there are 250)"


@pytest.mark.parametrize("compare", ["<", ">"])
def test_a_percentile_that_never_arrived_fails_either_way(tmp_path, compare):
    made = RunBuilder(tmp_path / "run", stations=200)
    for page in range(150):
        made.attempt(page)
    figures = figures_of(made.finish("deadline", at_s=72.0))
    found = held(figures, f"p95(delivery_seconds) {compare} 10")
    assert (found.passed, found.observed) == (False, None)
    assert found.reason == "p95 is infinite: 50 of 200 pages were never acknowledged"
    assert held(figures, f"delivery_seconds.p95 {compare} 10").reason == found.reason
    for assertion in (f"max(delivery_seconds) {compare} 10", f"avg(delivery_seconds) {compare} 10"):
        assert held(figures, assertion).reason == "it is infinite: 50 of 200 pages were never acknowledged"
    completion = held(figures, f"p95(completion_seconds) {compare} 10")
    assert completion.reason == "p95 is infinite: 50 of 200 stations never finished"
    assert held(figures, "min(delivery_seconds) < 10").observed == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("assertion", "reason"),
    [
        ("max(response_seconds) < 800ms", "200 ms (25 %) above the limit"),
        ("min(response_seconds) > 1s", "999 ms (100 %) below the limit"),
        ("p95(response_seconds) < 1ms", "237 ms above the limit"),
        ("stations.completed_ratio >= 99%", "3 percentage points below the limit"),
        ("attempts.by_outcome.unavailable == 0", "10 above the limit"),
        ("attempts.by_outcome.unavailable != 10", "it is 10"),
        ("attempts.by_outcome.unavailable < 10", "it is 10"),
    ],
)
def test_a_breach_says_by_how_much(run, assertion, reason):
    assert held(run, assertion).reason == reason


def test_a_fault_that_was_never_recovered_from_is_a_breach(tmp_path):
    fault = FaultRecord(name="brownout", kind="capacity", start_s=10.0, end_s=20.0)
    made = RunBuilder(tmp_path / "run", due_s=[15.0], faults=[fault])
    made.attempt(0, outcome=Outcome.RESET, due_s=15.0)
    figures = figures_of(made.finish("deadline", at_s=72.0))
    assert held(figures, "recovery.brownout.recovered_after_s < 10s").reason == "it never recovered"
    assert held(figures, "recovery.other.recovered_after_s < 10s").reason == "no fault other ended within the run"
    unknown = held(figures, "recovery.brownout.metastable == false")
    assert (unknown.passed, unknown.observed) == (False, None)
    assert unknown.reason.startswith("unknown: too little was delivered before the fault")
    assert held(figures, "recovery.brownout.ended_s == 20s").passed is True


def test_an_assertion_given_twice_is_judged_once(run):
    found = evaluate_thresholds(["pages.planned == 250", "audit.lost == 0", "pages.planned == 250"], *run)
    assert [one.assertion for one in found] == ["pages.planned == 250", "audit.lost == 0"]


def test_a_category_of_the_audit_is_a_figure(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=3)
    made.attempt(0)
    made.attempt(1)
    made.store_all(but=[0, 2])
    figures = figures_of(made.finish(at_s=2.0))
    assert held(figures, "audit.lost == 0").reason == "1 above the limit"
    assert held(figures, "audit.unattempted == 1").passed is True


def test_a_category_of_the_audit_has_no_figure_when_nobody_could_look(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0)
    found = held(figures_of(made.finish(at_s=2.0)), "audit.lost == 0")
    assert (found.passed, found.observed) == (False, None)
    assert "could not be read" in found.reason


WRONG = [
    ("p95(delivery_second) < 10", 'there is no metric "delivery_second"; did you mean "delivery_seconds"?'),
    ("p95(planned) < 10", 'there is no metric "planned"; available: attempts, deliveries, response_seconds'),
    (
        "median(delivery_seconds) < 10",
        'there is no aggregation "median"; available: pN, avg, min, max, count, rate, ratio, last',
    ),
    ("pN(delivery_seconds) < 10", 'there is no aggregation "pN"'),
    ("p100(delivery_seconds) < 10", "p100 is not a percentile"),
    ("p0(delivery_seconds) < 10", "p0 is not a percentile"),
    ("stations.complete > 3", 'there is no "complete" in stations; did you mean "completed"?'),
    ("station.completed > 3", 'there is no "station"; did you mean "stations"?'),
    ("attempts.by_outcome.rest == 0", 'there is no "rest" in attempts.by_outcome; did you mean "reset"?'),
    ("attempts.by_outcome == 0", "attempts.by_outcome is not a figure: name one of accepted"),
    ("pages.gave_up_by_reason.bored == 0", 'there is no "bored" in pages.gave_up_by_reason'),
    ("response_seconds.by_outcome.ok.p50 < 1", 'there is no "ok" in response_seconds.by_outcome'),
    ("response_seconds.by_outcome.reset < 1", "response_seconds.by_outcome.reset is not a figure: it contains count"),
    ("delivery_seconds < 10", 'for its rows write "p95(delivery_seconds)"'),
    ("stations < 10", "stations is not a figure: it contains planned, due"),
    ("name == 3", "name is not a figure: it is a text"),
    ("recovery < 3", "recovery is not a figure: name an entry, as in recovery.<fault>.…"),
    ("recovery.brownout.after_s < 3", 'there is no "after_s" in recovery.brownout'),
    ("phases.clear.attempts > 3", "phases has no figure named clear"),
    ("response_seconds.intervals.p95 < 3", "has no figure named p95"),
    ("stations.planned.more > 3", "stations.planned has no figure named more"),
    ("max(lateness_seconds) < 50 parsecs", '"50 parsecs" is not a duration'),
    ("count(lateness_seconds) < 50ms", '"50ms" is not a number'),
    ("stations.completed_ratio >= 95", 'write "95%"'),
    ("pages.planned = 3", "expected an operator"),
]


@pytest.mark.parametrize(("assertion", "message"), WRONG)
def test_a_wrong_assertion_is_refused_with_what_is_allowed(assertion, message):
    with pytest.raises(ConfigurationError) as caught:
        check_assertions([assertion])
    assert message in str(caught.value)
    assert assertion in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once():
    assertions = ["p95(delivery_seconds) < 10", *(assertion for assertion, _ in WRONG)]
    with pytest.raises(ConfigurationError) as caught:
        check_assertions(assertions, "evening.toml")
    assert str(caught.value).startswith("evening.toml:\n  thresholds #2: ")
    assert len(caught.value.problems) == len(WRONG)


@pytest.mark.parametrize("assertion", [assertion for pair in PASSING_AND_FAILING for assertion in pair[:2]])
def test_what_can_be_evaluated_passes_the_check(assertion):
    check_assertions([assertion])


def test_a_wrong_assertion_can_not_be_evaluated(run):
    with pytest.raises(InvalidAssertionError, match="no metric"):
        held(run, "p95(delivery) < 10")


@pytest.mark.heavy
def test_the_very_percentile_that_is_asked_for_comes_from_the_rows(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=4_000)
    for page in range(4_000):
        made.attempt(page, done_s=(page + 1) / 1000)
    found = held(figures_of(made.finish("deadline", at_s=72.0)), "p99.5(response_seconds) < 3981ms")
    assert (found.observed, found.passed) == (3.98, True)


def test_a_figure_that_is_true_or_false_is_judged_as_such(tmp_path):
    fault = FaultRecord(name="brownout", kind="capacity", start_s=10.0, end_s=20.0)
    made = RunBuilder(tmp_path / "run", due_s=[5.0, 15.0, 25.0], faults=[fault])
    for page, due_s in enumerate((5.0, 15.0, 25.0)):
        made.attempt(page, due_s=due_s)
    figures = figures_of(made.finish("deadline", at_s=72.0))
    good, bad = (held(figures, f"recovery.brownout.metastable == {word}") for word in ("false", "true"))
    assert (good.passed, good.observed, good.unit) == (True, 0.0, "bool")
    assert (bad.passed, bad.reason) == (False, "false, expected true")
    assert held(figures, "recovery.brownout.metastable != false").reason == "false, expected not false"


def write_scrapes(run, *texts):
    for second, text in enumerate(texts):
        scrape_log.append_scrape(run.folder.scrapes, scrape_log.Scrape("app", float(second), text))


@pytest.mark.parametrize("assertion", ['count(x_total{target="app"}) < 100', 'last(depth{target="app"}) < 100'])
@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (
            ["x_total 5\ndepth 1\n", "x_total 1_0\ndepth 1_0\n"],
            "no data: a scrape of app can't be read: not a sample: ",
        ),
        (
            [f"process_start_time_seconds {start}\nx_total 5\ndepth 1\n" for start in (1, 2, 1)],
            "no data: several processes answer in turn at the /metrics of app",
        ),
    ],
)
def test_series_that_would_give_a_wrong_figure_give_none(tmp_path, assertion, texts, reason):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0)
    write_scrapes(made, *texts)
    found = held(figures_of(made.finish(at_s=2.0)), assertion)
    assert (found.passed, found.observed, found.reason.startswith(reason)) == (False, None, True), found.reason


def test_a_restart_between_two_scrapes_loses_no_count(tmp_path):
    made = RunBuilder(tmp_path / "run")
    made.attempt(0)
    write_scrapes(
        made, *(f"process_start_time_seconds {start}\nx_total {n}\n" for start, n in ((1, 0), (1, 60), (2, 70)))
    )
    assert held(figures_of(made.finish(at_s=2.0)), 'count(x_total{target="app"}) < 100').observed == 130
