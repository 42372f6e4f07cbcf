"""What one worker has to send: its assignment, built by the leader's machine and read by the worker.

A worker makes the plan again from the scenario and sends its shard of it, so that the message stays small whatever the size
of the plan. The photo bodies, nine tenths of that work, are read from a file by local workers. Workers of this machine
share files and environment with the process that builds the assignment; remote workers get what they need in the message,
and nothing else.
"""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from harness.base.address import Origin, is_loopback, parse_origin, resolve_address
from harness.base.errors import UsageError
from harness.drive.client.connection import Endpoint
from harness.drive.client.consent_guard import ConsentGuard
from harness.drive.client.tls import TlsConfig
from harness.drive.distributed.join import LEADER_ADDRESS, OWN_CLIENT
from harness.run_folder.layout import RunFolder, RunRecord
from harness.scenario.own_client import display_name, parse_resolved_name
from harness.scenario.scenario import Scenario, parse_resolved
from harness.scenario.stations import REGIONS
from harness.scenario.templating import ENVIRONMENT_PREFIX
from harness.target.connect import make_tls_context

CONSENT_TOKEN = "HARNESS_CONSENT_TOKEN"  # noqa: S105 - a variable's name
"""Environment variable: the token that the target's consent must name. A remote worker gets it in its assignment."""
ALSO_CONSENT_TOKENS = "HARNESS_ALSO_CONSENT_TOKENS"
"""The same for the servers of --also-target, in their order, separated by commas."""


@dataclass(frozen=True)
class Assignment:
    """Everything that a worker needs to work out and send its shard."""

    rank: int
    workers: int
    run: str
    """Id of the run."""
    scenario: Scenario
    target: str
    """URL of the server under test."""
    address: str
    """IP address of the target, the only one that is loaded; "" looks it up."""
    journal: str
    """Folder for the journal; "" on remote workers, which send their records to the leader."""
    metrics_port: int
    """0 lets the kernel choose."""
    limits_s: list[float]
    """Limits of the thresholds: they become bounds of the histograms' buckets."""
    pin_secret: str = field(repr=False)
    """"" makes every PIN the last six digits of the station's code."""
    also: list[list[str]] = field(default_factory=list)
    """URL and IP address of every other server that steps may send to."""
    photo_bank: str = ""
    """File of the photo bodies that the leader has made; "" on remote workers, which make them again."""
    authority: str | None = None
    """PEM text of the certificates to trust if the target speaks TLS; None: the system's."""
    own_server: bool = False
    """The target is the mock on the leader's machine. For remote workers only, like all that follows."""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    """Variables of the leader's environment that the worker reads."""
    region: bytes = b""
    """The station list (CSV, zlib) if it does not ship with the package."""
    accounts: bytes = field(default=b"", repr=False)
    """The stations' accounts (CSV, zlib), which have secrets."""
    photos: bytes = field(default=b"", repr=False)
    """The user's own photos, as `save_photo_bank` writes them; b"" for drawn ones, which the worker draws again."""
    plan_sha256: str = ""
    """Digest that the worker's plan must have; "" where nothing is compared."""
    own_client_sha256: str = ""
    """Digest that the scenario's own client must have; "" if it has none."""

    def to_message(self) -> dict[str, Any]:
        """Plain values, for Locust's wire."""
        return {**vars(self), "scenario": self.scenario.resolved()}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """The assignment from what `to_message` returned. Raises ValidationError if the scenario is malformed."""
        return cls(**{**message, "scenario": parse_resolved(message["scenario"])})


