"""A server under test that is not the mock: what a run knows of it, and the checks before it may be loaded."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from harness.base.address import Origin, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError
from harness.plan import Plan
from harness.plan.demand import forecast_load
from harness.run_folder.layout import AlsoTarget
from harness.scenario.client import ResumableOptions
from harness.scenario.scenario import READERS_NEED_PATHS, Scenario
from harness.scenario.target import StoredCommand, StoredFetch, StoredNone, StoredUrl, TargetApi
from harness.target import consent
from harness.target.aws_signature import make_signer
from harness.target.connect import TlsPeer, make_tls_context
from harness.target.consent_reader import (
    ConsentPoller,
    ConsentUnreadableError,
    load_machine_secret,
    read_consent,
    state_folder,
)
from harness.target.listing import StoreUnreadableError
from harness.target.planned_pages import StoredRow
from harness.target.stored_pages import (
    StoreClient,
    fetch_planned_pages,
    read_listing,
    run_listing_command,
)

_RUN_OVERHEAD_S = 30.0
"""How long a run may go on around its deadline: starting, winding down and reading the store."""


@dataclass(frozen=True)
class OtherServer:
    """A server besides the target that steps may send to, admitted as the target is. Holds a secret: not for logs."""

    origin: Origin
    address: str
    token: str = field(repr=False, default="")
    consent: consent.Consent | None = None


@dataclass(frozen=True)
class ExternalTarget:
    """A target that `admit_target` has admitted. Holds secrets of the environment: not for logs."""

    origin: Origin
    address: str
    """The IP address of everything that is sent."""
    api: TargetApi | None
    """None: the mock's own API on another machine; its store is out of reach without its admin token."""
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    token: str = ""
    """Token of the consent; "" on loopback, which needs none."""
    consent: consent.Consent | None = None
    context: ssl.SSLContext | None = field(repr=False, compare=False, default=None)
    """Whom to trust, if anything of the target speaks TLS."""
    also: tuple[OtherServer, ...] = ()
    """The other servers that steps may send to."""

    def also_records(self) -> list[AlsoTarget]:
        """The other servers as run.json has them."""
        return [AlsoTarget(url=str(other.origin), address=other.address) for other in self.also]

    def metrics(self) -> dict[str, str]:
        """Name -> URL of each of the target's own metrics endpoints. With the IP address: names are not resolved again."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        endpoints = () if self.api is None else self.api.metrics
        return {it.name: f"{'https' if it.tls else 'http'}://{host}:{it.port}{it.path}" for it in endpoints}

    @property
    def secure(self) -> TlsPeer | None:
        """How to speak TLS with its metrics endpoints."""
        return None if self.context is None else TlsPeer(self.context, self.origin.host)

    @property
    def has_readable_store(self) -> bool:
        """Whether the scenario says how to read what the target has stored."""
        return self.api is not None and not isinstance(self.api.stored, StoredNone)

    @property
    def unseen(self) -> list[str]:
        """Audit categories that this way of reading the store cannot detect.

        Fetching the planned pages shows nothing stored under other names; a digest without a name cannot be misfiled.
        """
        source = None if self.api is None else self.api.stored
        if isinstance(source, StoredFetch):
            return ["unexpected"]
        return ["misfiled"] if isinstance(source, StoredUrl | StoredCommand) and source.format == "digests" else []

    def stored(self, plan: Plan, halted: Callable[[], str]) -> Iterator[StoredRow]:
        """What the target has stored, one row per copy. Raises StoreUnreadableError, at the latest at the end.

        `halted` returns why the target must not be asked any more, or "".
        """
        if halted():
            message = f"the target must not be asked any more: {halted()}"
            raise StoreUnreadableError(message)
        source = StoredNone() if self.api is None else self.api.stored
        signer = None if self.api is None else make_signer(self.api.sign, self.environment)
        client = StoreClient(self.origin, self.address, self.environment, self._make_gate(halted), self.context, signer)
        match source:
            case StoredUrl():
                return read_listing(source, client, plan)
            case StoredCommand():
                return run_listing_command(source, self.environment, plan)
            case StoredFetch():
                return fetch_planned_pages(source, client, plan)
            case StoredNone():
                message = "the scenario does not say how to read it"
                raise StoreUnreadableError(message)

    def _make_gate(self, halted: Callable[[], str]) -> Callable[[], None]:
        """A function to call before each request: waits for the consented rate, raises once the consent has ended."""
        if self.consent is None:
            return lambda: None
        # the workers have finished by now: the whole rate is available
        limiter, lock = (
            consent.RateLimiter(consent.rate_per_worker(self.consent.max_requests_per_s, 1)),
            threading.Lock(),
        )

        def wait_for_leave() -> None:
            with lock:  # pages are fetched from several threads
                at_s = limiter.take(time.monotonic())
            time.sleep(max(0.0, at_s - time.monotonic()))
            if halted():
                message = f"the target must not be asked any more: {halted()}"
                raise StoreUnreadableError(message)

        return wait_for_leave


def admit_target(
    url: str, scenario: Scenario, plan: Plan, workers: int, environment: Mapping[str, str], *, allow_command: bool,
    also: Sequence[str] = (),
) -> ExternalTarget:  # fmt: skip
    """The target at `url`, if this scenario may load it. Sends nothing but the request for its consent.

    `also` are the URLs of --also-target. Raises UsageError: not an address, no consent or less than the plan needs, an unset
    environment variable, a command that the user has not allowed.
    """
    origin = _parse_url("--target", url)
    others = [_parse_url("--also-target", other) for other in also]
    _check_api(scenario.target, environment, allow_command=allow_command)
    _check_digests(scenario.target, plan)
    _check_also(scenario.target, origin, others)
    if scenario.readers is not None and not scenario.readers.paths:
        message = f"{READERS_NEED_PATHS}, or leave [readers] out: --target {url} is another server"
        raise UsageError(message)
    context = _make_context([origin, *others], scenario)
    admit = _Admission(scenario, workers, environment, context)
    needs = requests_at_peak(scenario, plan)
    target = admit("--target", origin, needs.target)
    return ExternalTarget(
        origin, target.address, scenario.target, environment, target.token, target.consent, context,
        tuple(admit("--also-target", other, needs.elsewhere) for other in others),
    )  # fmt: skip


def _parse_url(option: str, url: str) -> Origin:
    origin = parse_origin(url)
    if origin is None or url.rstrip("/") not in _spellings(url, origin):
        message = f'{option} "{url}" should be an address such as http://127.0.0.1:8080'
        raise UsageError(message)
    return origin


def _check_also(api: TargetApi | None, origin: Origin, others: Sequence[Origin]) -> None:
    """Raise UsageError for a server of --also-target that nothing is ever sent to, or that is named twice."""
    if others and (api is None or not any(step.url is not None for step in api.steps)):
        message = f"--also-target {others[0]}: no step of the scenario has a url, so nothing would be sent there"
        raise UsageError(message)
    for number, other in enumerate(others):
        if other == origin or other in others[:number]:
            message = f"--also-target {other} is named twice: as the target, or as another --also-target"
            raise UsageError(message)


@dataclass(frozen=True)
class _Admission:
    """Admits the servers of one run: each on loopback, or with its own consent to what is sent there."""

    scenario: Scenario
    workers: int
    environment: Mapping[str, str]
    context: ssl.SSLContext | None

    def __call__(self, option: str, origin: Origin, peak_per_s: float) -> OtherServer:
        address = resolve_address(origin)
        if is_loopback(address):
            return OtherServer(origin, address)
        token = consent.derive_token(load_machine_secret(state_folder(self.environment)), origin)
        try:
            granted = read_consent(origin, address, token, self.context)
            longest_s = self.scenario.longest_s + _RUN_OVERHEAD_S
            consent.check_covers(granted, datetime.now(UTC), longest_s, peak_per_s, self.workers)
        except (consent.ConsentError, ConsentUnreadableError) as error:
            raise UsageError(_consent_instructions(option, origin, address, token, str(error))) from None
        return OtherServer(origin, address, token, granted)


def poll_consent(target: ExternalTarget | None) -> ConsentPoller:
    """A poller of the target's consent, to be entered for the time of the run; idle if none is needed."""
    if target is None:
        return ConsentPoller([])
    servers = [OtherServer(target.origin, target.address, target.token, target.consent), *target.also]
    return ConsentPoller(
        [
            (one.consent, partial(read_consent, one.origin, one.address, one.token, target.context))
            for one in servers
            if one.consent is not None
        ]
    )


