"""One phone of a closed workload: a station's evening, a pause to think, the next station's evening."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.drive.virtual_user import VirtualUser, WorkerContext, sleep_until


def run_closed_user(desk: WorkerContext, stations: Sequence[int], evening: Callable[[int, float], VirtualUser]) -> None:
    """Take the stations one after another, each due a think time after the end of the one before, until the deadline.

    `evening` makes the evening of a station (its number in the plan) that is due at a moment.
    """
    rounds = desk.plan.rounds
    if rounds is None:
        message = "an open workload has no rounds"
        raise ValueError(message)
    over_s = float(desk.plan.due_s[stations[0]] - rounds.think_s[stations[0]])
    for station in stations:
        due_s = over_s + float(rounds.think_s[station])
        if due_s >= desk.deadline_s:
            return
        sleep_until(desk.clock, due_s)
        desk.telemetry.pages_due += len(desk.plan.slots)
        ended_s = evening(station, due_s).run()
        if ended_s is None:
            return
        over_s = ended_s
