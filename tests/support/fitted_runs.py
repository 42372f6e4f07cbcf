"""Simulated runs as a fit takes measured ones: the truth is what was planted in their scenario."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.run_folder.attempt_timings import AttemptTimings
from harness.scenario.scenario import Scenario
from harness.simulate.fitting.costs import MeasuredRun
from tests.support.simulations import PlayedSimulation

TIMES = ("sent_s", "connected_s", "body_sent_s", "first_byte_s", "done_s", "retry_after_s", "login_s", "queue_s", "server_s")  # fmt: skip


def measured(scenario: Scenario, name: str = "run") -> MeasuredRun:
    """A scenario played in virtual time, as if it had been measured."""
    played = PlayedSimulation(scenario)
    rows = played.rows[np.argsort(played.rows["sent_s"], kind="stable")]
    keys = [played.plan.key(page) for page in rows["page"].tolist()]
    sizes = np.array([body.size_bytes for body in played.plan.bank])[played.plan.body_of_page]
    columns: dict[str, Any] = {time: rows[time].astype(np.float64) for time in TIMES}
    timings = AttemptTimings(
        station=np.array([key.station for key in keys], dtype=object),
        form=np.array([key.form for key in keys], dtype=object),
        page=np.array([key.page for key in keys]),
        attempt=rows["attempt"].astype(np.int64),
        outcome=rows["outcome"].astype(np.int64),
        status=rows["status"].astype(np.int64),
        size_bytes=sizes[rows["page"]],
        **columns,
    )
    faulty = [(fault.start, fault.end or scenario.longest_s) for fault in scenario.faults]
    return MeasuredRun(name, scenario, timings, faulty)
