"""Ports for servers that cannot be started with port 0."""

import random
import socket
from pathlib import Path

LOWEST = 15_000


def free_port() -> int:
    """A free port on loopback, below the range from which the kernel picks ports itself.

    So that no other socket gets it by chance before the server is started.
    """
    first, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    for _ in range(100):
        port = random.SystemRandom().randrange(LOWEST, max(int(first), LOWEST + 10_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    message = f"no port from {LOWEST} to {first} is free"
    raise RuntimeError(message)
