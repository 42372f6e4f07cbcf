"""A port for a server that can't be told to take one of the kernel's choice."""

import random
import socket
from pathlib import Path

LOWEST = 15_000


def free_port() -> int:
    """A port on loopback that nobody has, below those that the kernel gives to connections and to whoever asks for any.

    Between here and the server's start nobody gets it by chance, as a port that was the kernel's choice may be got.
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
