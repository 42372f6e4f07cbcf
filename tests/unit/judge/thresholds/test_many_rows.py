"""A threshold over the attempts of an hour reads each a few times, whatever it chooses: a million take under a second."""

from __future__ import annotations

from functools import cache
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
from tests.support.counted_work import CountedArray, count_lines

HOUR_S = 3600.0
RECORD = RunRecord(
    id="x", name="x", title="", scenario={}, seed=1, target="", own_server=True, deadline_s=HOUR_S, time_scale=1, client_timeout_s=5,
    workers=[], versions={}, host={}, command=[], ended=RunEnd(how="deadline", at_s=HOUR_S),
    phases=[PhaseRecord(name="clear", start_s=0, end_s=1000), PhaseRecord(name="brownout", start_s=1000, end_s=HOUR_S)],
    faults=[FaultRecord(name="brownout", kind="capacity", start_s=1000, end_s=HOUR_S)],
)  # fmt: skip


@cache
def evidence(rows: int) -> RunData:
    """A run of so many attempts, whose columns count what is read of them."""
    rng, stations = np.random.default_rng(1), rows // 3 + 1
    codes = [f"35{number // 9990 % 100:02d}{number // 999:06d}{number % 999 + 1:03d}" for number in range(stations)]
    due_s = np.sort(rng.uniform(0, HOUR_S, rows))
    counted = CountedArray.of
    attempts = AttemptColumns(
        page=counted(rng.permutation(stations * 3)[:rows]), attempt=counted(np.ones(rows, dtype=np.int64)),
        due_s=counted(due_s), sent_s=counted(due_s + 0.001), done_s=counted(due_s + rng.lognormal(-2, 0.5, rows)),
        outcome=counted(np.where(rng.random(rows) < 0.02, 5, 0)), status=counted(np.zeros(rows, dtype=np.uint16)),
        sent_bytes=counted(np.ones(rows, dtype=np.int64)), resent_bytes=counted(np.zeros(rows, dtype=np.int64)),
    )  # fmt: skip
    columns = StationColumns(
        np.array(sorted(codes), dtype=object), rng.uniform(0, HOUR_S, stations), np.full(stations, 3)
    )
    nothing = GivenUpPages(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64))
    found = Rows(RECORD, columns, np.repeat(np.arange(stations), 3), attempts, nothing)
    for name in ("acknowledged_s", "first_due_s", "completed_s"):  # the summary has computed them already
        vars(found)[name] = counted(getattr(found, name))
    return RunData(RunFolder(Path("none")), found)


def steps(assertion: str, rows: int) -> tuple[int, int]:
    """Lines of Python that a threshold takes over so many attempts, and elements of columns that it reads."""
    condition, data = parse_condition(assertion), evidence(rows)
    observed = []
    CountedArray.read = 0
    lines = count_lines(lambda: observed.append(evaluate_condition(condition, cast("Any", None), data).observed))
    assert observed[0] is not None
    return lines, CountedArray.read


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("assertion", "lines_each_station"),
    [
        ("p99(response_seconds) < 2s", 0),
        ('p95(response_seconds{phase="brownout", outcome="accepted"}) < 2s', 0),
        ("p95(delivery_seconds{kelurahan=~'.*1'}) < 2s", 0),
        ("count(attempts{station=~'.*1'}) > 9", 8),  # a regular expression is tried once for each station
        ("p50(response_seconds) < 2s over 10s", 0),
        ("p99(response_seconds) < 2s over 10m", 0),
        ("ratio(attempts{outcome='accepted'}) > 80% over 10s", 0),
        ("rate(deliveries) > 1 over 10s", 0),
    ],
)
def test_a_threshold_reads_each_row_a_few_times_in_no_loop_of_python(assertion, lines_each_station):
    lines, read = steps(assertion, 20_000)
    twice_lines, twice_read = steps(assertion, 40_000)
    assert 20_000 < read < twice_read < 40 * 40_000, "3,591 windows may not read all rows each"
    assert twice_lines - lines < 1000 + lines_each_station * 20_000 / 3
