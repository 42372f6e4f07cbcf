"""The mock server's process over a run: start it, drain it, kill and restart it, and read what the server under test has stored."""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.base.errors import OutOfResourcesError, ProcessFailedError
from harness.base.safe_files import write_json
from harness.plan.plan import derive_pin
from harness.run_folder.layout import StoreReadRecord
from harness.run_folder.tables import write_stored
from harness.runner.exit_reason import describe_exit
from harness.runner.launch import PYTHON_COMMAND, READY_TIMEOUT_S, child_environment
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import ProcessGroup
from harness.target.earlier_store import EarlierStore, read_earlier_store
from harness.target.listing import StoreUnreadableError
from harness.target.mock_admin import AdminError, MockAdmin
from harness.target.planned_pages import UNVERIFIED, StoredRow
from mock_server.faults.registry import CRASH_KINDS

_UNSEEN_BY_SIZE = ("corrupted", "misfiled")
"""Statuses that a size does not show: other bytes of the same length."""
RESTARTED_SERVER = "server-restarted"
"""Name of the mock's process (and log) after it was killed and started again."""
_POWER_CUT_TIMEOUT_S = 30.0
NO_STORE_ACCESS = "no way to read the server's store is configured: add [target.stored], or set accept_unknown_safety = true in [target]"


AwaitedServer = Callable[[], tuple[str, MockAdmin]]
"""Waits for a server that is starting; its base URL and a client of its admin port.

Raises ProcessFailedError if the server doesn't become ready, Interruption on a signal.
"""


def start_server(processes: ProcessGroup, spec: RunSpec, private: Path, secret: str) -> AwaitedServer:
    """Start the mock with the scenario's profile; returns at once.

    PINs go into a file in `private`, the admin token into the process's environment: secrets stay out of the run folder, which
    people share.
    """
    scenario = spec.scenario
    write_json(_profile_path(spec), scenario.mock_profile())
    stations = private / "stations.csv"
    # Through the csv module, as the server reads it: a kelurahan may be called "Jember, Kidul".
    with stations.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["code", "name", "pin"])
        rows.writerows((one.code, one.kelurahan_name, derive_pin(one.code, secret)) for one in spec.plan.stations)
    stations.chmod(0o600)
    token = _start_process(processes, spec, "server", "--stations", str(stations))
    return partial(_await_server, processes, spec, stations, token)


def _await_server(processes: ProcessGroup, spec: RunSpec, stations: Path, token: str) -> tuple[str, MockAdmin]:
    ready = processes.expect("server", "ready", READY_TIMEOUT_S)
    # Once ready, the server has read the file; only a server that restarts during the run reads it again.
    if not any(fault.kind in CRASH_KINDS for fault in spec.scenario.faults):
        stations.unlink()
    # The server deletes its certificate when it exits: keep a copy for anyone who inspects the run with TLS tools.
    if "certificate" in ready:
        spec.folder.certificate.write_bytes(Path(ready["certificate"]).read_bytes())
    scheme = "https" if spec.scenario.server.tls else "http"
    host = _bind_host(spec)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{ready['port']}", MockAdmin(ready["admin_port"], token)


def drain(admin: MockAdmin) -> str:
    """Heal all faults and let the server finish its queue; a description of what went wrong, or ""."""
    try:
        drained = admin.drain()
    except AdminError as error:
        return f"the server could not be drained: {error}"
    return "" if drained.get("idle", True) else f"the server was not idle after draining: {json.dumps(drained)}"


def collect_stored(
    processes: ProcessGroup,
    spec: RunSpec,
    admin: MockAdmin | None,
    halted: Callable[[], str] = str,
    earlier: EarlierStore | None = None,
) -> StoreReadRecord:
    """Write stored.parquet from what the server has stored; how that went. The server's failures become a record, not an error.

    `earlier` is what an external target had stored before the run, which is left out.
    `halted` gives the reason why an external target must not be sent anything any more, or "". With `[audit] kill_server` the
    mock is killed and restarted first, so that only what it had written counts; with `power_cut` only what it had synced.
    """
    if spec.external is not None or admin is None:
        return _collect_from_external(spec, halted, earlier or EarlierStore())
    after_cut = spec.scenario.audit.power_cut
    after_kill = spec.scenario.audit.kill_server or after_cut
    exit_code = processes["server"].exit_code
    if exit_code is not None and not after_kill:
        return StoreReadRecord(reason=f"its store could not be read: {describe_exit('server', exit_code)}")
    try:
        reachable = _restart_server(processes, spec) if after_kill else admin
        write_stored(spec.folder.stored, reachable.stored())
    except (AdminError, ProcessFailedError, OutOfResourcesError) as error:
        return StoreReadRecord(after_kill=after_kill, after_power_cut=after_cut, reason=str(error))
    return StoreReadRecord(after_kill=after_kill, after_power_cut=after_cut, **_same_bytes(spec))