class PeakRequests(NamedTuple):
    """Requests in the plan's busiest second, if every page were delivered at once."""

    target: float
    """To the target: logins included, and those of readers."""
    elsewhere: float
    """To each other server: all steps that have a url may go there."""


def requests_at_peak(scenario: Scenario, plan: Plan) -> PeakRequests:
    """What the plan asks of the target, and of each other server that steps may send to."""
    pages, per_page, elsewhere = len(plan.slots), 1, 0
    once = int(scenario.target is None or scenario.target.login is not None)
    largest = max(body.size_bytes for body in plan.bank)
    if scenario.client.protocol == "tus":
        chunk = scenario.client.tus.chunk_size if scenario.client.tus is not None else None
        per_page = 1 + (1 if chunk is None else -(-largest // chunk))  # the creation, and one PATCH per chunk
    elif scenario.client.protocol == "resumable":
        options = scenario.client.resumable or ResumableOptions()
        per_page = 1 if options.chunk_size is None else -(-largest // options.chunk_size)  # the first is the creation
        per_page += options.creation == "careful"
    elif scenario.target is not None and scenario.target.steps:
        steps = scenario.target.steps
        counts = [1 if step.part_size is None else -(-largest // step.part_size) for step in steps]
        once = sum(step.once is not None for step in steps)
        per_page = int(sum(count for step, count in zip(steps, counts, strict=True) if step.once is None))
        elsewhere = int(sum(count for step, count in zip(steps, counts, strict=True) if step.url is not None))
    peak_uploads_per_s = forecast_load(plan, scenario.deadline).peak_uploads_per_s
    reads_per_s = 0.0 if scenario.readers is None else scenario.readers.rate
    return PeakRequests(
        peak_uploads_per_s * (pages * per_page + once) / pages + reads_per_s, peak_uploads_per_s * elsewhere
    )


def peak_requests_per_s(scenario: Scenario, plan: Plan) -> float:
    """Requests to the target in the plan's busiest second, logins included, if every page were delivered at once; and reads."""
    return requests_at_peak(scenario, plan).target


def _make_context(origins: Sequence[Origin], scenario: Scenario) -> ssl.SSLContext | None:
    """The context for consent, metrics and store: the same trust as that of the uploads. None if nothing speaks TLS."""
    api = scenario.target
    is_plain = all(origin.scheme == "http" for origin in origins)
    if is_plain and not (api and any(endpoint.tls for endpoint in api.metrics)):
        return None
    authority = scenario.client.tls.authority
    return make_tls_context(None if authority is None else Path(authority).read_text("utf-8", "replace"))


def _spellings(url: str, origin: Origin) -> set[str]:
    """Accepted spellings of an origin: a URL with a path, query or fragment is not silently cut to its origin."""
    scheme, _, rest = url.partition("://")
    host = rest.rstrip("/").lower()
    return (
        {f"{scheme}://{rest.rstrip('/')}"} if host in {origin.host_header, str(origin).partition("://")[2]} else set()
    )


def _check_digests(api: TargetApi | None, plan: Plan) -> None:
    """Raise UsageError if the store's list has digests only, and pages share theirs: nothing would distinguish them."""
    source = None if api is None else api.stored
    if isinstance(source, StoredUrl | StoredCommand) and source.format == "digests" and plan.same_bytes:
        message = (
            f'target.stored.format = "digests": {plan.same_bytes:,} pages of photos.folder share their bytes with another, so a digest '
            "names no page: use a list with names, or JPEG, PNG or PDF files"
        )
        raise UsageError(message)


def _check_api(api: TargetApi | None, environment: Mapping[str, str], *, allow_command: bool) -> None:
    if api is None:
        return
    make_signer(api.sign, environment)
    missing = sorted(name for name in api.variables() if not environment.get(name))
    if missing:
        message = f"[target] needs {', '.join(missing)}: set it in the environment"
        raise UsageError(message)
    if isinstance(api.stored, StoredCommand) and not allow_command:
        message = (
            f"[target.stored] would run a command on this machine: {list(api.stored.command)}; "
            "if you trust it, add --allow-command"
        )
        raise UsageError(message)


def _consent_instructions(option: str, origin: Origin, address: str, token: str, why: str) -> str:
    end = datetime.fromtimestamp(time.time() + 7_200, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"{option} {origin} ({address}) is not on this machine, and it has not consented to this run: {why}\n"
        f"Its operator can consent by answering GET {consent.CONSENT_PATH} there with\n"
        f'  {{"token": "{token}", "contact": "you@example.org", "until": "{end}", "max_requests_per_s": 100}}\n'
        "No option disables this check; see docs/how-to/consent.md."
    )
