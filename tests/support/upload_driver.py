"""Stations' evenings in this process, against any server, and what their journal says."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent

from harness.base.model import OUTCOMES
from harness.drive.client.connection import Target
from harness.drive.client.pool import Connections
from harness.drive.client.tls import Tls
from harness.drive.client.uploader import Uploader
from harness.drive.virtual_user import Desk, Evening
from harness.measure.metrics import Telemetry
from harness.plan import Plan
from harness.plan.pins import pin_of
from harness.run_folder.journal import JournalWriter, Kind, file_name, read
from harness.scenario.loader import load
from harness.station.link import line_of
from harness.target.tls import context_of


def target_of(ready: dict[str, Any], *, resumption: bool = True) -> Target:
    """Where a mock server is, by what it said when it was ready."""
    tls = None
    if "certificate" in ready:
        tls = Tls(context_of(Path(ready["certificate"]).read_text()), "127.0.0.1", resumption)
    return Target(socket.AF_INET, ("127.0.0.1", ready["port"]), "x", (), tls)


@dataclass(frozen=True)
class Driven:
    """What the journal says."""

    ends: Any
    gave_up: Any

    @property
    def outcomes(self) -> list[str]:
        return [str(OUTCOMES[record["outcome"]]) for record in self.ends]


def drive(target: Target, plan: Plan, stations: range, folder: Path, *overrides: str) -> Driven:
    """Drive these stations at once to their end, with the client of `kaliwates` and overrides."""
    client = load("kaliwates", overrides).client
    t0 = time.monotonic()

    def clock():
        return time.monotonic() - t0

    journal = JournalWriter(folder, 0)
    desk = Desk(plan, client, clock, 20.0, journal, Telemetry([], {"run": "x"}), seed=1)
    connections = Connections(target, client.connection, clock)
    evenings = []
    for station in stations:
        code = plan.stations[station].code
        lane = connections.lane(line_of(client.link, 1, code))
        evenings.append(Evening(desk, station, Uploader(plan, client, lane, "x", pin_of(code, ""), clock)).run)
    gevent.joinall([gevent.spawn(evening) for evening in evenings], raise_error=True)
    connections.close()
    journal.close()
    records = read(folder / file_name(0))
    return Driven(records[records["kind"] == Kind.END], records[records["kind"] == Kind.GAVE_UP])
