"""`python -m mock_server`: the server as a process, alone or under a harness."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import secrets
import signal
import ssl
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from mock_server.control_channel import receive_commands, send_event
from mock_server.http.admin_token import token_file
from mock_server.http.auth import StationCredentials
from mock_server.net.malloc import keep_freed_memory
from mock_server.net.tls import make_certificate, server_context
from mock_server.profile.profile import CRASH_KINDS, Profile, ProfileError, load_profile
from mock_server.server import ListenAddresses, MockServer
from mock_server.supervisor import TOKEN_VARIABLE, Supervisor


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mock_server",
        description="A photo-upload server that misbehaves as told: overload, faults, losses.",
        epilog="Without a profile it is a healthy server with 8 workers of 150 ms each. docs/reference/mock-server.md explains all.",
    )
    add = parser.add_argument
    add("--profile", type=Path, metavar="FILE", help="TOML (or .json): how the server behaves, and its [[faults]]")
    add("--stations", type=Path, metavar="FILE", help="CSV: code,name,pin; left out: any code, PIN = its last 6 digits")
    add("--data", type=Path, metavar="DIR", help="where the store and the injection log live (default: a new folder)")
    add("--host", default="127.0.0.1", help="address of the data port (default: %(default)s)")
    add("--port", type=int, default=8080, help="data port, 0: the kernel chooses (default: %(default)s)")
    add("--admin-host", default="127.0.0.1", help="address of the admin port (default: %(default)s)")
    add("--admin-port", type=int, default=8081, help="admin port, 0: the kernel chooses (default: %(default)s)")
    add(
        "--tls", action="store_true", help="speak TLS on the data port, with a certificate made now unless one is given"
    )
    add("--certificate", type=Path, metavar="FILE", help="PEM certificate for --tls")
    add("--key", type=Path, metavar="FILE", help="PEM key of the certificate")
    add("--supervised", action="store_true", help="talk JSON lines over stdin and stdout; end with stdin")
    add("--kept", action="store_true", help="start again after a fault that crashes it (as if the profile had one)")
    add("--in-keeper", action="store_true", help=argparse.SUPPRESS)
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
    """Runs the server until it is told to stop; the exit code: 0, or 2 for what cannot be used."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        try:
            setting = _load_settings(options, stack)
        except (ProfileError, ValueError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        crashes = options.kept or any(fault.kind in CRASH_KINDS for fault in setting.profile.faults)
        if crashes and not options.in_keeper:
            return _run_supervised(setting)
        _raise_descriptor_limit()
        keep_freed_memory()
        try:
            uvloop.run(_serve(setting))
        except OSError as error:
            sys.stderr.write(f"can't listen: {error}\n")
            return 2
    return 0


def _load_settings(options: argparse.Namespace, stack: ExitStack) -> _Settings:
    profile = load_profile(options.profile) if options.profile else Profile()
    stations = StationCredentials.read(options.stations) if options.stations else StationCredentials()
    folder = options.data or Path(tempfile.mkdtemp(prefix="mock-server-"))
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = options.certificate, options.key
    options.tls = options.tls or profile.tls
    if options.tls and (certificate is None or key is None):
        certificate, key = make_certificate(Path(stack.enter_context(tempfile.TemporaryDirectory())), options.host)
    tls = server_context(certificate, key) if options.tls else None
    token, token_file = _admin_token(options.supervised, stack)
    return _Settings(options, profile, stations, folder, token, token_file, tls, certificate, key)


def _run_supervised(setting: _Settings) -> int:
    """Runs the server in a child that may be killed."""
    options = setting.options
    command = [sys.executable, "-m", "mock_server", "--supervised", "--in-keeper", "--data", str(setting.folder)]
    for name in ("profile", "stations", "host", "port", "admin_host", "admin_port"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    if options.tls and setting.certificate is not None:
        command += ["--tls", "--certificate", str(setting.certificate), "--key", str(setting.key)]

    def introduce(said: dict[str, Any]) -> None:
        if said["event"] == "ready":
            _print_addresses(setting, said["port"], said["admin_port"])

    if not options.supervised:
        return Supervisor(command, setting.token, introduce, {"event": "t0", "monotonic": time.monotonic()}).run()
    keeper = Supervisor(command, setting.token, send_event)
    keeper.listen()
    return keeper.run()


async def _serve(setting: _Settings) -> None:
    options = setting.options
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def announce_crash(restart_after_s: float | None) -> None:
        if options.in_keeper:
            send_event({"event": "crash", "restart_after": restart_after_s})

    def obey(command: dict[str, Any]) -> None:
        if command.get("event") == "t0":
            begin = partial(server.begin_schedule, again=bool(command.get("again")))
            loop.call_soon_threadsafe(begin, float(command["monotonic"]))
        elif command.get("event") == "stop":
            loop.call_soon_threadsafe(stopping.set)

    server = MockServer(setting.profile, setting.stations, setting.folder, setting.token, setting.tls, announce_crash)
    addresses = ListenAddresses(options.host, options.port, options.admin_host, options.admin_port)
    port, admin_port = await server.start(addresses)
    if options.supervised:
        receive_commands(sys.stdin, obey)
        trusted = {"certificate": str(setting.certificate)} if options.tls else {}
        send_event({"event": "ready", "port": port, "admin_port": admin_port, "pid": os.getpid(), **trusted})
    else:
        server.begin_schedule(time.monotonic())
        _print_addresses(setting, port, admin_port)
    gc.collect()
    gc.freeze()  # what was made at start stays: looking through it again and again would only hold the loop up
    await stopping.wait()
    await server.stop()


def _print_addresses(setting: _Settings, port: int, admin_port: int) -> None:
    """Tells a person where everything is."""
    options = setting.options
    scheme = "https" if options.tls else "http"
    lines = [
        f"uploads      {scheme}://{options.host}:{port}",
        f"admin        http://{options.admin_host}:{admin_port}",
        f"admin token  {setting.token_file or 'from ' + TOKEN_VARIABLE}",
        f"data         {setting.folder}",
        *([f"certificate  {setting.certificate}"] if options.tls else []),
        "Ctrl-C stops.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _admin_token(supervised: bool, stack: ExitStack) -> tuple[str, Path | None]:
    """The token, and the file (mode 0600, gone at the end) that holds it unless it came from the environment."""
    given = os.environ.pop(TOKEN_VARIABLE, "")
    if given or supervised:
        return given or secrets.token_urlsafe(24), None
    return stack.enter_context(token_file())


def _raise_descriptor_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
