"""A threshold over a million attempts of an hour takes well under a second of CPU, whatever it chooses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from harness.analysis.attempts_table import GivenUpPages
from harness.analysis.rows import AttemptColumns, Rows, StationColumns
from harness.analysis.run_data import RunData
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import evaluate_condition
from harness.run_folder.layout import FaultRecord, PhaseRecord, RunEnd, RunFolder, RunRecord

ROWS, STATIONS, HOUR_S = 1_000_000, 333_334, 3600.0
RECORD = RunRecord(
    id="x", name="x", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=HOUR_S, time_scale=1, client_timeout_s=5,
    workers=[], versions={}, host={}, command=[], ended=RunEnd(how="deadline", at_s=HOUR_S),
    phases=[PhaseRecord(name="clear", start_s=0, end_s=1000), PhaseRecord(name="brownout", start_s=1000, end_s=HOUR_S)],
    faults=[FaultRecord(name="brownout", kind="capacity", start_s=1000, end_s=HOUR_S)],
)  # fmt: skip


@pytest.fixture(scope="module")
def evidence():
    rng = np.random.default_rng(1)
    codes = [f"35{number // 9990 % 100:02d}{number // 999:06d}{number % 999 + 1:03d}" for number in range(STATIONS)]
    due_s = np.sort(rng.uniform(0, HOUR_S, ROWS))
    attempts = AttemptColumns(
        page=rng.permutation(STATIONS * 3)[:ROWS], attempt=np.ones(ROWS, dtype=np.int64), due_s=due_s, sent_s=due_s + 0.001,
        done_s=due_s + rng.lognormal(-2, 0.5, ROWS), outcome=np.where(rng.random(ROWS) < 0.02, 5, 0),
        sent_bytes=np.ones(ROWS, dtype=np.int64), resent_bytes=np.zeros(ROWS, dtype=np.int64),
    )  # fmt: skip
    stations = StationColumns(
        np.array(sorted(codes), dtype=object), rng.uniform(0, HOUR_S, STATIONS), np.full(STATIONS, 3)
    )
    nothing = GivenUpPages(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64))
    rows = Rows(RECORD, stations, np.repeat(np.arange(STATIONS), 3), attempts, nothing)
    rows.acknowledged_s, rows.first_due_s, rows.completed_s  # noqa: B018 - the summary has computed them already
    return RunData(RunFolder(Path("none")), rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "assertion",
    [
        "p99(response_seconds) < 2s",
        'p95(response_seconds{phase="brownout", outcome="accepted"}) < 2s',
        "p95(delivery_seconds{kelurahan=~'.*1'}) < 2s",
        "count(attempts{station=~'.*1'}) > 9",
        "p50(response_seconds) < 2s over 1s",
        "p99(response_seconds) < 2s over 10m",
        "ratio(attempts{outcome='accepted'}) > 80% over 10s",
        "rate(deliveries) > 1 over 10s",
    ],
)
def test_a_threshold_over_a_million_rows_takes_well_under_a_second(evidence, assertion):
    began = time.process_time()
    found = evaluate_condition(parse_condition(assertion), cast("Any", None), evidence)
    took_s = time.process_time() - began
    assert found.observed is not None
    assert took_s < 2.0  # measured: 0.02 to 0.6 s on two busy cores