@dataclass(frozen=True)
class AssignmentBuilder:
    """Builds the assignments of one run from its record, its folder's files and the environment."""

    record: RunRecord
    folder: RunFolder
    workers: int
    environment: Mapping[str, str]

    def common(self, *, remote: bool) -> Assignment:
        """What all workers have in common; `remote` for workers that share neither files nor environment with this process.

        Raises OSError if the certificates to trust can't be read.
        """
        record = self.record
        scenario = parse_resolved(record.scenario)
        assignment = Assignment(
            rank=0,
            workers=self.workers,
            run=record.id,
            scenario=scenario,
            target=record.target,
            address=record.address,
            also=[[other.url, other.address] for other in record.also_targets],
            journal=str(self.folder.journal),
            metrics_port=0,
            limits_s=record.limits_s,
            pin_secret=self.environment.get("HARNESS_PIN_SECRET", ""),
            photo_bank=self.environment.get("HARNESS_PHOTO_BANK", ""),
            authority=read_trusted_authority(self.folder, scenario),
            own_client_sha256=record.own_client_sha256,
        )
        if not remote:
            return assignment
        return replace(
            assignment,
            journal="",
            photo_bank="",
            own_server=record.own_server,
            environment=self._variables(scenario),
            region=self._station_list(scenario),
            accounts=_accounts(scenario),
            photos=_own_photos(scenario, assignment.photo_bank),
            plan_sha256=record.plan_sha256,
        )

    def for_worker(self, common: Assignment, rank: int) -> Assignment:
        """The assignment of worker `rank`."""
        base_port = int(self.environment.get("HARNESS_METRICS_PORT", "0"))
        # A remote worker serves its metrics on any free port: the leader proxies them, at the port that was asked for.
        local = bool(common.journal) and base_port > 0
        return replace(common, rank=rank, metrics_port=base_port + rank if local else 0)

    def _variables(self, scenario: Scenario) -> dict[str, str]:
        """The variables that a worker reads: the consent's token and those that [target] names. No other secret travels.

        An own client may read everything that begins with TARGET_: which of them it does, only it knows.
        """
        target = scenario.target
        named = () if target is None else target.variables() | target.optional_variables()
        names = [CONSENT_TOKEN, ALSO_CONSENT_TOKENS, *named]
        if scenario.client.own:
            names += [name for name in self.environment if name.startswith(ENVIRONMENT_PREFIX)]
        return {name: self.environment[name] for name in names if name in self.environment}

    def _station_list(self, scenario: Scenario) -> bytes:
        """The station list, compressed; b"" for one that ships with the package."""
        if scenario.stations.file is not None:
            return zlib.compress(self.folder.stations.read_bytes(), 1)
        if scenario.stations.region in REGIONS:
            return b""
        return zlib.compress(self.folder.region.read_bytes(), 1)


def unpack_assignment(assignment: Assignment, folder: Path) -> Assignment:
    """The assignment of a remote worker, with its station list and accounts written to files in `folder`."""
    key = "region" if assignment.scenario.stations.file is None else "file"
    packed = {key: assignment.region, "accounts": assignment.accounts}
    paths = {name: folder / f"{name}.csv" for name, content in packed.items() if content}
    for name, path in paths.items():
        path.touch(mode=0o600)  # before anything is in it: accounts are secrets
        path.write_bytes(zlib.decompress(packed[name]))
    stations = assignment.scenario.stations.model_copy(update={name: str(path) for name, path in paths.items()})
    scenario = assignment.scenario.model_copy(update={"stations": stations})
    bank = ""
    if assignment.photos:
        (folder / "photos.bin").write_bytes(assignment.photos)
        bank = str(folder / "photos.bin")
    return replace(assignment, scenario=scenario, region=b"", accounts=b"", photos=b"", photo_bank=bank)


def _own_photos(scenario: Scenario, bank: str) -> bytes:
    """The user's own photos; b"" for drawn ones. Raises OSError if the file can't be read."""
    return b"" if scenario.photos.folder is None or not bank else Path(bank).read_bytes()


def _accounts(scenario: Scenario) -> bytes:
    """The accounts, compressed; b"" without any. Raises OSError if the file can't be read."""
    path = scenario.stations.accounts
    return b"" if path is None else zlib.compress(Path(path).read_bytes(), 1)


