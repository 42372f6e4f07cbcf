"""The end of a run on the server's side: heal and drain it, kill it and start it again if so told, read what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable

from harness.base.errors import OutOfResourcesError, ProcessFailedError
from harness.run_folder.layout import StoreReadRecord
from harness.run_folder.tables import write_stored
from harness.runner.exit_reason import describe_exit
from harness.runner.launch import restart_server
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import ProcessGroup
from harness.target.mock_admin import AdminError, MockAdmin
from harness.target.stored_pages import StoreUnreadableError

NO_STORE_ACCESS = "nothing says how to read what a server from outside holds: give [target.stored], or [audit] accept_unknown_safety = true"


def drain(admin: MockAdmin) -> str:
    """Heal the server and let it finish; what was wrong with that, or nothing."""
    try:
        drained = admin.drain()
    except AdminError as error:
        return f"the server could not be drained: {error}"
    return "" if drained.get("idle", True) else f"the server was not idle after its drain: {json.dumps(drained)}"


def collect_stored(
    family: ProcessGroup, order: RunSpec, admin: MockAdmin | None, halted: Callable[[], str] = str
) -> StoreReadRecord:
    """Write stored.parquet from what the server says it holds, and how that went. Never raises for the server's sake.

    `halted` says why a server of the user's must not be asked any more.
    """
    if order.foreign is not None or admin is None:
        return _collect_from_external(order, halted)
    after_kill = order.scenario.audit.kill_server
    exit_code = family["server"].exit_code
    if exit_code is not None and not after_kill:
        return StoreReadRecord(reason=f"it could not be asked: {describe_exit('server', exit_code)}")
    try:
        reachable = restart_server(family, order) if after_kill else admin
        write_stored(order.folder.stored, reachable.stored())
    except (AdminError, ProcessFailedError, OutOfResourcesError) as error:
        return StoreReadRecord(after_kill=after_kill, reason=str(error))
    return StoreReadRecord(after_kill=after_kill)


def _collect_from_external(order: RunSpec, halted: Callable[[], str]) -> StoreReadRecord:
    foreign = order.foreign
    accepted = foreign is not None and foreign.api is not None and foreign.api.accept_unknown_safety
    if foreign is None or not foreign.tells:
        return StoreReadRecord(reason=NO_STORE_ACCESS, accepted=accepted)
    try:
        write_stored(order.folder.stored, foreign.stored(order.plan, halted))
    except (StoreUnreadableError, OutOfResourcesError) as error:
        return StoreReadRecord(reason=str(error))
    return StoreReadRecord(unseen=foreign.unseen)
