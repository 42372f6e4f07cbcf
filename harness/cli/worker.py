"""`harness worker`, and the options of `harness run` for workers on other machines."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from harness.base.address import is_loopback
from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from harness.drive.distributed.auth import read_join_token
from harness.drive.distributed.join import DEFAULT_PORT
from harness.plan import Plan
from harness.plan.own_photos import MAX_REMOTE_BYTES
from harness.runner.remote_worker import AllowedClient, RemoteWorker
from harness.runner.run_spec import JoinPolicy
from harness.scenario.own_client import digest_file, digest_own_client
from harness.scenario.scenario import Scenario
from mock_server.profile.units import duration_s

JOIN_TIMEOUT = "60s"

JoinTimeout = Annotated[
    str, typer.Option("--join-timeout", metavar="DURATION", help="How long leader and workers wait for each other.")
]
RemoteWorkers = Annotated[
    int | None,
    typer.Option("--remote-workers", min=1, max=256, metavar="N", help="Number of workers on other machines to wait for; each is started with harness worker."),
]  # fmt: skip
Bind = Annotated[
    str | None,
    typer.Option(
        "--bind",
        metavar="ADDRESS[:PORT]",
        help=f"Address where remote workers can join. Default: 127.0.0.1:{DEFAULT_PORT}.",
    ),
]


def worker(
    master: Annotated[str, typer.Option(metavar="HOST[:PORT]", help=f"Address of the leader, where harness run listens. Default port: {DEFAULT_PORT}.")],
    join_timeout: JoinTimeout = JOIN_TIMEOUT,
    allow_code: Annotated[str | None, typer.Option("--allow-code", metavar="FILE|NAME", help="Own client that may run here: a Python file, or an installed one's name. It must be the same as the leader's.")] = None,
) -> None:  # fmt: skip
    """Start a worker for a run led by another machine (harness run --remote-workers)."""
    own_client = None if allow_code is None else allowed_client(allow_code)
    host, port = host_and_port("--master", master)
    token, timeout_s = read_join_token(os.environ), positive_duration_s("--join-timeout", join_timeout)
    with SignalHandler() as signals:
        remote = RemoteWorker(host, port, token, signals, lambda text: print(text, flush=True), own_client)
        raise typer.Exit(remote.work(timeout_s))


def allowed_client(text: str) -> AllowedClient:
    """The own client that `--allow-code` names. Raises UsageError if there is no such file and none of that name is installed."""
    if text.endswith(".py"):
        file = Path(text).absolute()
        return AllowedClient(str(file), digest_file(file))
    return AllowedClient(text, digest_own_client(text))


def join_policy(
    remote_workers: int | None, workers: str | None, bind: str | None, join_timeout: str, target: str | None
) -> JoinPolicy | None:
    """Where remote workers can join; None if the run has none.

    Raises UsageError for options that exclude each other, or an address that can't be listened on.
    """
    if remote_workers is None:
        if bind is not None:
            message = "--bind needs --remote-workers: local workers need no address"
            raise UsageError(message)
        return None
    if workers is not None:
        message = f"--workers and --remote-workers exclude each other: to use this machine too, start harness worker --master {bind or '127.0.0.1'} on it"
        raise UsageError(message)
    host, port = host_and_port("--bind", bind or "127.0.0.1")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        message = f'--bind "{bind}" should be an IP address of this machine, optionally with a port, as in 10.0.0.1:{DEFAULT_PORT}'
        raise UsageError(message) from None
    if target is None and address.is_unspecified:
        message = f"--bind {bind}: the mock server listens there too and workers need one address to reach it: give the one that they can reach"
        raise UsageError(message)
    policy = JoinPolicy(host, port, read_join_token(os.environ), positive_duration_s("--join-timeout", join_timeout))
    _check_can_listen(policy)
    return policy


def _check_can_listen(policy: JoinPolicy) -> None:
    """Raise UsageError if the address is not this machine's or the port is taken: better now than in a child process."""
    with socket.socket(socket.AF_INET6 if ":" in policy.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((policy.host, policy.port))
            probe.listen()
        except OSError as error:
            message = f"--bind: port {policy.port} of {policy.host} is not available: {error.strerror}"
            raise UsageError(message) from None


def check_target_for_remote(policy: JoinPolicy | None, target_address: str | None) -> None:
    """Raise UsageError if remote workers would each load their own machine: a target on loopback."""
    if policy is not None and policy.is_reachable and target_address is not None and is_loopback(target_address):
        message = (
            f"--target resolves to {target_address}, which is a different machine on each worker: with workers that join at "
            f"{policy.host}, give an address that all of them can reach"
        )
        raise UsageError(message)


def host_and_port(option: str, text: str) -> tuple[str, int]:
    """Host and port of HOST[:PORT]; an IPv6 address with a port is written in brackets. Raises UsageError, naming `option`.

    >>> host_and_port("--master", "[::1]:80"), host_and_port("--master", "::1")
    (('::1', 80), ('::1', 5557))
    """
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else port
    elif text.count(":") == 1:  # more than one: an IPv6 address without a port
        host, _, port = text.partition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        message = f'{option} "{text}" should be HOST or HOST:PORT, as in 10.0.0.1 or 10.0.0.1:{DEFAULT_PORT}'
        raise UsageError(message)
    return host, int(port)


def positive_duration_s(option: str, text: str) -> float:
    """The seconds of a duration such as 90s. Raises UsageError, naming `option`, if it is not one or not positive."""
    try:
        seconds = duration_s(text)
    except ValueError as error:
        message = f'{option} "{text}" {error}'
        raise UsageError(message) from None
    if seconds <= 0:
        message = f'{option} "{text}" should be longer than 0'
        raise UsageError(message)
    return seconds


def check_photos_for_remote(plan: Plan, loaded: Scenario) -> None:
    """Raise UsageError if the user's own photos are too large to be sent to remote workers."""
    size = sum(len(body.data) for body in plan.bank)
    if loaded.photos.folder is not None and size > MAX_REMOTE_BYTES:
        message = (
            f"photos.folder has {size / 1e6:,.0f} MB, and remote workers get at most {MAX_REMOTE_BYTES / 1e6:,.0f} MB: use fewer or "
            "smaller files"
        )
        raise UsageError(message)
