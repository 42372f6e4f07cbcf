"""An upload server of the user's, as a run sees it: where it is, that it consents, what else it tells, what it holds."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from harness.base.address import Origin, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError
from harness.plan import Plan
from harness.plan.peak_load import forecast_load
from harness.scenario.scenario import Scenario
from harness.scenario.target import StoredCommand, StoredFetch, StoredNone, StoredUrl, TargetApi
from harness.target import consent
from harness.target.consent_reader import ConsentUnreadableError, load_machine_secret, read_consent, state_folder
from harness.target.stored_pages import (
    StoreClient,
    StoreUnreadableError,
    fetch_planned_pages,
    read_listing,
    run_listing_command,
)
from harness.target.tls import TlsPeer, make_tls_context

_RUN_OVERHEAD_S = 30.0
"""Starting, winding down and reading what is stored."""


@dataclass(frozen=True)
class ExternalTarget:
    """A target that has been looked at: it may be loaded."""

    origin: Origin
    address: str
    """The one that everything goes to."""
    api: TargetApi | None
    """None: the mock's own API, of which nothing can be read without its admin token."""
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    token: str = ""
    """Of the consent; "" on loopback, which needs none."""
    consent: consent.Consent | None = None
    context: ssl.SSLContext | None = field(repr=False, compare=False, default=None)
    """Whom to trust, where TLS is spoken."""

    def metrics(self) -> dict[str, str]:
        """Name -> URL of the target's own metrics, by address: nothing is looked up again."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return {
            it.name: f"{'https' if it.tls else 'http'}://{host}:{it.port}{it.path}"
            for it in (() if self.api is None else self.api.metrics)
        }

    @property
    def secure(self) -> TlsPeer | None:
        """How https is spoken with its metrics."""
        return None if self.context is None else TlsPeer(self.context, self.origin.host)

    @property
    def tells(self) -> bool:
        """Whether there is a way to read what it holds."""
        return self.api is not None and not isinstance(self.api.stored, StoredNone)

    @property
    def unseen(self) -> list[str]:
        """Categories of the audit that the way in can't see.

        Fetching a planned page shows nothing that stands under no planned page's name; a digest alone has no name.
        """
        source = None if self.api is None else self.api.stored
        if isinstance(source, StoredFetch):
            return ["unexpected"]
        return ["misfiled"] if isinstance(source, StoredUrl | StoredCommand) and source.format == "digests" else []

    def stored(self, plan: Plan, halted: Callable[[], str]) -> Iterator[dict[str, Any]]:
        """What it holds. Raises UnreadStockError with the reason where nobody can tell."""
        if halted():
            message = f"the target must not be asked any more: {halted()}"
            raise StoreUnreadableError(message)
        source = StoredNone() if self.api is None else self.api.stored
        door = StoreClient(self.origin, self.address, self.environment, self._leave(halted), self.context)
        match source:
            case StoredUrl():
                return read_listing(source, door, plan)
            case StoredCommand():
                return run_listing_command(source, self.environment, plan)
            case StoredFetch():
                return fetch_planned_pages(source, door, plan)
            case StoredNone():
                message = "nothing says how to read it"
                raise StoreUnreadableError(message)

    def _leave(self, halted: Callable[[], str]) -> Callable[[], None]:
        """Waits for the consented rate before a request; says no once the consent has ended."""
        if self.consent is None:
            return lambda: None
        limit, lock = consent.RateLimiter(consent.rate_per_worker(self.consent.max_requests_per_s, 1)), threading.Lock()

        def leave() -> None:
            with lock:
                moment = limit.take(time.monotonic())
            time.sleep(max(0.0, moment - time.monotonic()))
            if halted():
                message = f"the target must not be asked any more: {halted()}"
                raise StoreUnreadableError(message)

        return leave


def admit_target(
    url: str, scenario: Scenario, plan: Plan, workers: int, environment: Mapping[str, str], *, allow_command: bool
) -> ExternalTarget:
    """The target, if it may be loaded by this scenario. Nothing but its consent is asked for.

    Raises UsageError: no such address, no consent or less than the plan needs, a variable that isn't set, a command that
    nobody allowed.
    """
    origin = parse_origin(url)
    if origin is None or url.rstrip("/") not in _spellings(url, origin):
        message = f'--target "{url}" should be an address such as http://127.0.0.1:8080'
        raise UsageError(message)
    _check_api(scenario.target, environment, allow_command=allow_command)
    address, context = resolve_address(origin), _make_context(origin, scenario)
    if is_loopback(address):
        return ExternalTarget(origin, address, scenario.target, environment, context=context)
    token = consent.derive_token(load_machine_secret(state_folder(environment)), origin)
    try:
        found = read_consent(origin, address, token, context)
        longest_s = scenario.deadline + scenario.client.timeout + _RUN_OVERHEAD_S
        consent.check_covers(found, datetime.now(UTC), longest_s, peak_requests_per_s(scenario, plan), workers)
    except (consent.ConsentError, ConsentUnreadableError) as error:
        raise UsageError(_consent_instructions(origin, address, token, str(error))) from None
    return ExternalTarget(origin, address, scenario.target, environment, token, found, context)


def _make_context(origin: Origin, scenario: Scenario) -> ssl.SSLContext | None:
    """Whom uploads trust, for everything else that is asked there; None where nothing speaks TLS."""
    api = scenario.target
    if origin.scheme == "http" and not (api and any(endpoint.tls for endpoint in api.metrics)):
        return None
    named = scenario.client.tls.authority
    return make_tls_context(None if named is None else Path(named).read_text("utf-8"))


def peak_requests_per_s(scenario: Scenario, plan: Plan) -> float:
    """Requests in the plan's busiest second, logins included, if every page went through at once."""
    logs_in = scenario.target is None or scenario.target.login is not None
    pages, each = len(plan.slots), 1
    if scenario.client.protocol == "tus":
        largest = max(body.size_bytes for body in plan.bank)
        chunk = scenario.client.tus.chunk_size if scenario.client.tus is not None else None
        each = 1 + (1 if chunk is None else -(-largest // chunk))
    return forecast_load(plan, scenario.deadline).peak_uploads_per_s * (pages * each + logs_in) / pages


def _spellings(url: str, origin: Origin) -> set[str]:
    """How an origin may be written: there is nothing in the URL but scheme, host and port."""
    scheme, _, rest = url.partition("://")
    host = rest.rstrip("/").lower()
    return (
        {f"{scheme}://{rest.rstrip('/')}"} if host in {origin.host_header, str(origin).partition("://")[2]} else set()
    )


def _check_api(api: TargetApi | None, environment: Mapping[str, str], *, allow_command: bool) -> None:
    if api is None:
        return
    missing = sorted(name for name in api.variables() if not environment.get(name))
    if missing:
        message = f"[target] asks for {', '.join(missing)}: set it in the environment"
        raise UsageError(message)
    if isinstance(api.stored, StoredCommand) and not allow_command:
        message = f"[target.stored] wants to run a command on this machine: {list(api.stored.command)}; if you trust it, add --allow-command"
        raise UsageError(message)


def _consent_instructions(origin: Origin, address: str, token: str, why: str) -> str:
    end = datetime.fromtimestamp(time.time() + 7_200, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"--target {origin} ({address}) is not this machine, and it has not consented to this: {why}\n"
        f"Whoever runs it can consent by answering GET {consent.CONSENT_PATH} there with\n"
        f'  {{"token": "{token}", "contact": "you@example.org", "until": "{end}", "max_requests_per_s": 100}}\n'
        "No option switches this off; see docs/how-to/consent.md."
    )


class ConsentPoller:
    """Reads the consent again and again within its `with` block, beside the workers, which do so themselves.

    Does nothing where none is needed.
    """

    def __init__(self, foreign: ExternalTarget | None) -> None:
        """Nothing is read before the block."""
        self._foreign = foreign
        self._stopped = threading.Event()
        self._watch: consent.ConsentMonitor | None = None
        self.listener: Callable[[str], None] = lambda _: None
        """Called once, from a thread, with the reason why the consent has ended."""

    def __enter__(self) -> Self:
        if self._foreign is not None and self._foreign.consent is not None:
            self._watch = consent.ConsentMonitor(self._foreign.consent, time.monotonic())
            for work in (self._read, self._look):
                threading.Thread(target=work, daemon=True, name="consent").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()  # a reading under way is not waited for

    def halted(self) -> str:
        """Why nothing more may be sent; "" while it may."""
        return "" if self._watch is None else self._watch.halted(time.monotonic())

    def withdraw(self, why: str) -> None:
        """A worker has seen that the consent ended, or has not ("")."""
        if why and self._watch is not None:
            self._watch.withdraw(why)

    def _read(self) -> None:
        foreign, watch = self._foreign, self._watch
        while (
            foreign is not None
            and watch is not None
            and not self._stopped.wait(consent.POLL_INTERVAL_S)
            and not self.halted()
        ):
            began_s = time.monotonic()
            try:
                watch.read(read_consent(foreign.origin, foreign.address, foreign.token, foreign.context), began_s)
            except ConsentUnreadableError as error:
                watch.unreadable(str(error))
            except consent.ConsentError as error:
                watch.withdraw(str(error))

    def _look(self) -> None:
        while not self._stopped.wait(0.05):
            if self.halted():
                self.listener(self.halted())
                return
