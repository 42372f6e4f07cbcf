"""Locks Locust's own connection between master and workers with the run's join token.

Locust makes its ZeroMQ sockets itself and binds them at once, so the lock goes in where it makes them. If another version of
Locust makes them otherwise, `encrypt_locust` says so rather than leave the door open.
"""

from __future__ import annotations

from typing import Any

import zmq

from harness.drive.distributed.auth import encrypt_socket


def encrypt_locust(base_socket: type[Any], token: str) -> None:
    """From now on every socket that Locust makes is locked. `base_socket` is locust.rpc.zmqrpc.BaseSocket.

    Raises RuntimeError where that doesn't make sockets as it is known to.
    """
    plain = base_socket.__init__
    if plain.__code__.co_varnames[: plain.__code__.co_argcount] != ("self", "sock_type", "ipv4_only"):
        message = "this Locust makes its sockets in another way: they can't be locked with the join token"
        raise RuntimeError(message)

    def locked(self: Any, sock_type: int, ipv4_only: bool) -> None:
        plain(self, sock_type, ipv4_only)
        encrypt_socket(self.socket, token, master=sock_type == zmq.ROUTER)

    base_socket.__init__ = locked
