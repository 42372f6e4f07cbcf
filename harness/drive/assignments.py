"""What each worker is told: its orders, made from the run folder and the environment; and how a worker reads them elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.drive.assignment import CONSENT_TOKEN, Assignment
from harness.drive.trust import read_trusted_authority
from harness.run_folder.layout import RunFolder
from harness.scenario.scenario import REGIONS, parse_resolved


@dataclass(frozen=True)
class AssignmentBuilder:
    """Makes the orders of one run."""

    folder: RunFolder
    workers: int
    environment: Mapping[str, str]

    def common(self, *, away: bool) -> Assignment:
        """What every worker is told; `away` for workers of other machines, who share neither files nor environment with us."""
        record = self.folder.read_run()
        orders = Assignment(
            rank=0,
            workers=self.workers,
            run=record.id,
            scenario=record.scenario,
            target=record.target,
            address=record.address,
            journal=str(self.folder.journal),
            metrics_port=0,
            limits_s=record.limits_s,
            pin_secret=self.environment.get("HARNESS_PIN_SECRET", ""),
            authority=read_trusted_authority(self.folder, record),
        )
        if not away:
            return orders
        return replace(
            orders,
            journal="",
            own_server=record.own_server,
            environment=self._needed(record.scenario),
            region=self._region(record.scenario),
            plan_sha256=record.plan_sha256,
        )

    def order(self, common: Assignment, rank: int) -> Assignment:
        """What one worker is told."""
        base_port = int(self.environment.get("HARNESS_METRICS_PORT", "0"))
        local = bool(common.journal) and base_port > 0
        return replace(common, rank=rank, metrics_port=base_port + rank if local else 0)

    def _needed(self, scenario: dict[str, Any]) -> dict[str, str]:
        """The variables that a worker reads: the consent's token, and those that [target] names."""
        target = parse_resolved(scenario).target
        names = [CONSENT_TOKEN, *(() if target is None else target.variables())]
        return {name: self.environment[name] for name in names if name in self.environment}

    def _region(self, scenario: dict[str, Any]) -> bytes:
        """The station list, compressed; b"" for one that ships with the package."""
        if scenario["stations"]["region"] in REGIONS:
            return b""
        return zlib.compress(self.folder.region.read_bytes(), 1)


def unpack_assignment(orders: Assignment, folder: Path) -> Assignment:
    """Orders from another machine with the station list in a file here."""
    if not orders.region:
        return orders
    region = folder / "region.csv"
    region.write_bytes(zlib.decompress(orders.region))
    scenario = {**orders.scenario, "stations": {**orders.scenario["stations"], "region": str(region)}}
    return replace(orders, scenario=scenario, region=b"")
