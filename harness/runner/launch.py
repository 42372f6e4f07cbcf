"""How the processes of a run are started: the mock server, and Locust."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import site
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.drive.distributed.auth import JOIN_TOKEN
from harness.drive.distributed.join import JOIN_TIMEOUT, REMOTE_WORKERS
from harness.measure.process_monitor import HARNESS
from harness.plan.pins import derive_pin
from harness.run_folder.layout import write_json
from harness.runner.remote_join import await_remote_workers
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import ProcessGroup
from harness.target.mock_admin import MockAdmin
from mock_server.profile.profile import CRASH_KINDS

READY_TIMEOUT_S = 60.0
RESTARTED_SERVER = "server-restarted"
"""Name of the mock that was started again after a kill."""
_PYTHON_COMMAND = [sys.executable, "-P", "-m"]
"""-P: what lies in the current folder is not imported."""
LOCUSTFILE = Path(__file__).parents[1] / "drive" / "locustfile.py"


def start_server(family: ProcessGroup, order: RunSpec, private: Path, secret: str) -> tuple[str, MockAdmin]:
    """Start the mock with the scenario's profile; its address and its admin port.

    The stations' PINs go into `private`, the admin token into the environment: neither into the run folder. Raises
    ChildError if it doesn't come up, Interruption on a signal.
    """
    scenario = order.scenario
    write_json(_profile(order), scenario.mock_profile())
    stations = private / "stations.csv"
    lines = [f"{s.code},{s.kelurahan_name},{derive_pin(s.code, secret)}" for s in order.plan.stations]
    stations.write_text("\n".join(["code,name,pin", *lines, ""]), "utf-8")
    stations.chmod(0o600)
    token = _launch_server(family, order, "server", "--stations", str(stations))
    ready = family.expect("server", "ready", READY_TIMEOUT_S)
    if not any(fault.kind in CRASH_KINDS for fault in scenario.faults):
        stations.unlink()  # read already; only a server that is to restart needs it again
    if "certificate" in ready:  # gone with the server; the run folder keeps it for those who look into a run
        order.folder.certificate.write_bytes(Path(ready["certificate"]).read_bytes())
    scheme = "https" if scenario.server.tls else "http"
    host = _server_host(order)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{ready['port']}", MockAdmin(ready["admin_port"], token)


def restart_server(family: ProcessGroup, order: RunSpec) -> MockAdmin:
    """Kill the mock as kill -9 does, and start it again on the same data, to be read only; its new admin port.

    T0 is not told to it, so that no fault is on. Raises ChildError if it doesn't come back.
    """
    family["server"].kill()
    token = _launch_server(family, order, RESTARTED_SERVER)
    return MockAdmin(family.hear(RESTARTED_SERVER, "ready", READY_TIMEOUT_S)["admin_port"], token)


def _launch_server(family: ProcessGroup, order: RunSpec, name: str, *more: str) -> str:
    """Start a mock on the run's profile and data; its admin token."""
    token = secrets.token_urlsafe(32)
    files = ["--profile", str(_profile(order)), "--data", str(order.folder.server), *more]
    ports = ["--host", _server_host(order), "--port", "0", "--admin-port", "0"]
    argv = [*_PYTHON_COMMAND, "mock_server", "--supervised", *files, *ports]
    family.start(name, argv, _environment(order, MOCK_SERVER_ADMIN_TOKEN=token))
    return token


def _server_host(order: RunSpec) -> str:
    """Where the mock takes uploads: this machine alone, or where workers of other machines can come."""
    return "127.0.0.1" if order.invitation is None else order.invitation.host


def _profile(order: RunSpec) -> Path:
    return order.folder.server / "profile.json"


def start_generator(
    family: ProcessGroup, order: RunSpec, private: Path, secret: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Start Locust: one process, or a master and its workers; what `ready` tells (each worker's rank, pid, port).

    Workers of other machines are waited for, and `say` tells who came.

    Its home is the empty folder `private`: a ~/.locust.conf must not steer a run.

    Raises ChildError if one doesn't come up, Interruption on a signal.
    """
    workers, locust = order.workers, locust_command()
    ports = {"HARNESS_METRICS_PORT": str(order.metrics_port)}
    consented = {"HARNESS_CONSENT_TOKEN": order.foreign.token} if order.foreign else {}
    environment = _environment(order, HARNESS_PIN_SECRET=secret, **_home(private), **ports, **consented)
    users = ["-u", str(workers), "-r", str(workers)]
    if workers == 1 and order.invitation is None:
        environment.pop(JOIN_TOKEN, None)
        family.start("generator", [*locust, *users], environment)
        return family.expect("generator", "ready", READY_TIMEOUT_S)
    host, port, more = "127.0.0.1", 0, {JOIN_TOKEN: secrets.token_hex(32)}  # nobody else on this machine may join
    if (invitation := order.invitation) is not None:
        host, port = invitation.host, invitation.port
        more = {JOIN_TOKEN: invitation.token, REMOTE_WORKERS: str(workers), JOIN_TIMEOUT: repr(invitation.timeout_s)}
    bind = ["--master", "--expect-workers", str(workers), "--master-bind-host", host, "--master-bind-port", str(port)]
    family.start("generator", [*locust, *users, *bind], {**environment, **more})
    port = family.expect("generator", "listening", READY_TIMEOUT_S)["port"]
    if invitation is not None:
        return await_remote_workers(family, order, port, say)
    for number in range(workers):
        argv = [*locust, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        family.start(f"worker-{number}", argv, {**environment, **more, "HARNESS_WORKER": str(number)})
    return family.expect("generator", "ready", READY_TIMEOUT_S)


def process_ids(family: ProcessGroup, workers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Every process of a run on this machine, by the name that its report gives it; `workers` as `ready` tells them."""
    found = {HARNESS: os.getpid(), "master": family["generator"].pid}
    for worker in workers:
        if worker["pid"] == found.get("master"):  # the only process of the generator
            del found["master"]
        if worker["pid"]:  # else on another machine
            found[f"worker {worker['rank']}"] = worker["pid"]
    if "server" in family:
        found["server"] = family["server"].pid
    return found


def locust_command() -> list[str]:
    """Locust on our file, without a web UI."""
    return [*_PYTHON_COMMAND, "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]


def worker_environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """What a worker away from its master lives in; `folder` is its home and stands for the run's."""
    return {**_inherited(), "HARNESS_RUN": str(folder), "PYTHONUNBUFFERED": "1", **_home(folder), **more}


def _home(private: Path) -> dict[str, str]:
    return {"HOME": str(private), "PYTHONUSERBASE": site.getuserbase()}


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}


def _environment(order: RunSpec, **more: str) -> dict[str, str]:
    return {**_inherited(), "HARNESS_RUN": str(order.folder.path.resolve()), "PYTHONUNBUFFERED": "1", **more}


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of our own (mode 0700) for the stations' PINs, outside the run folder; gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
