"""The attempts to look up in a server's traces: the failed, the slowest, and those at pages that the audit found unsafe."""

from harness.analysis.chart_data import load_chart_data
from harness.analysis.traces import MAX_LISTED_ATTEMPTS, find_traced
from harness.base.model import Outcome
from harness.judge.verdict import judge_run
from harness.run_folder.trace import trace_id, trace_prefix
from reports.audit import unsafe_rows
from reports.tables import traces_table
from tests.support.run_builder import RunBuilder

TRACED = {"name": "made", "stations": {"region": "kaliwates"}, "thresholds": [], "client": {"trace": True}}


def made(path, scenario=TRACED, **record):
    """Two stations: the first one's page fails, is withheld and succeeds; the second one's takes longest, and is lost."""
    run = RunBuilder(path, stations=2, scenario=scenario, **record)
    run.attempt(0, outcome=Outcome.UNAVAILABLE, status=503, sent_s=0.0, done_s=0.1)
    run.withhold(0, attempt=2, due_s=0.2)
    run.attempt(0, attempt=3, sent_s=0.5, done_s=0.7)
    run.attempt(1, sent_s=1.0, done_s=3.0)
    run.store_all(but=[1])
    return run.finish(at_s=4.0)


def id_of(folder, page, attempt):
    record = folder.read_run()
    station = ["3509191001001", "3509191001002"][page]
    return trace_id(trace_prefix(record.id, station, "ppwp", 1), attempt)


def test_failed_and_slowest_attempts_are_listed_with_the_traces_of_their_rows(tmp_path):
    folder = made(tmp_path / "run")
    traced = load_chart_data(folder).traced
    assert traced is not None
    assert [(one.outcome, one.status, one.attempt, one.trace_id) for one in traced.failed] == [
        ("unavailable", 503, 1, id_of(folder, 0, 1))
    ]
    assert [(one.attempt, round(one.took_s, 6), one.trace_id) for one in traced.slowest] == [
        (1, 2.0, id_of(folder, 1, 1)),
        (3, 0.2, id_of(folder, 0, 3)),
        (1, 0.1, id_of(folder, 0, 1)),
    ]
    table = traces_table(load_chart_data(folder))
    assert [row[-1].text for row in table.rows] == [one.trace_id for one in [*traced.failed, *traced.slowest]]
    assert [row[2].text for row in table.rows] == ["failed", "slowest", "slowest", "slowest"]


def test_a_lost_page_is_listed_with_the_trace_of_its_acknowledged_attempt(tmp_path):
    folder = made(tmp_path / "run")
    audit = judge_run(folder, []).audit
    (page,) = audit.pages["lost"]
    assert page.trace_ids == [id_of(folder, 1, 1)]
    rows, _ = unsafe_rows(audit)
    assert rows[0][-1] == f"nothing (trace {id_of(folder, 1, 1)})"


def test_without_traces_nothing_is_listed(tmp_path):
    plain = made(tmp_path / "plain", {**TRACED, "client": {}})
    simulated = made(tmp_path / "simulated", simulated=True)
    for folder in (plain, simulated):
        chart_data = load_chart_data(folder)
        assert chart_data.traced is None
        assert traces_table(chart_data).rows == []
        assert [page.trace_ids for page in judge_run(folder, []).audit.pages["lost"]] == [[]]


def test_the_lists_are_bounded(tmp_path):
    run = RunBuilder(tmp_path / "run", scenario=TRACED)
    for number in range(1, MAX_LISTED_ATTEMPTS + 6):
        run.attempt(
            0, attempt=number, outcome=Outcome.RESET, due_s=number, sent_s=number, done_s=number + 0.001 * number
        )
    folder = run.finish(at_s=40.0)
    load_chart_data(folder)
    traced = find_traced(folder, folder.read_run())
    assert traced is not None
    assert [one.attempt for one in traced.failed] == [*range(1, MAX_LISTED_ATTEMPTS + 1)]
    assert [one.attempt for one in traced.slowest][:2] == [MAX_LISTED_ATTEMPTS + 5, MAX_LISTED_ATTEMPTS + 4]
