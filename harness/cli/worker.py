"""`harness worker`, and what `harness run` says of workers on other machines."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Annotated

import typer

from harness.base.address import is_loopback
from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from harness.drive.distributed.auth import read_join_token
from harness.drive.distributed.join import DEFAULT_PORT
from harness.runner.remote_worker import RemoteWorker
from harness.runner.run_spec import JoinPolicy
from mock_server.profile.units import duration_s

JOIN_TIMEOUT = "60s"

JoinTimeout = Annotated[
    str, typer.Option("--join-timeout", metavar="DURATION", help="How long master and workers wait for each other.")
]
RemoteWorkers = Annotated[
    int | None,
    typer.Option("--remote-workers", min=1, max=256, metavar="N", help="Processes on other machines that send: harness worker."),
]  # fmt: skip
Bind = Annotated[
    str | None,
    typer.Option(
        "--bind", metavar="ADDRESS[:PORT]", help=f"Where remote workers can join. Default: 127.0.0.1:{DEFAULT_PORT}."
    ),
]


def worker(
    master: Annotated[str, typer.Option(metavar="HOST[:PORT]", help=f"Where harness run listens; port {DEFAULT_PORT} unless said.")],
    join_timeout: JoinTimeout = JOIN_TIMEOUT,
) -> None:  # fmt: skip
    """Send for a run that another machine leads (harness run --remote-workers)."""
    host, port = host_and_port("--master", master)
    token, patience_s = read_join_token(os.environ), positive_duration_s("--join-timeout", join_timeout)
    with SignalHandler() as signals:
        guardian = RemoteWorker(host, port, token, signals, lambda text: print(text, flush=True))
        raise typer.Exit(guardian.work(patience_s))


def join_policy(
    remote_workers: int | None, workers: str | None, bind: str | None, join_timeout: str, target: str | None
) -> JoinPolicy | None:
    """Where the workers of other machines can join; None where there are to be none.

    Raises UsageError for options that don't go together.
    """
    if remote_workers is None:
        if bind is not None:
            message = "--bind needs --remote-workers: workers of this machine need no address"
            raise UsageError(message)
        return None
    if workers is not None:
        message = f"--workers and --remote-workers don't go together: for workers here too, start harness worker --master {bind or '127.0.0.1'} here"
        raise UsageError(message)
    host, port = host_and_port("--bind", bind or "127.0.0.1")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        message = f'--bind "{bind}" should be an address of this machine, with a port if need be, as in 10.0.0.1:{DEFAULT_PORT}'
        raise UsageError(message) from None
    if target is None and address.is_unspecified:
        message = f"--bind {bind}: the mock server listens there too, and the workers must be told one address: name the one that they reach"
        raise UsageError(message)
    invited = JoinPolicy(host, port, read_join_token(os.environ), positive_duration_s("--join-timeout", join_timeout))
    _check_can_listen(invited)
    return invited


def _check_can_listen(invited: JoinPolicy) -> None:
    """Raise UsageError where the address isn't this machine's, or the port is taken."""
    with socket.socket(socket.AF_INET6 if ":" in invited.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((invited.host, invited.port))
            probe.listen()
        except OSError as error:
            message = f"--bind: {invited.host}, port {invited.port}, can't be had: {error.strerror}"
            raise UsageError(message) from None


def check_reachable(invited: JoinPolicy | None, target_address: str | None) -> None:
    """Raise UsageError where other machines may join and would all load themselves: a target on loopback."""
    if invited is not None and invited.reachable and target_address is not None and is_loopback(target_address):
        message = (
            f"--target leads to {target_address}, which is another machine on every machine: with workers that join at "
            f"{invited.host} name an address that they reach"
        )
        raise UsageError(message)


def host_and_port(option: str, text: str) -> tuple[str, int]:
    """The two parts of HOST[:PORT]; an IPv6 address with a port stands in brackets. Raises UsageError.

    >>> host_and_port("--master", "[::1]:80"), host_and_port("--master", "::1")
    (('::1', 80), ('::1', 5557))
    """
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        message = f'{option} "{text}" should be HOST or HOST:PORT, as in 10.0.0.1 or 10.0.0.1:{DEFAULT_PORT}'
        raise UsageError(message)
    return host, int(port)


def positive_duration_s(option: str, text: str) -> float:
    """Seconds of a duration. Raises UsageError."""
    try:
        seconds = duration_s(text)
    except ValueError as error:
        message = f'{option} "{text}" {error}'
        raise UsageError(message) from None
    if seconds <= 0:
        message = f'{option} "{text}" should be longer than 0'
        raise UsageError(message)
    return seconds
