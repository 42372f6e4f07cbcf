"""Uniform random numbers from keys instead of a sequence, so that the order of requests does not matter."""

from __future__ import annotations

from hashlib import blake2b


def keyed_uniform(*key: object) -> float:
    """The number in (0, 1) of this key: the same in every process, whatever was drawn before.

    >>> first, again = (keyed_uniform(1, "service", "3509191001001", "ppwp", 2, 1) for _ in range(2))
    >>> first == again
    True
    """
    digest = blake2b("\x1f".join(map(str, key)).encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**56
