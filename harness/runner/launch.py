"""Start the processes that send: Locust with our locustfile, alone, as leader with workers, or for workers on other machines."""

from __future__ import annotations

import os
import secrets
import site
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.base.errors import ConfigurationError
from harness.base.host import HostLimits
from harness.drive.distributed.auth import JOIN_TOKEN
from harness.drive.distributed.join import JOIN_TIMEOUT, REMOTE_WORKERS
from harness.measure.process_monitor import HARNESS
from harness.plan.capacity import WorkerShare, find_share_problems
from harness.plan.photos import save_photo_bank
from harness.runner.run_spec import JoinPolicy, RunSpec
from harness.runner.subprocesses import Message, ProcessGroup
from harness.target.external import ExternalTarget

READY_TIMEOUT_S = 60.0
PYTHON_COMMAND = [sys.executable, "-P", "-m"]
"""-P keeps the current folder out of sys.path: a `json.py` beside the user's scenarios must not be imported."""
LOCUSTFILE = Path(__file__).parents[1] / "drive" / "locustfile.py"
_START_AFTER_JOIN_S = 90.0
"""For what follows the join timeout: Locust's start, and computing the plan again on every machine."""


def start_generator(
    processes: ProcessGroup, spec: RunSpec, private: Path, secret: str, log: Callable[[str], None],
    await_target: Callable[[], None] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Start Locust and wait until it is ready; the content of its `ready` event (each worker's rank, pid and metrics port).

    Meanwhile `await_target` waits for the server that was started before: when it returns, run.json has the target.
    `private` is an empty folder that becomes its home (a ~/.locust.conf must not change a run) and holds the photos for local
    workers. `secret` seeds the PINs. With remote workers it also waits until they have joined; `log` receives who did, and
    `ready` has their machines in `hosts`.

    Raises ProcessFailedError if a process doesn't become ready, Interruption on a signal, and what `_await_remote_workers` does.
    """
    workers, locust = spec.workers, locust_command()
    ports = {"HARNESS_METRICS_PORT": str(spec.metrics_port)}
    consent = _consent_tokens(spec.external)
    environment = child_environment(spec, HARNESS_PIN_SECRET=secret, **_home(private), **ports, **consent)
    # remote workers draw the photos again: a gigabyte of them must not travel; the user's own they can't have
    if spec.join_policy is None or spec.scenario.photos.folder is not None:
        environment["HARNESS_PHOTO_BANK"] = str(private / "photos.bin")
    users = ["-u", str(workers), "-r", str(workers)]
    if workers == 1 and spec.join_policy is None:
        environment.pop(JOIN_TOKEN, None)  # nothing listens, so nothing needs it
        processes.start("generator", [*locust, *users], environment)
        _admit_workers(processes, spec, environment, await_target)
        return processes.expect("generator", "ready", READY_TIMEOUT_S)
    # A token of its own for local workers: no other user of this machine may join the run.
    host, port, more = "127.0.0.1", 0, {JOIN_TOKEN: secrets.token_hex(32)}
    if (policy := spec.join_policy) is not None:
        host, port = policy.host, policy.port
        more = {JOIN_TOKEN: policy.token, REMOTE_WORKERS: str(workers), JOIN_TIMEOUT: repr(policy.timeout_s)}
    bind = ["--master", "--expect-workers", str(workers), "--master-bind-host", host, "--master-bind-port", str(port)]
    processes.start("generator", [*locust, *users, *bind], {**environment, **more})
    _admit_workers(processes, spec, environment, await_target)
    port = processes.expect("generator", "listening", READY_TIMEOUT_S)["port"]
    if policy is not None:
        return _await_remote_workers(processes, spec, policy, port, log)
    for number in range(workers):
        argv = [*locust, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        processes.start(f"worker-{number}", argv, {**environment, **more, "HARNESS_WORKER": str(number)})
    return processes.expect("generator", "ready", READY_TIMEOUT_S)


def _admit_workers(
    processes: ProcessGroup, spec: RunSpec, environment: Mapping[str, str], await_target: Callable[[], None]
) -> None:
    """Let the generator hand out its assignments, once there is all that they name: the photos and the target."""
    if "HARNESS_PHOTO_BANK" in environment:
        save_photo_bank(spec.plan.bank, Path(environment["HARNESS_PHOTO_BANK"]))
    await_target()
    processes["generator"].send("target")


def _await_remote_workers(
    processes: ProcessGroup, spec: RunSpec, policy: JoinPolicy, port: int, log: Callable[[str], None]
) -> dict[str, Any]:
    """Wait until all remote workers have joined and are ready; the content of `ready` with each worker's machine in `hosts`.

    Raises UsageError if too few joined in time or one rejected the plan, ConfigurationError if the plan doesn't fit one of the
    machines, ProcessFailedError if one ended.
    """
    log(
        f"Waiting for {spec.workers_text} at {policy.host}:{port} ({policy.timeout_s:g} s): harness worker --master HOST:{port}"
    )
    joined = processes.expect(
        "generator", "joined", policy.timeout_s + _START_AFTER_JOIN_S, lambda it: _log_join(it, log)
    )
    _check_fits(spec, policy, joined["workers"])
    ready = processes.expect("generator", "ready", _START_AFTER_JOIN_S)
    return {**ready, "hosts": joined["workers"]}


def _log_join(message: Message, log: Callable[[str], None]) -> None:
    """Log which worker was accepted, and which was rejected and why."""
    event, it = message.event, message.content
    if event == "join_accepted":
        offset_ms, uncertainty_ms = 1000 * it["wall_offset_s"], 1000 * it["uncertainty_s"]
        log(f"Joined: {it['name']} ({it['cores']} cores, clock {offset_ms:+.1f} ms ± {uncertainty_ms:.1f} ms)")
    elif event == "join_rejected":
        log(f"Rejected: {it['name']}: {it['reason']}")


def _check_fits(spec: RunSpec, policy: JoinPolicy, hosts: list[dict[str, Any]]) -> None:
    """Raise ConfigurationError if the machine of a worker can't carry its workers' share of the plan."""
    # The mock runs on the leader, so from a worker's machine it is reached at the address that workers join at.
    address = policy.host if spec.external is None else spec.external.address
    workers_of = Counter(facts["host"] for facts in hosts)
    limits_of = {facts["host"]: HostLimits(**facts["limits"]) for facts in hosts}
    problems = [
        f"{host} ({number} of {spec.workers} workers): {problem}"
        for host, number in workers_of.items()
        for problem in find_share_problems(
            spec.scenario, spec.plan, WorkerShare(number, spec.workers), address, limits_of[host]
        )
    ]
    if problems:
        label = f"{spec.scenario.name} does not fit the workers' machines"
        raise ConfigurationError(label, problems)


def process_ids(processes: ProcessGroup, workers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Every process of a run on this machine, name in the report → pid; `workers` as in the `ready` event."""
    found = {HARNESS: os.getpid(), "master": processes["generator"].pid}
    for worker in workers:
        if worker["pid"] == found.get("master"):  # a single process is leader and worker in one
            del found["master"]
        if worker["pid"]:  # 0: it runs on another machine
            found[f"worker {worker['rank']}"] = worker["pid"]
    if "server" in processes:
        found["server"] = processes["server"].pid
    return found


def locust_command() -> list[str]:
    """The command line of Locust with our locustfile, without its web UI."""
    return [*PYTHON_COMMAND, "harness.drive", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]


def child_environment(spec: RunSpec, **more: str) -> dict[str, str]:
    """The environment of a process of this run: ours without LOCUST_*, the run folder, and `more`."""
    return {**_inherited(), "HARNESS_RUN": str(spec.folder.path.resolve()), "PYTHONUNBUFFERED": "1", **more}


def trial_environment(external: ExternalTarget) -> dict[str, str]:
    """The environment of the process of `harness try`: ours without LOCUST_*, and the tokens of consents."""
    return {**_inherited(), **_consent_tokens(external), "PYTHONUNBUFFERED": "1"}


def _consent_tokens(external: ExternalTarget | None) -> dict[str, str]:
    if external is None:
        return {}
    also = ",".join(other.token for other in external.also)
    return {"HARNESS_CONSENT_TOKEN": external.token, "HARNESS_ALSO_CONSENT_TOKENS": also}


def worker_environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker whose leader is on another machine: `folder` is its home and stands in for the run folder."""
    return {**_inherited(), "HARNESS_RUN": str(folder), "PYTHONUNBUFFERED": "1", **_home(folder), **more}


def _home(private: Path) -> dict[str, str]:
    # Packages installed with `pip install --user` are found through HOME: keep them importable from the replaced home.
    return {"HOME": str(private), "PYTHONUSERBASE": site.getuserbase()}


def _inherited() -> dict[str, str]:
    """Our environment without LOCUST_*: each of these variables is an option of Locust and would change the run."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
