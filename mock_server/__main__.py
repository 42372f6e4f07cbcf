"""`python -m mock_server`: the server as a process, alone or under a harness."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from mock_server.accounts import Stations
from mock_server.profile import Profile, ProfileError, load_profile
from mock_server.server import MockServer
from mock_server.supervision import Supervision

TOKEN_VARIABLE = "MOCK_SERVER_ADMIN_TOKEN"  # noqa: S105


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mock_server",
        description="A photo-upload server that misbehaves as told: overload, faults, losses.",
        epilog="Without a profile it is a healthy server with 8 workers of 150 ms each. docs/mock-server.md explains all.",
    )
    add = parser.add_argument
    add("--profile", type=Path, metavar="FILE", help="TOML (or .json): how the server behaves, and its [[faults]]")
    add("--stations", type=Path, metavar="FILE", help="CSV: code,name,pin; left out: any code, PIN = its last 6 digits")
    add("--data", type=Path, metavar="DIR", help="where the store and the injection log live (default: a new folder)")
    add("--host", default="127.0.0.1", help="address of the data port (default: %(default)s)")
    add("--port", type=int, default=8080, help="data port, 0: the kernel chooses (default: %(default)s)")
    add("--admin-host", default="127.0.0.1", help="address of the admin port (default: %(default)s)")
    add("--admin-port", type=int, default=8081, help="admin port, 0: the kernel chooses (default: %(default)s)")
    add("--supervised", action="store_true", help="talk JSON lines over stdin and stdout; end with stdin")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the server until it is told to stop; the exit code: 0, or 2 for what cannot be used."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        profile = load_profile(options.profile) if options.profile else Profile()
        stations = Stations.read(options.stations) if options.stations else Stations()
    except (ProfileError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _raise_descriptor_limit()
    with ExitStack() as stack:
        token = _admin_token(options.supervised, stack)
        folder = options.data or Path(tempfile.mkdtemp(prefix="mock-server-"))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            uvloop.run(_serve(options, profile, stations, folder, token))
        except OSError as error:
            sys.stderr.write(f"can't listen: {error}\n")
            return 2
    return 0


async def _serve(
    options: argparse.Namespace, profile: Profile, stations: Stations, folder: Path, token: tuple[str, Path | None]
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = MockServer(profile, stations, folder, token[0])
    port, admin_port = await server.start(options.host, options.port, options.admin_host, options.admin_port)

    def obey(command: dict[str, Any]) -> None:
        if command.get("event") == "t0":
            loop.call_soon_threadsafe(server.begin_schedule, float(command["monotonic"]))
        elif command.get("event") == "stop":
            loop.call_soon_threadsafe(stopping.set)

    if options.supervised:
        supervision = Supervision(sys.stdin, sys.stdout, obey)
        supervision.begin()
        supervision.say("ready", port=port, admin_port=admin_port, pid=os.getpid())
    else:
        server.begin_schedule(time.monotonic())
        lines = (
            f"uploads  http://{options.host}:{port}", f"admin    http://{options.admin_host}:{admin_port}",
            f"token    {token[1] or TOKEN_VARIABLE}", f"data     {folder}", "Ctrl-C stops.",
        )  # fmt: skip
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    await stopping.wait()
    await server.stop()


def _admin_token(supervised: bool, stack: ExitStack) -> tuple[str, Path | None]:
    """The token, and the file (mode 0600, gone at the end) that holds it unless it came from the environment."""
    given = os.environ.pop(TOKEN_VARIABLE, "")
    if given or supervised:
        return given or secrets.token_urlsafe(24), None
    token = secrets.token_urlsafe(24)
    descriptor, name = tempfile.mkstemp(prefix="mock-server-token-")  # mkstemp gives it mode 0600
    stack.callback(os.unlink, name)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    return token, Path(name)


def _raise_descriptor_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
