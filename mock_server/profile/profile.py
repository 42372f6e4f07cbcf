"""What a server can be told: its overload model, its limits, its faults.

Pure. `ServerProfile` is also the `[server]` table of a scenario, and `AnyFault` an entry of its `[[faults]]`.
"""

from __future__ import annotations

import json
import tomllib
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from mock_server.faults.base import Fault
from mock_server.faults.registry import KINDS
from mock_server.profile.units import Duration, DurationDistribution, FrozenModel, Rate, Size, lognormal_duration
from mock_server.profile.validation_messages import explain

if TYPE_CHECKING:
    AnyFault = Fault
else:
    AnyFault = Annotated[reduce(or_, KINDS), Field(discriminator="kind")]

CRASH_KINDS = frozenset(get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS if kind.ends_process)
"""Kinds of faults that kill the server: a profile with one of them needs a keeper."""

PositiveInt = Annotated[int, Field(ge=1)]


class ServerProfile(FrozenModel):
    """How the server behaves on an ordinary day."""

    workers: PositiveInt = 8
    """Uploads that are worked on at once."""
    queue_capacity: Annotated[int, Field(ge=0)] = 64
    """Uploads that may wait for a worker; without bound if shed = "none"."""
    discipline: Literal["fifo", "lifo", "adaptive_lifo"] = "fifo"
    """Who is next: the longest waiting, the latest, or the latest only while the queue is more than half full."""
    service_time: DurationDistribution = lognormal_duration("150ms", 0.5)
    """How long a worker is busy with an upload, apart from its size."""
    bytes_per_s: Rate | None = None
    """Adds size/rate to the service time."""
    contention_knee: PositiveInt | None = None
    """Busy workers above which each one slows all of them down; left out: they don't."""
    contention_slope: Annotated[float, Field(ge=0)] = 0.1
    """Share by which each worker above the knee lengthens a service that starts."""
    shed: Literal["none", "queue_full", "codel", "deadline", "vegas", "gradient2"] = "queue_full"
    """When to refuse work at once instead of queueing it."""
    codel_target: Duration = 2.0
    """Least wait in the queue that is thought a standing queue (shed = "codel")."""
    codel_interval: Duration = 10.0
    """How long the least wait must stay above the target before uploads are refused (shed = "codel")."""
    concurrency_limit: PositiveInt = 1000
    """Greatest limit that vegas and gradient2 may find."""
    retry_after: Literal["none", "fixed", "jittered", "queue_estimate"] = "queue_estimate"
    """What Retry-After a refusal carries: nothing, retry_after_time, that plus up to as much again, or the wait now."""
    retry_after_time: Duration = 5.0
    """The pause that retry_after = "fixed" asks for, and the least one of "jittered"."""
    cancel_on_disconnect: bool = False
    """Whether work stops when its client has gone; most servers go on, and waste it."""
    dedupe: Literal["page", "key", "none"] = "page"
    """What makes an upload a repetition: its page, its Idempotency-Key, or nothing."""
    keep_photos: bool = False
    """Whether the photos themselves are stored, or only digest and size."""
    reading: Literal["synchronous", "asynchronous"] = "synchronous"
    """Whether an upload is answered when it is stored (201) or at once (202, to be asked for later)."""
    reading_time: DurationDistribution = lognormal_duration("2s", 0.5)
    """How long an asynchronous reading takes."""
    token_lifetime: Duration = 43200.0
    """How long a login lasts; short ones show forced logouts."""
    tokens_survive_restart: bool = True
    """Whether who was logged in before a crash still is after it."""
    pin_attempts: PositiveInt = 5
    """Wrong PINs of a station before its logins are refused for pin_window."""
    pin_window: Duration = 30.0
    """How long logins of such a station are answered 429."""
    header_timeout: Duration = 20.0
    """Longest time from a connection's beginning (its TLS handshake is part of it), or a later request's first byte or the
    answer before it, to the end of the header."""
    body_timeout: Duration = 120.0
    """Longest time from the header to the end of the body."""
    queue_timeout: Duration | None = None
    """Longest wait for a worker."""
    handler_timeout: Duration | None = None
    """Longest time from the header to the answer."""
    min_upload_rate: Rate | None = None
    """Uploads that stay slower than this over 5 s are cut off."""
    max_body: Size = 20_000_000
    """Largest body, compressed or not; 413 above."""
    max_header: Size = 16_384
    """Longest line of a header; 400 above."""
    max_connections: PositiveInt = 20_000
    """Connections above are closed at once; a TLS handshake that is not finished counts as one."""
    public_cache: Duration = 5.0
    """How old an answer of the public read side may be."""
    upload_lifetime: Duration = 86400.0
    """How long a resumable upload may take."""
    grace: Duration = 10.0
    """Time that a graceful stop leaves to running uploads."""
    tls: bool = False
    """Whether the data port speaks TLS, with a certificate made at start unless one is given (as with --tls)."""


class Profile(ServerProfile):
    """What a profile file holds: the server's keys and its faults."""

    seed: int = 0
    """Same seed, same service times and same pages hit."""
    faults: Annotated[tuple[AnyFault, ...], Field(strict=False)] = ()
    """Its bad day."""

    @model_validator(mode="after")
    def _has_distinct_faults(self) -> Profile:
        check_distinct_names(self.faults)
        return self


def check_distinct_names(faults: tuple[Fault, ...]) -> None:
    """Raises ValueError if two faults have one name: metrics and reports tell them apart by it."""
    names = [fault.name for fault in faults]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f'two faults are called "{twice[0]}": give each its own name'
        raise ValueError(message)


class ProfileError(ValueError):
    """A profile file that cannot be used; its lines say why."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        super().__init__("\n".join(f"{path}: {line}" for line in lines))
        self.lines = lines


def load_profile(path: Path) -> Profile:
    """The profile in a TOML file (or JSON, if the name ends in .json).

    Raises ProfileError with a line for each thing that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(path, [f"can't be read: {error}"]) from error
    except ValueError as error:
        raise ProfileError(path, [f"is not {'JSON' if path.suffix == '.json' else 'TOML'}: {error}"]) from error
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise ProfileError(path, explain(error, Profile, content)) from error
