"""How the processes of a run are started: the mock server, and Locust."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import site
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.children import Family
from harness.measure.server_admin import ServerAdmin
from harness.order import Order
from harness.plan.pins import pin_of
from harness.runfolder import write_json
from mock_server.profile import CRASHES

READY_TIMEOUT_S = 60.0
RESTARTED = "server-restarted"
"""Name of the mock that was started again after a kill."""
_PYTHON = [sys.executable, "-P", "-m"]
"""-P: what lies in the current folder is not imported."""
LOCUSTFILE = Path(__file__).with_name("drive") / "locustfile.py"


def start_server(family: Family, order: Order, private: Path, secret: str) -> tuple[str, ServerAdmin]:
    """Start the mock with the scenario's profile; its address and its admin port.

    The stations' PINs go into `private`, the admin token into the environment: neither into the run folder. Raises
    ChildError if it doesn't come up, Interruption on a signal.
    """
    scenario = order.scenario
    write_json(_profile(order), scenario.mock_profile())
    stations = private / "stations.csv"
    lines = [f"{s.code},{s.kelurahan_name},{pin_of(s.code, secret)}" for s in order.plan.stations]
    stations.write_text("\n".join(["code,name,pin", *lines, ""]), "utf-8")
    stations.chmod(0o600)
    token = _launch_server(family, order, "server", "--stations", str(stations))
    ready = family.expect("server", "ready", READY_TIMEOUT_S)
    if not any(fault.kind in CRASHES for fault in scenario.faults):
        stations.unlink()  # read already; only a server that is to restart needs it again
    if "certificate" in ready:  # gone with the server; the run folder keeps it for those who look into a run
        order.folder.certificate.write_bytes(Path(ready["certificate"]).read_bytes())
    scheme = "https" if scenario.server.tls else "http"
    return f"{scheme}://127.0.0.1:{ready['port']}", ServerAdmin(ready["admin_port"], token)


def restart_server(family: Family, order: Order) -> ServerAdmin:
    """Kill the mock as kill -9 does, and start it again on the same data, to be read only; its new admin port.

    T0 is not told to it, so that no fault is on. Raises ChildError if it doesn't come back.
    """
    family["server"].kill()
    token = _launch_server(family, order, RESTARTED)
    return ServerAdmin(family.hear(RESTARTED, "ready", READY_TIMEOUT_S)["admin_port"], token)


def _launch_server(family: Family, order: Order, name: str, *more: str) -> str:
    """Start a mock on the run's profile and data; its admin token."""
    token = secrets.token_urlsafe(32)
    files = ["--profile", str(_profile(order)), "--data", str(order.folder.server), *more]
    argv = [*_PYTHON, "mock_server", "--supervised", *files, "--port", "0", "--admin-port", "0"]
    family.start(name, argv, _environment(order, MOCK_SERVER_ADMIN_TOKEN=token))
    return token


def _profile(order: Order) -> Path:
    return order.folder.server / "profile.json"


def start_generator(family: Family, order: Order, private: Path, secret: str) -> dict[str, Any]:
    """Start Locust: one process, or a master and its workers; what `ready` tells (each worker's rank, pid, port).

    Its home is the empty folder `private`: a ~/.locust.conf must not steer a run.

    Raises ChildError if one doesn't come up, Interruption on a signal.
    """
    workers = order.workers
    home = {"HOME": str(private), "PYTHONUSERBASE": site.getuserbase()}
    ports = {"HARNESS_METRICS_PORT": str(order.metrics_port)}
    consented = {"HARNESS_CONSENT_TOKEN": order.foreign.token} if order.foreign else {}
    environment = _environment(order, HARNESS_PIN_SECRET=secret, **home, **ports, **consented)
    locust = [*_PYTHON, "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    users = ["-u", str(workers), "-r", str(workers)]
    if workers == 1:
        family.start("generator", [*locust, *users], environment)
        return family.expect("generator", "ready", READY_TIMEOUT_S)
    bind = [
        "--master",
        "--expect-workers",
        str(workers),
        "--master-bind-host",
        "127.0.0.1",
        "--master-bind-port",
        "0",
    ]
    family.start("generator", [*locust, *users, *bind], environment)
    port = family.expect("generator", "listening", READY_TIMEOUT_S)["port"]
    for number in range(workers):
        argv = [*locust, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        family.start(f"worker-{number}", argv, {**environment, "HARNESS_WORKER": str(number)})
    return family.expect("generator", "ready", READY_TIMEOUT_S)


def _environment(order: Order, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    return {**inherited, "HARNESS_RUN": str(order.folder.path.resolve()), "PYTHONUNBUFFERED": "1", **more}


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of our own (mode 0700) for the stations' PINs, outside the run folder; gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="harness-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
