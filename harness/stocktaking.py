"""The end of a run on the server's side: heal and drain it, kill it and start it again if so told, read what it holds."""

from __future__ import annotations

import json

from harness.children import Family
from harness.errors import ChildError
from harness.figures.tables import write_stored
from harness.measure.server_admin import AdminError, ServerAdmin
from harness.order import Order
from harness.processes import restart_server
from harness.runfolder import StockRecord

NO_WAY_IN = "nothing says how to read what a server from outside holds"


def drain(admin: ServerAdmin) -> str:
    """Heal the server and let it finish; what was wrong with that, or nothing."""
    try:
        drained = admin.drain()
    except AdminError as error:
        return f"the server could not be drained: {error}"
    return "" if drained.get("idle", True) else f"the server was not idle after its drain: {json.dumps(drained)}"


def take_stock(family: Family, order: Order, admin: ServerAdmin | None) -> StockRecord:
    """Write stored.parquet from what the server says it holds, and how that went. Never raises for the server's sake."""
    if admin is None:
        return StockRecord(reason=NO_WAY_IN)
    after_kill = order.scenario.audit.kill_server
    exit_code = family["server"].exit_code
    if exit_code is not None and not after_kill:
        return StockRecord(reason=f"the server had ended with exit code {exit_code}")
    try:
        reachable = restart_server(family, order) if after_kill else admin
        write_stored(order.folder.stored, reachable.stored())
    except (AdminError, ChildError) as error:
        return StockRecord(after_kill=after_kill, reason=str(error))
    return StockRecord(after_kill=after_kill)
