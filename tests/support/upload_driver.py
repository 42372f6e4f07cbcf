"""Virtual users in this process, against any server, and the records of their journal."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from harness.base.model import OUTCOMES
from harness.drive.client.connection import Endpoint
from harness.drive.client.pool import ConnectionPool
from harness.drive.client.tls import TlsConfig
from harness.drive.client.uploader import Uploader
from harness.drive.virtual_user import VirtualUser, WorkerContext
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan
from harness.plan.plan import derive_pin
from harness.run_folder.journal import JournalWriter, RecordKind, journal_file_name, read_journal
from harness.scenario.loader import load_scenario
from harness.station.link import draw_link_model
from harness.target.connect import make_tls_context


def target_of(ready: dict[str, Any], *, resumption: bool = True) -> Endpoint:
    """The target of a mock server, from its `ready` event."""
    tls = None
    if "certificate" in ready:
        tls = TlsConfig(make_tls_context(Path(ready["certificate"]).read_text()), "127.0.0.1", resumption)
    return Endpoint(socket.AF_INET, ("127.0.0.1", ready["port"]), "x", (), tls)


@dataclass(frozen=True)
class Driven:
    """The records of the journal."""

    ends: Any
    gave_up: Any

    @property
    def outcomes(self) -> list[str]:
        return [str(OUTCOMES[record["outcome"]]) for record in self.ends]


def drive(target: Endpoint, plan: Plan, stations: range, folder: Path, *overrides: str) -> Driven:
    """Play these stations at once, to their end, with the client of `kaliwates` and overrides."""
    client = load_scenario("kaliwates", overrides).client
    t0 = time.monotonic()

    def clock():
        return time.monotonic() - t0

    journal = JournalWriter(folder, 0)
    context = WorkerContext(plan, client, clock, 20.0, journal, WorkerMetrics([], {"run": "x"}), seed=1)
    connections = ConnectionPool(target, client.connection, clock)
    users = []
    for station in stations:
        code = plan.stations[station].code
        source = connections.source(draw_link_model(client.link, 1, code))
        users.append(
            VirtualUser(context, station, Uploader(plan, client, source, "x", derive_pin(code, ""), clock)).run
        )
    gevent.joinall([gevent.spawn(user) for user in users], raise_error=True)
    connections.close()
    journal.close()
    records = read_journal(folder / journal_file_name(0))
    return Driven(records[records["kind"] == RecordKind.END], records[records["kind"] == RecordKind.GAVE_UP])
