"""Every kind of fault: adding one is its module and a line here."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field, model_validator

from mock_server.faults.abort import Abort
from mock_server.faults.ack_lost import AckLost
from mock_server.faults.bandwidth import Bandwidth
from mock_server.faults.base import Fault
from mock_server.faults.capacity import Capacity
from mock_server.faults.chunked_dribble import ChunkedDribble
from mock_server.faults.corrupt_stored import CorruptStored
from mock_server.faults.crash import Crash
from mock_server.faults.crash_at_commit import CrashAtCommit
from mock_server.faults.down import Down
from mock_server.faults.duplicate_store import DuplicateStore
from mock_server.faults.empty_response import EmptyResponse
from mock_server.faults.expire_upload import ExpireUpload
from mock_server.faults.false_ack import FalseAck
from mock_server.faults.false_complete import FalseComplete
from mock_server.faults.latency import Latency
from mock_server.faults.limit_data import LimitData
from mock_server.faults.lose_after_ack import LoseAfterAck
from mock_server.faults.malformed_response_chunk import MalformedResponseChunk
from mock_server.faults.misfile import Misfile
from mock_server.faults.misread import Misread
from mock_server.faults.offset_rollback import OffsetRollback
from mock_server.faults.power_cut import PowerCut
from mock_server.faults.random_data_then_close import RandomDataThenClose
from mock_server.faults.rate_limit import RateLimit
from mock_server.faults.reset_peer import ResetPeer
from mock_server.faults.slicer import Slicer
from mock_server.faults.slow_close import SlowClose
from mock_server.faults.stale_lock import StaleLock
from mock_server.faults.timeout import Timeout
from mock_server.faults.truncate_body import TruncateBody
from mock_server.faults.unreadable import Unreadable
from mock_server.profile.forms import PAGES_PER_FORM
from mock_server.profile.server_profile import ServerProfile

KINDS: tuple[type[Fault], ...] = (
    Latency,
    Abort,
    Down,
    ResetPeer,
    Timeout,
    SlowClose,
    Bandwidth,
    Slicer,
    LimitData,
    EmptyResponse,
    MalformedResponseChunk,
    RandomDataThenClose,
    ChunkedDribble,
    TruncateBody,
    Capacity,
    RateLimit,
    Unreadable,
    Misread,
    AckLost,
    FalseAck,
    LoseAfterAck,
    CorruptStored,
    Misfile,
    DuplicateStore,
    OffsetRollback,
    FalseComplete,
    StaleLock,
    ExpireUpload,
    Crash,
    CrashAtCommit,
    PowerCut,
)

# A type checker cannot read a union that is built at run time; for it every kind is a Fault.
if TYPE_CHECKING:
    AnyFault = Fault
else:
    AnyFault = Annotated[reduce(or_, KINDS), Field(discriminator="kind")]
"""The type of a `[[faults]]` entry for pydantic: any kind, told apart by its key `kind`."""

CRASH_KINDS = frozenset(get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS if kind.kills_process)
"""Kinds that kill the server: a profile with one of them needs a supervisor."""

POWER_CUT = str(get_args(PowerCut.model_fields["kind"].annotation)[0])
"""The kind that needs a disk whose power can be cut."""


def check_distinct_names(faults: tuple[Fault, ...]) -> None:
    """Raises ValueError if two faults have the same name: metrics and reports tell them apart by it."""
    names = [fault.name for fault in faults]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        message = f'two faults are called "{duplicates[0]}": give each its own name'
        raise ValueError(message)


class Profile(ServerProfile):
    """What a profile file holds: the server's keys, a seed and its faults."""

    seed: int = 0
    """Same seed, same service times and same pages hit."""
    forms: dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[int, Field(ge=1, le=999)]] = Field(
        default_factory=lambda: dict(PAGES_PER_FORM)
    )
    """Forms and their numbers of pages: no other page is taken."""
    faults: Annotated[tuple[AnyFault, ...], Field(strict=False)] = ()
    """What goes wrong, and when."""

    @model_validator(mode="after")
    def _has_distinct_faults(self) -> Profile:
        check_distinct_names(self.faults)
        return self
