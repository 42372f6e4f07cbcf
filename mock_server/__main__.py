"""`python -m mock_server`: the server as a process, alone or under a harness."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import dataclasses
import gc
import logging
import os
import resource
import secrets
import ssl
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from mock_server.api.admin import token_file
from mock_server.faults.registry import CRASH_KINDS, POWER_CUT
from mock_server.http.auth import StationCredentials
from mock_server.net.tls import make_certificate, server_context
from mock_server.profile_file import Profile, ProfileError, load_profile
from mock_server.server import ListenAddresses, MockServer, PowerLoss
from mock_server.storage.temporary_data import claim_temporary_folder
from mock_server.supervisor import TOKEN_VARIABLE, Supervisor, receive_commands, send_event, stop_signals
from powercut.mount import PowerCutError, PowerCutMount

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_CHUNK_BYTES = 32 * 2**20
_KEPT_BYTES = 64 * 2**20
_COLLECT_AFTER = 10_000, 20, 10
"""New objects, and collections of the younger generation, after which garbage is collected. An upload leaves none: with Python's own
700 the collector only examines, again and again, what is in progress."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=None if Path(sys.argv[0]).name == "mock-upload-server" else "python -m mock_server",
        description="A photo-upload server that misbehaves as configured: overload, faults, data loss.",
        epilog="Without a profile it is a healthy server with 8 workers of 150 ms each. Reference: docs/reference/mock-server.md.",
    )
    add = parser.add_argument
    add("--profile", type=Path, metavar="FILE", help="TOML (or .json): the server's keys and its [[faults]]")
    add(
        "--stations",
        type=Path,
        metavar="FILE",
        help="CSV: code,name,pin (default: any code may log in, its PIN is its last 6 digits)",
    )
    add(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of the store and the injection log (default: a temporary folder, emptied when the next server starts)",
    )
    add("--host", default="127.0.0.1", help="address of the data port (default: %(default)s)")
    add("--port", type=int, default=8080, help="data port; 0: any free port (default: %(default)s)")
    add("--admin-host", default="127.0.0.1", help="address of the admin port (default: %(default)s)")
    add("--admin-port", type=int, default=8081, help="admin port; 0: any free port (default: %(default)s)")
    add(
        "--tls",
        action="store_true",
        help="speak TLS on the data port, with a self-signed certificate unless one is given",
    )
    add("--certificate", type=Path, metavar="FILE", help="PEM certificate for --tls")
    add("--key", type=Path, metavar="FILE", help="PEM key of the certificate")
    add(
        "--supervised",
        action="store_true",
        help="exchange JSON lines with the parent over stdin and stdout; exit when stdin is closed",
    )
    add("--kept", action="store_true", help="restart after a crash fault, even if the profile has none yet")
    add(
        "--power-cut",
        action="store_true",
        help="keep the data on a disk whose power can be cut, even if the profile has no such fault yet (needs root and FUSE)",
    )
    add("--in-supervisor", action="store_true", help=argparse.SUPPRESS)
    return parser


@dataclass(frozen=True)
class _Settings:
    """Everything that is known before the event loop starts."""

    options: argparse.Namespace
    profile: Profile
    stations: StationCredentials
    folder: Path
    token: str
    token_file: Path | None
    tls: ssl.SSLContext | None
    certificate: Path | None
    key: Path | None


