"""The harness's side of workers on other machines: waiting for them, telling who came, checking that the plan fits each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from harness.base.errors import ConfigurationError
from harness.base.host_limits import HostLimits
from harness.plan.capacity import WorkerShare, find_share_problems
from harness.runner.run_spec import JoinPolicy, RunSpec
from harness.runner.subprocesses import Message, ProcessGroup

_START_AFTER_JOIN_S = 90.0
"""For what comes after the limit for joining: Locust's start, and the plan made again on every machine."""


def await_remote_workers(family: ProcessGroup, order: RunSpec, port: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Wait until all workers have joined and are ready; what `ready` tells, with each worker's machine in `hosts`.

    Raises UsageError where not enough came in time or one refused the plan, ConfigurationError where the plan doesn't fit one
    of the machines, ChildError where one died.
    """
    invitation = order.invitation
    if invitation is None:
        message = "nobody was invited"
        raise ValueError(message)
    say(
        f"Waiting for {order.counted} at {invitation.host}:{port} ({invitation.timeout_s:g} s): harness worker --master HOST:{port}"
    )
    joined = family.expect(
        "generator", "joined", invitation.timeout_s + _START_AFTER_JOIN_S, lambda it: _report_join(it, say)
    )
    hosts = {facts["rank"]: facts for facts in joined["workers"]}
    _check_fits(order, invitation, hosts)
    ready = family.expect("generator", "ready", _START_AFTER_JOIN_S)
    return {**ready, "hosts": joined["workers"]}


def _report_join(message: Message, say: Callable[[str], None]) -> None:
    """Tell who came, and who was turned away."""
    event, it = message.event, message.content
    if event == "join_accepted":
        offset, sure = 1000 * it["wall_offset_s"], 1000 * it["uncertainty_s"]
        say(f"Joined: {it['name']} ({it['cores']} cores, clock {offset:+.1f} ms ± {sure:.1f} ms)")
    elif event == "join_rejected":
        say(f"Refused: {it['name']}: {it['reason']}")


def _check_fits(order: RunSpec, invited: JoinPolicy, hosts: Mapping[int, dict[str, Any]]) -> None:
    """Raise ConfigurationError if a worker's machine can't carry what its workers have of the plan."""
    address = invited.host if order.foreign is None else order.foreign.address
    workers_of = Counter(facts["host"] for facts in hosts.values())
    limits_of = {facts["host"]: HostLimits(**facts["limits"]) for facts in hosts.values()}
    problems = [
        f"{host} ({number} of {order.workers} workers): {problem}"
        for host, number in workers_of.items()
        for problem in find_share_problems(
            order.scenario, order.plan, WorkerShare(number, order.workers), address, limits_of[host]
        )
    ]
    if problems:
        label = f"{order.scenario.name} does not fit the workers' machines"
        raise ConfigurationError(label, problems)
