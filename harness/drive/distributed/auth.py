"""Authentication and encryption between leader and workers: CurveZMQ keys that both sides derive from one join token.

Locust's ZeroMQ connection has neither passwords nor encryption. CurveZMQ adds both: a peer that doesn't know the leader's
public key can't complete the handshake, and the key itself is never sent. See docs/decisions/0012-many-machines.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import zmq
from zmq.utils import z85

from harness.base.errors import UsageError

JOIN_TOKEN = "HARNESS_JOIN_TOKEN"  # noqa: S105 - a variable's name
"""Environment variable, on leader and workers: the secret that lets a worker join."""
MIN_TOKEN_CHARACTERS = 24


class CurveKeys(NamedTuple):
    """One side's key pair in Z85 encoding, as pyzmq takes it."""

    public: bytes
    secret: bytes


def read_join_token(environment: Mapping[str, str]) -> str:
    """The join token of the environment. Raises UsageError if there is none, or one short enough to be guessed."""
    token = environment.get(JOIN_TOKEN, "")
    if len(token) < MIN_TOKEN_CHARACTERS:
        found = f"has {len(token)} characters, fewer than {MIN_TOKEN_CHARACTERS}" if token else "is not set"
        message = (
            f"{JOIN_TOKEN} {found}. Workers on other machines join with a secret that is the same on every machine; create one "
            f'with\n  export {JOIN_TOKEN}="$(head -c 32 /dev/urandom | base64)"'
        )
        raise UsageError(message)
    return token


@lru_cache(maxsize=8)
def derive_keys(token: str, side: Literal["master", "worker"]) -> CurveKeys:
    """The key pair of one side. Derived with scrypt, which makes guessing a token that a person chose expensive."""
    # The salt must never change: another version must get far enough to learn that the versions differ.
    salt = f"upload-harness/join/1/{side}".encode()
    secret = z85.encode(hashlib.scrypt(token.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32))
    return CurveKeys(zmq.curve_public(secret), secret)


def encrypt_socket(socket: Any, token: str, *, master: bool) -> None:
    """Encrypt a ZeroMQ socket: only peers that know the token can connect. Call before it is bound or connected."""
    socket.curve_publickey, socket.curve_secretkey = derive_keys(token, "master" if master else "worker")
    if master:
        socket.curve_server = True
    else:
        socket.curve_serverkey = derive_keys(token, "master").public


def encrypt_locust(base_socket: type[Any], token: str) -> None:
    """Encrypt every socket that Locust makes from now on. `base_socket` is locust.rpc.zmqrpc.BaseSocket.

    Locust makes its sockets itself and binds them at once, so they must be encrypted where they are made. Raises
    RuntimeError if this version of Locust makes them differently: an open port would be worse than no run.
    """
    plain = base_socket.__init__
    if plain.__code__.co_varnames[: plain.__code__.co_argcount] != ("self", "sock_type", "ipv4_only"):
        message = (
            "this version of Locust creates its sockets differently, so they can't be encrypted with the join token: install "
            "the version in requirements.lock"
        )
        raise RuntimeError(message)

    def make_encrypted(self: Any, sock_type: int, ipv4_only: bool) -> None:
        plain(self, sock_type, ipv4_only)
        encrypt_socket(self.socket, token, master=sock_type == zmq.ROUTER)

    base_socket.__init__ = make_encrypted
