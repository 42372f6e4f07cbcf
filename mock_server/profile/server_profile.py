"""The server's own keys: its overload model, its limits and how it stores. Pure.

`ServerProfile` is also the `[server]` table of a scenario.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.profile.dedupe import Dedupe
from mock_server.profile.units import Duration, DurationDistribution, FrozenModel, Rate, Size, lognormal_duration

PositiveInt = Annotated[int, Field(ge=1)]
PositiveRate = Annotated[Rate, Field(gt=0)]


class ServerProfile(FrozenModel):
    """How the server behaves without faults."""

    workers: PositiveInt = 8
    """Uploads that are processed at the same time."""
    queue_capacity: Annotated[int, Field(ge=0)] = 64
    """Uploads that may wait for a worker; unbounded if shed = "none"."""
    discipline: Literal["fifo", "lifo", "adaptive_lifo"] = "fifo"
    """Which upload is next: the longest waiting, the latest, or the latest only while the queue is more than half full."""
    service_time: DurationDistribution = lognormal_duration("150ms", 0.5)
    """How long a worker is busy with an upload, whatever its size."""
    bytes_per_s: Rate | None = None
    """Adds size/rate to the service time."""
    contention_knee: PositiveInt | None = None
    """Busy workers above which each further one slows all of them down; left out: no contention."""
    contention_slope: Annotated[float, Field(ge=0)] = 0.1
    """Share by which each busy worker above the knee lengthens a service that starts."""
    shed: Literal["none", "queue_full", "codel", "deadline", "vegas", "gradient2"] = "queue_full"
    """When to refuse an upload at once instead of queueing it."""
    codel_target: Duration = 2.0
    """Shortest wait that counts as a standing queue (shed = "codel")."""
    codel_interval: Duration = 10.0
    """How long the shortest wait must stay above the target before uploads are refused (shed = "codel")."""
    concurrency_limit: PositiveInt = 1000
    """Greatest limit that vegas and gradient2 may reach."""
    retry_after: Literal["none", "fixed", "jittered", "queue_estimate"] = "queue_estimate"
    """Retry-After of a refusal: none, retry_after_time, a random time from that to twice that, or the current wait."""
    retry_after_time: Duration = 5.0
    """The pause that retry_after = "fixed" asks for, and the shortest one of "jittered"."""
    cancel_on_disconnect: bool = False
    """Whether work stops when its client disconnects; most servers finish it and waste it."""
    dedupe: Dedupe = "page"
    """What makes an upload a duplicate: its page, its Idempotency-Key, or nothing."""
    accepts: Literal["jpeg", "any"] = "jpeg"
    """Which photos are taken: complete JPEGs, or any bytes. With photos of your own (photos.folder) any, if left out."""
    keep_photos: bool = False
    """Whether photos are stored, or only their digest and size."""
    reading: Literal["synchronous", "asynchronous"] = "synchronous"
    """Whether an upload is answered when it is stored (201) or at once (202, its status can be polled)."""
    reading_time: DurationDistribution = lognormal_duration("2s", 0.5)
    """How long an asynchronous reading takes."""
    token_lifetime: Duration = 43200.0
    """How long a login lasts; short ones show forced logouts."""
    tokens_survive_restart: bool = True
    """Whether a token given before a crash is still valid after it."""
    pin_attempts: PositiveInt = 5
    """Wrong PINs for a station before its logins are refused for pin_window."""
    pin_window: Duration = 30.0
    """How long logins for such a station are answered 429."""
    header_timeout: Duration = 20.0
    """Longest time to the end of a header: of the first one from the connection's beginning (TLS handshake included), of a
    later one from its first byte or the response before it."""
    body_timeout: Duration = 120.0
    """Longest time from the header to the end of the body."""
    queue_timeout: Duration | None = None
    """Longest wait for a worker."""
    handler_timeout: Duration | None = None
    """Longest time from the header to the response."""
    min_upload_rate: Rate | None = None
    """Uploads slower than this over 5 s are ended with 408."""
    max_body: Size = 20_000_000
    """Largest body, compressed or not; 413 above."""
    max_header: Size = 16_384
    """Longest line of a header; 400 above."""
    ingress: PositiveRate | None = None
    """Rate at which bytes come in, shared by all connections, whatever each of them could send; left out: unlimited."""
    egress: PositiveRate | None = None
    """Rate at which responses go out, shared by all connections, those of readers among them; left out: unlimited."""
    max_connections: PositiveInt = 20_000
    """Connections above are closed at once; an unfinished TLS handshake counts as one."""
    public_cache: Duration = 5.0
    """How old a response of the public read API may be."""
    upload_lifetime: Duration = 86400.0
    """How long a resumable upload may take."""
    grace: Duration = 10.0
    """Time that a graceful stop leaves for running uploads."""
    tls: bool = False
    """Whether the data port speaks TLS, with a self-signed certificate unless one is given (as with --tls)."""
