"""Uniform random numbers from keys instead of a sequence, so that the order of requests does not matter."""

from __future__ import annotations

from hashlib import blake2b

SEPARATOR = "\x1f"


def keyed_uniform(*key: object) -> float:
    """The number in (0, 1) of this key: the same in every process, whatever was drawn before.

    >>> first, again = (keyed_uniform(1, "service", "3509191001001", "ppwp", 2, 1) for _ in range(2))
    >>> first == again
    True
    """
    return uniform_of(SEPARATOR.join(map(str, key)))


def uniform_of(text: str) -> float:
    """The number of a key that has been joined by `SEPARATOR` already: for a key of which only the end changes.

    >>> uniform_of(SEPARATOR.join(("1", "service", "2"))) == keyed_uniform(1, "service", 2)
    True
    """
    digest = blake2b(text.encode(), digest_size=7).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**56
