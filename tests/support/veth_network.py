"""A network of two ends with real addresses, neither of them loopback: a veth pair into a namespace of its own. Needs root."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVER = Path(__file__).with_name("consenting_server.py")


@dataclass
class Place:
    """A server at the far end, and its folder."""

    url: str
    address: str
    folder: Path

    def consents(self, body: str, status: int = 200, **headers: str) -> None:
        """Publish this document."""
        head = "\n".join([str(status), *(f"{name}: {value}" for name, value in headers.items())])
        beside = self.folder / "consent.new"
        beside.write_text(f"{head}\n\n{body}", "utf-8")
        beside.replace(self.folder / "consent")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def namespace() -> Iterator[tuple[str, str]]:
    """(name of a namespace, address of its end)."""
    tag = secrets.token_hex(3)
    net = 4 * secrets.randbelow(2**14)  # one of the networks of four addresses in 10.213.0.0/16
    near, far = (f"10.213.{net // 256}.{net % 256 + host}" for host in (1, 2))
    name, here, there = f"lt{tag}", f"ltn{tag}", f"ltf{tag}"
    ip("netns", "add", name)
    try:
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        ip("addr", "add", f"{near}/30", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", f"{far}/30", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name, far
    finally:
        subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextlib.contextmanager
def place(name: str, address: str, folder: Path, port: int = 8080) -> Iterator[Place]:
    """A server in that namespace, which has not published a consent yet."""
    folder.mkdir(exist_ok=True)
    server = subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-P", str(SERVER), address, str(port), str(folder)], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == f"ready {port}\n"
        yield Place(f"http://{address}:{port}", address, folder)
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()