def use_own_copy(assignment: Assignment, environment: Mapping[str, str]) -> Assignment:
    """The assignment with the place of the own client on this machine, where a remote worker was started with one.

    Raises UsageError if the run has an own client and this remote worker was not started with one: a leader on another machine
    must not choose what is run here.
    """
    name = assignment.scenario.client.own
    if not name or LEADER_ADDRESS not in environment:
        return assignment
    here = environment.get(OWN_CLIENT, "")
    own = parse_resolved_name(name)
    allowed = here == name if own is None else here.endswith(".py")
    if not allowed:
        message = (
            f"the run has the own client {display_name(name)}: start harness worker with --allow-code and the same code"
        )
        raise UsageError(message)
    if own is None:
        return assignment
    client = assignment.scenario.client.model_copy(update={"protocol": f"{here}:{own.class_name}"})
    return replace(assignment, scenario=assignment.scenario.model_copy(update={"client": client}))


def read_trusted_authority(folder: RunFolder, scenario: Scenario) -> str | None:
    """PEM text of the authority that the scenario names, else of the mock's own certificate; None: the system's authorities.

    Raises OSError if the file can't be read.
    """
    named = scenario.client.tls.authority
    if named is not None:
        return Path(named).read_text("utf-8", "replace")
    return folder.certificate.read_text("utf-8") if folder.certificate.exists() else None


def resolve_endpoint(assignment: Assignment) -> Endpoint:
    """Where to connect: an address that is looked up at most once, with a consent guard unless it is on loopback.

    Raises ConsentError (a UsageError) if the target does not consent, UsageError if the target is not a valid URL or would
    be this worker's own machine.
    """
    origin = parse_origin(assignment.target)
    if origin is None:
        message = f"{assignment.target} is not a valid target: expected an address such as http://127.0.0.1:8080"
        raise UsageError(message)
    token = _variable(assignment, CONSENT_TOKEN)
    return _resolve(assignment, origin, assignment.address or resolve_address(origin), token)


def resolve_also(assignment: Assignment) -> dict[Origin, Endpoint]:
    """Where to connect for each of the other servers that steps may send to. Raises what `resolve_endpoint` does."""
    found: dict[Origin, Endpoint] = {}
    tokens = _variable(assignment, ALSO_CONSENT_TOKENS).split(",")
    for number, (url, address) in enumerate(assignment.also):
        origin = parse_origin(url)
        if origin is None:
            message = f"{url} is not a valid address of --also-target"
            raise UsageError(message)
        token = tokens[number] if number < len(tokens) else ""
        found[origin] = _resolve(assignment, origin, address, token)
    return found


def _variable(assignment: Assignment, name: str) -> str:
    return assignment.environment.get(name, "") or os.environ.get(name, "")


def _resolve(assignment: Assignment, origin: Origin, address: str, token: str) -> Endpoint:
    joined_at = os.environ.get(LEADER_ADDRESS, "")
    # On a remote worker, loopback is another machine than the user meant (unless the leader itself was joined there).
    if joined_at and is_loopback(address) and not is_loopback(joined_at):
        message = (
            f"{origin} resolves to {address}, which is this worker's own machine, not the leader's: "
            "give the target an address that every worker can reach"
        )
        raise UsageError(message)
    tls = guard = None
    if origin.scheme == "https":
        resumption = assignment.scenario.client.tls.resumption
        tls = TlsConfig(make_tls_context(assignment.authority), origin.host, resumption)
    if not (is_loopback(address) or _is_leaders_mock(assignment, address)):
        guard = ConsentGuard(origin, address, token, assignment.workers, None if tls is None else tls.context)
    return make_endpoint(origin, address, assignment.scenario.client.source_addresses, tls, guard)


def make_endpoint(
    origin: Origin, address: str, source_addresses: int, tls: TlsConfig | None = None, guard: ConsentGuard | None = None
) -> Endpoint:
    """Where to connect; from several source addresses only on loopback, where all of 127.0.0.0/8 can be used unasked."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    several = is_loopback(address) and source_addresses > 1 and family == socket.AF_INET
    sources = tuple(f"127.0.0.{number + 1}" for number in range(source_addresses)) if several else ()
    return Endpoint(family, (address, origin.port), origin.host_header, sources, tls, guard)


def _is_leaders_mock(assignment: Assignment, address: str) -> bool:
    """Whether the target is the leader's own mock, at the very address where this worker joined the leader.

    The leader knew the join token, and that is its consent. Any other server, also on that machine, has to publish one.
    """
    return assignment.own_server and address == os.environ.get(LEADER_ADDRESS)