def main(arguments: list[str] | None = None) -> int:
    """Runs the server until it is stopped; the exit code: 0, or 2 for a configuration or address that cannot be used."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        try:
            settings = _load_settings(options, stack)
        except (ProfileError, ValueError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        kinds = {fault.kind for fault in settings.profile.faults}
        cuts_power = options.power_cut or POWER_CUT in kinds
        crashes = options.kept or cuts_power or kinds & CRASH_KINDS
        if crashes and not options.in_supervisor:  # the supervisor's child has the same profile
            try:
                disk = stack.enter_context(PowerCutMount(settings.folder)) if cuts_power else None
            except PowerCutError as error:
                sys.stderr.write(f"{error}\n")
                return 2
            return _run_supervised(settings, disk)
        _raise_descriptor_limit()
        keep_freed_memory()
        try:
            uvloop.run(_serve(settings))
        except OSError as error:
            sys.stderr.write(f"cannot listen: {error}\n")
            return 2
    return 0


def _load_settings(options: argparse.Namespace, stack: ExitStack) -> _Settings:
    profile = load_profile(options.profile) if options.profile else Profile()
    stations = StationCredentials.read(options.stations) if options.stations else StationCredentials()
    folder = options.data or claim_temporary_folder()[0]
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = options.certificate, options.key
    options.tls = options.tls or profile.tls
    if options.tls and (certificate is None or key is None):
        # Apart from the data: a run's folder is shared with others, and the key must not be.
        certificate, key = make_certificate(claim_temporary_folder()[0], options.host)
    tls = server_context(certificate, key) if options.tls else None
    token, token_file = _admin_token(options.supervised, stack)
    return _Settings(options, profile, stations, folder, token, token_file, tls, certificate, key)


def _run_supervised(settings: _Settings, disk: PowerCutMount | None) -> int:
    """Runs the server in a child process, so that a fault may kill it."""
    options = settings.options
    command = [sys.executable, "-m", "mock_server", "--supervised", "--in-supervisor", "--data", str(settings.folder)]
    for name in ("profile", "stations", "host", "port", "admin_host", "admin_port"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    if disk is not None:
        command.append("--power-cut")  # so that its admin port takes such a fault
    if options.tls and settings.certificate is not None:
        command += ["--tls", "--certificate", str(settings.certificate), "--key", str(settings.key)]

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "ready":
            _print_addresses(settings, event["port"], event["admin_port"])

    if not options.supervised:
        return Supervisor(command, settings.token, on_event, {"event": "t0", "monotonic": time.monotonic()}, disk).run()
    supervisor = Supervisor(command, settings.token, send_event, disk=disk)
    supervisor.receive_commands()
    return supervisor.run()


async def _serve(settings: _Settings) -> None:
    options = settings.options
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in stop_signals():
        loop.add_signal_handler(number, stopping.set)

    def announce_crash(restart_after_s: float | None, power: PowerLoss | None) -> None:
        if options.in_supervisor:
            lost = {} if power is None else {"power": dataclasses.asdict(power)}
            send_event({"event": "crash", "restart_after": restart_after_s, **lost})

    def execute(command: dict[str, Any]) -> None:
        if command.get("event") == "t0":
            begin = partial(server.begin_schedule, again=bool(command.get("again")))
            loop.call_soon_threadsafe(begin, float(command["monotonic"]))
        elif command.get("event") == "stop":
            loop.call_soon_threadsafe(stopping.set)

    server = MockServer(
        settings.profile,
        settings.stations,
        settings.folder,
        settings.token,
        settings.tls,
        announce_crash,
        can_cut_power=options.power_cut,
    )
    addresses = ListenAddresses(options.host, options.port, options.admin_host, options.admin_port)
    port, admin_port = await server.start(addresses)
    if options.supervised:
        receive_commands(sys.stdin, execute)
        certificate = {"certificate": str(settings.certificate)} if options.tls else {}
        send_event({"event": "ready", "port": port, "admin_port": admin_port, "pid": os.getpid(), **certificate})
    else:
        server.begin_schedule(time.monotonic())
        _print_addresses(settings, port, admin_port)
    gc.collect()  # before the freeze, or garbage would be frozen too
    gc.set_threshold(*_COLLECT_AFTER)
    gc.freeze()  # what was made at start stays: examining it in every collection would only pause the event loop
    await stopping.wait()
    await server.stop()


def _print_addresses(settings: _Settings, port: int, admin_port: int) -> None:
    """Prints where everything is, for a user at the terminal."""
    options = settings.options
    scheme = "https" if options.tls else "http"
    lines = [
        f"uploads      {scheme}://{options.host}:{port}",
        f"admin        http://{options.admin_host}:{admin_port}",
        f"admin token  {settings.token_file or 'from ' + TOKEN_VARIABLE}",
        f"data         {settings.folder}",
        *([f"certificate  {settings.certificate}"] if options.tls else []),
        "Ctrl-C stops.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _admin_token(supervised: bool, stack: ExitStack) -> tuple[str, Path | None]:
    """The token, and the file (mode 0600, removed at exit) that holds it unless it came from the environment."""
    # Removed from the environment: children and /proc/self/environ readers of them must not get it.
    given = os.environ.pop(TOKEN_VARIABLE, "")
    if given or supervised:
        return given or secrets.token_urlsafe(24), None
    return stack.enter_context(token_file())


def _raise_descriptor_limit() -> None:
    # The soft limit is often 1024, far below the connections of one surge.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def keep_freed_memory() -> bool:
    """Keeps glibc from returning memory to the system between two photos; False if the C library is another one.

    Chunks of photos are just large enough to be mapped and unmapped one by one, or trimmed off the heap, which costs
    more page faults than reading them costs otherwise: a fifth of the server's time (docs/decisions/0007). At most
    64 MiB are kept.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_CHUNK_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


if __name__ == "__main__":
    sys.exit(main())
