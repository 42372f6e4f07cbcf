"""Three hosts on one machine: network namespaces on a switch, one of them behind a slow link. Needs root."""

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.real_runs import HARNESS, environment

LINK = Path(__file__).with_name("delayed_link.py")
TOKEN = "a-join-token-for-tests-only"
DELAY_S = 0.02


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"ip {' '.join(words)}: {done.stderr.strip()} (network namespaces need root and CAP_NET_ADMIN)")


@dataclass
class Host:
    """A network namespace with an address."""

    name: str
    address: str
    folder: Path
    monotonic_s: int = 0
    """How far its monotonic clock is ahead: each machine counts from its own boot."""

    def start(self, *command: str, **more: str) -> Any:
        """Start a command on this host; its output is text, its state folder its own."""
        clock = ["unshare", "-T", "--monotonic", str(self.monotonic_s)] if self.monotonic_s else []
        own = {"HARNESS_JOIN_TOKEN": TOKEN, "XDG_STATE_HOME": str(self.folder), "TMPDIR": str(self.folder)}
        variables = environment(**{**own, **more})
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "-u", "sh", "-c", 'hostname "$0"; exec "$@"', self.name.rpartition("-")[2], *clock, *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, cwd=self.folder, process_group=0,
        )  # fmt: skip

    def harness(self, *arguments: str, **more: str) -> Any:
        """Start the harness there."""
        return self.start(*HARNESS, *arguments, **more)


@contextlib.contextmanager
def three_hosts(folder: Path) -> Iterator[list[Host]]:
    """Hosts a, b and c; c's monotonic clock is 1,000 s ahead, and every frame to and from it takes 20 ms."""
    if os.geteuid() != 0:
        pytest.fail("three hosts need network namespaces, and those need root: run this as root (CI does)")
    tag = secrets.token_hex(2)
    net = int(tag, 16) % 250
    switch = f"lts{tag}"
    hosts = []
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, switch)
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for number, letter in enumerate("abc", 1):
            host = Host(f"lt{tag}-{letter}", f"10.214.{net}.{number}", folder / letter, 1_000 if letter == "c" else 0)
            host.folder.mkdir()
            hosts.append(host)
            stack.callback(_remove, host.name)
            ip("netns", "add", host.name)
            if letter == "c":
                stack.enter_context(_slow_link(switch, host.name, letter))
            else:
                ip(
                    "-n",
                    switch,
                    "link",
                    "add",
                    f"to-{letter}",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "net",
                    "netns",
                    host.name,
                )
            ip("-n", switch, "link", "set", f"to-{letter}", "master", "bridge", "up")
            ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "net")
            ip("-n", host.name, "link", "set", "net", "up")
            ip("-n", host.name, "link", "set", "lo", "up")
        yield hosts


@contextlib.contextmanager
def _slow_link(switch: str, namespace: str, letter: str) -> Iterator[None]:
    link = subprocess.Popen(
        ["ip", "netns", "exec", switch, sys.executable, "-P", str(LINK), namespace, "net", f"to-{letter}", str(DELAY_S)], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        assert link.stdout is not None
        assert link.stdout.readline() == "ready\n", "no TAP devices (/dev/net/tun)"
        yield
    finally:
        link.kill()
        link.wait()
        if link.stdout:
            link.stdout.close()


def _remove(namespace: str) -> None:
    subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def end_of(process: Any, timeout_s: float = 60) -> tuple[int, str]:
    """Wait for the process: exit code and output."""
    output, _ = process.communicate(timeout=timeout_s)
    return process.returncode, output
