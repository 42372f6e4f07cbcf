"""The end of a run on the server's side: heal and drain it, kill it and start it again if so told, read what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable

from harness.base.errors import ChildError, StarvedError
from harness.run_folder.layout import StockRecord
from harness.run_folder.tables import write_stored
from harness.runner.exit_reason import told_of
from harness.runner.launch import restart_server
from harness.runner.run_spec import Order
from harness.runner.subprocesses import Family
from harness.target.mock_admin import AdminError, ServerAdmin
from harness.target.stored_pages import UnreadStockError

NO_WAY_IN = "nothing says how to read what a server from outside holds: give [target.stored], or [audit] accept_unknown_safety = true"


def drain(admin: ServerAdmin) -> str:
    """Heal the server and let it finish; what was wrong with that, or nothing."""
    try:
        drained = admin.drain()
    except AdminError as error:
        return f"the server could not be drained: {error}"
    return "" if drained.get("idle", True) else f"the server was not idle after its drain: {json.dumps(drained)}"


def take_stock(family: Family, order: Order, admin: ServerAdmin | None, halted: Callable[[], str] = str) -> StockRecord:
    """Write stored.parquet from what the server says it holds, and how that went. Never raises for the server's sake.

    `halted` says why a server of the user's must not be asked any more.
    """
    if order.foreign is not None or admin is None:
        return _foreign_stock(order, halted)
    after_kill = order.scenario.audit.kill_server
    exit_code = family["server"].exit_code
    if exit_code is not None and not after_kill:
        return StockRecord(reason=f"it could not be asked: {told_of('server', exit_code)}")
    try:
        reachable = restart_server(family, order) if after_kill else admin
        write_stored(order.folder.stored, reachable.stored())
    except (AdminError, ChildError, StarvedError) as error:
        return StockRecord(after_kill=after_kill, reason=str(error))
    return StockRecord(after_kill=after_kill)


def _foreign_stock(order: Order, halted: Callable[[], str]) -> StockRecord:
    foreign = order.foreign
    accepted = foreign is not None and foreign.api is not None and foreign.api.accept_unknown_safety
    if foreign is None or not foreign.tells:
        return StockRecord(reason=NO_WAY_IN, accepted=accepted)
    try:
        write_stored(order.folder.stored, foreign.stored(order.plan, halted))
    except (UnreadStockError, StarvedError) as error:
        return StockRecord(reason=str(error))
    return StockRecord(unseen=foreign.unseen)
