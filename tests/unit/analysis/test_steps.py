"""Uploads of several requests: each step's figures, and its rows."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from harness.analysis.step_names import steps_after_photo
from harness.analysis.steps import compute_step_figures
from harness.base.model import MalformedReason, Outcome
from harness.run_folder.journal import AttemptRecord
from tests.support.made_up_verdicts import record
from tests.support.run_builder import RunBuilder

STEPS = [{"name": "create", "path": "/uploads", "body": "json"}, {"name": "put", "path": "/it", "body": "raw"}]


def request(step: int, outcome: Outcome, status: int, took_s: float | None, **more: Any) -> AttemptRecord:
    done_s = float("nan") if took_s is None else 1.0 + took_s
    return AttemptRecord(outcome, status, step=step, attempt=1, sent_s=1.0, done_s=done_s, **more)


@pytest.fixture
def run(tmp_path):
    made = RunBuilder(tmp_path / "run", stations=2, scenario={"name": "made", "target": {"steps": STEPS}})
    made.step(request(1, Outcome.ACCEPTED, 201, 0.2, page=0))
    made.step(request(2, Outcome.MALFORMED, 200, 0.4, page=0, resent_bytes=3, reason=MalformedReason.TOKEN))
    made.step(request(1, Outcome.UNAVAILABLE, 503, 0.1, page=1))
    made.step(request(1, Outcome.UNAVAILABLE, 503, 0.3, page=1))
    made.step(request(1, Outcome.TIMEOUT_RESPONSE, 0, 9.0, page=1))
    made.step(request(2, Outcome.RESET, 0, None, page=1))
    return made.finish(at_s=5.0)


def test_each_step_has_its_requests_by_status_and_the_times_of_those_that_were_answered(run):
    create, put = compute_step_figures(run, run.read_run())
    assert (create.name, create.requests, create.by_status) == ("create", 4, {"503": 2, "no answer": 1, "201": 1})
    assert create.seconds.count == 3, "a timeout has no answer"
    assert create.seconds.max == pytest.approx(0.3)
    assert (put.name, put.requests, put.by_status) == ("put", 2, {"no answer": 1, "200": 1})
    assert put.seconds.count == 1


def test_each_request_is_a_row_with_its_page_its_part_and_why(run):
    compute_step_figures(run, run.read_run())
    columns = "station, step, part, status, outcome, reason, done_s, worker"
    rows = duckdb.read_parquet(str(run.steps)).filter("step = 'put'").select(columns).order("station").fetchall()
    assert rows == [
        ("3509191001001", "put", 3, 200, "malformed", str(MalformedReason.TOKEN), pytest.approx(1.4), 0),
        ("3509191001002", "put", None, None, "reset", None, None, 0),
    ]


@pytest.mark.parametrize(
    ("steps", "after"),
    [
        (STEPS, []),
        ([*STEPS, {"name": "confirm", "body": "json"}], ["confirm"]),
        ([STEPS[0], {"name": "form", "body": "multipart", "parts": [{"name": "file"}]}, {"name": "ok"}], ["ok"]),
        ([{"name": "form", "body": "multipart", "parts": [{"name": "who", "value": "me"}]}, {"name": "ok"}], []),
    ],
)
def test_what_comes_after_the_photo_follows_the_step_that_sends_it(steps, after):
    assert steps_after_photo(record(scenario={"target": {"steps": steps}})) == after