def _same_bytes(spec: RunSpec, unseen: Sequence[str] = ()) -> dict[str, Any]:
    """What the store cannot show of pages that share their bytes, beside what is `unseen` anyway."""
    pages = spec.plan.same_bytes
    return {"same_bytes": pages, "unseen": list(dict.fromkeys([*unseen, *(["misfiled"] if pages else [])]))}


def read_store_before(spec: RunSpec, log: Callable[[str], None]) -> EarlierStore:
    """What an external target has stored before the run; empty for the mock, which starts empty.

    Raises UsageError if planned pages are among it. A store that can't be read now is taken for empty, which `log` says.
    """
    external = spec.external
    if external is None or not external.has_readable_store:
        return EarlierStore()
    log("Reading what the server has stored before the run")
    try:
        return read_earlier_store(external.stored(spec.plan, str), spec.plan)
    except StoreUnreadableError as error:
        log(f"The store can't be read before the run, and is taken for empty: {error}")
        return EarlierStore()


def _collect_from_external(spec: RunSpec, halted: Callable[[], str], earlier: EarlierStore) -> StoreReadRecord:
    external = spec.external
    accepted = external is not None and external.api is not None and external.api.accept_unknown_safety
    if external is None or not external.has_readable_store:
        return StoreReadRecord(reason=NO_STORE_ACCESS, accepted=accepted)
    by_size = 0

    def counted() -> Iterator[StoredRow]:
        nonlocal by_size
        for row in earlier.without(external.stored(spec.plan, halted)):
            by_size += bool(row.get(UNVERIFIED))
            yield row

    try:
        write_stored(spec.folder.stored, counted())
    except (StoreUnreadableError, OutOfResourcesError) as error:
        return StoreReadRecord(reason=str(error))
    unseen = [*external.unseen, *([] if by_size == 0 else _UNSEEN_BY_SIZE)]
    return StoreReadRecord(by_size=by_size, earlier=earlier.copies, **_same_bytes(spec, unseen))


def _restart_server(processes: ProcessGroup, spec: RunSpec) -> MockAdmin:
    """Kill the mock with SIGKILL and start it again on the same data, to be read only; a client of its new admin port.

    T0 is never sent to it, so no fault is active. Raises ProcessFailedError if it doesn't become ready.
    """
    if spec.scenario.audit.power_cut and processes["server"].exit_code is None:
        processes["server"].send("power_cut", seed=spec.scenario.seed, torn=False)
        processes.receive("server", "power_cut", _POWER_CUT_TIMEOUT_S)
    processes["server"].kill()
    token = _start_process(processes, spec, RESTARTED_SERVER)
    # receive, not expect: a worker that ends meanwhile must not make the store unreadable
    return MockAdmin(processes.receive(RESTARTED_SERVER, "ready", READY_TIMEOUT_S)["admin_port"], token)


def _start_process(processes: ProcessGroup, spec: RunSpec, name: str, *options: str) -> str:
    """Start a mock with the run's profile and data folder; its admin token."""
    token = secrets.token_urlsafe(32)
    files = ["--profile", str(_profile_path(spec)), "--data", str(spec.folder.server), *options]
    ports = ["--host", _bind_host(spec), "--port", "0", "--admin-port", "0"]
    power = ["--power-cut"] if spec.scenario.audit.power_cut else []
    argv = [*PYTHON_COMMAND, "mock_server", "--supervised", *files, *ports, *power]
    processes.start(name, argv, child_environment(spec, MOCK_SERVER_ADMIN_TOKEN=token))
    return token


def _bind_host(spec: RunSpec) -> str:
    """The address the mock accepts uploads on: loopback, or the leader's address if remote workers have to reach it."""
    return "127.0.0.1" if spec.join_policy is None else spec.join_policy.host


def _profile_path(spec: RunSpec) -> Path:
    return spec.folder.server / "profile.json"
