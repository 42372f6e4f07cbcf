"""What locks the connection between a run and its workers: CurveZMQ keys that both sides work out of one join token.

Locust's ZeroMQ connection knows neither passwords nor encryption. CurveZMQ gives it both: who doesn't know the master's
public key can't even say hello, and the key never travels. See docs/decisions/0012-many-machines.md.
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
"""Of the environment, on both sides: the secret that lets a worker join."""
MIN_TOKEN_CHARACTERS = 24


class CurveKeys(NamedTuple):
    """One side's pair, as pyzmq takes them (Z85)."""

    public: bytes
    secret: bytes


def read_join_token(environment: Mapping[str, str]) -> str:
    """The join token of the environment. Raises UsageError where there is none, or one that could be guessed."""
    token = environment.get(JOIN_TOKEN, "")
    if len(token) < MIN_TOKEN_CHARACTERS:
        found = f"has {len(token)} characters: {MIN_TOKEN_CHARACTERS} at least" if token else "is not set"
        message = (
            f"{JOIN_TOKEN} {found}. Workers of other machines join by a secret, the same on every machine; make one with\n"
            f'  export {JOIN_TOKEN}="$(head -c 32 /dev/urandom | base64)"'
        )
        raise UsageError(message)
    return token


@lru_cache(maxsize=8)
def derive_keys(token: str, side: Literal["master", "worker"]) -> CurveKeys:
    """The pair that a token gives a side. scrypt, so that a token which a person made up is dear to guess."""
    salt = f"upload-harness/join/1/{side}".encode()
    secret = z85.encode(hashlib.scrypt(token.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32))
    return CurveKeys(zmq.curve_public(secret), secret)


def encrypt_socket(socket: Any, token: str, *, master: bool) -> None:
    """Lock a ZeroMQ socket, before it is bound or connected: only who knows the token can talk to it."""
    ours = derive_keys(token, "master" if master else "worker")
    socket.curve_publickey, socket.curve_secretkey = ours
    if master:
        socket.curve_server = True
    else:
        socket.curve_serverkey = derive_keys(token, "master").public
