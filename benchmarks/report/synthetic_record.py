"""What run.json says of a made-up evening: the scenario that it could have been, its phases, its end."""

from __future__ import annotations

import numpy as np

from benchmarks.report.synthetic_rows import BROWNOUT_RATIOS, MAX_ATTEMPTS, PAGES_PER_STATION, SyntheticAttempts
from harness.base import host_info
from harness.run_folder.layout import (
    FaultRecord,
    PhaseRecord,
    RunEnd,
    RunFolder,
    RunRecord,
    StoreReadRecord,
    WorkerRecord,
)
from harness.scenario.loader import load_scenario

T0_EPOCH = 1_707_901_200.0
_SCENARIO = """
name = "big"
title = "Election night for {stations} stations and one overloaded server"
seed = {seed}
deadline = "{deadline}s"
time_scale = {time_scale}
[stations]
region = "{region}"
count = {stations}
[arrivals]
kind = "curve"
points = [["0s", 0.0], ["{half}s", 0.5], ["{last}s", 1.0]]
[client]
timeout = "10s"
retry = {{ strategy = "full_jitter", base = "1s", cap = "30s", max_attempts = {tries} }}
[server]
[[faults]]
name = "brownout"
kind = "capacity"
start = "{start}s"
duration = "{duration}s"
factor = 0.2
[[thresholds]]
assert = "p95(delivery_seconds) < 600"
[[thresholds]]
assert = 'p99(response_seconds{{outcome="accepted"}}) < 10'
[[thresholds]]
assert = 'ratio(attempts{{outcome="unavailable"}}) < 90% during "brownout"'
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 50%"
"""


def make_run_record(
    folder: RunFolder, region: str, stations: int, deadline_s: int, workers: int, tried: SyntheticAttempts, seed: int
) -> RunRecord:
    """What run.json says of an evening of so many stations of a region, sent by so many workers."""
    start_s, end_s = (round(share * deadline_s) for share in BROWNOUT_RATIOS)
    toml = folder.path / "big.toml"
    toml.write_text(
        _SCENARIO.format(
            stations=stations, seed=seed, deadline=deadline_s, region=region, time_scale=259_200 / deadline_s,
            half=deadline_s / 9, last=deadline_s / 2, tries=MAX_ATTEMPTS, start=start_s, duration=end_s - start_s,
        ), encoding="utf-8",
    )  # fmt: skip
    scenario = load_scenario(str(toml))
    toml.unlink()
    ended_s = float(tried.done_s.max()) + 0.2
    made = np.bincount(tried.page // PAGES_PER_STATION % workers, minlength=workers).tolist()
    return RunRecord(
        id=folder.path.name,
        name=scenario.name,
        title=scenario.title,
        scenario=scenario.resolved(),
        seed=seed,
        target="http://127.0.0.1:8080",
        own_server=True,
        deadline_s=deadline_s,
        time_scale=scenario.time_scale,
        client_timeout_s=10.0,
        workers=[WorkerRecord(rank=rank, attempts=count) for rank, count in enumerate(made)],
        versions=host_info.package_versions(),
        host=host_info.describe_host(),
        command=["python", "-m", "benchmarks.report.synthetic_run"],
        t0_epoch=T0_EPOCH,
        phases=[
            PhaseRecord(name="clear", start_s=0.0, end_s=start_s),
            PhaseRecord(name="brownout", start_s=start_s, end_s=end_s),
            PhaseRecord(name="clear", start_s=end_s, end_s=max(ended_s, deadline_s)),
        ],
        faults=[FaultRecord(name="brownout", kind="capacity", start_s=start_s, end_s=end_s)],
        ended=RunEnd(how="deadline", at_s=max(ended_s, deadline_s)),
        stock=StoreReadRecord(),
    )
