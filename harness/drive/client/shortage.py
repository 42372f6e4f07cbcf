"""What this machine had too little of, when an attempt could not be made: a generator_error by its cause."""

from __future__ import annotations

import errno

from harness.base.model import Shortage

_SHORTAGE_BY_ERRNO = {
    errno.EMFILE: Shortage.DESCRIPTORS,
    errno.ENFILE: Shortage.DESCRIPTORS,
    errno.EADDRNOTAVAIL: Shortage.PORTS,
    errno.EADDRINUSE: Shortage.PORTS,
    errno.ENOBUFS: Shortage.MEMORY,
    errno.ENOMEM: Shortage.MEMORY,
}
GENERATOR_ERRNOS = frozenset(_SHORTAGE_BY_ERRNO)
"""Descriptors, ports and memory: ours, never the server's."""


def classify_shortage(error: BaseException) -> Shortage:
    """What ran out; follows the causes of an error that wraps the kernel's.

    >>> shortage_of(OSError(errno.EADDRNOTAVAIL, "connect"))
    <Shortage.PORTS: 'ports'>
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _SHORTAGE_BY_ERRNO:
            return _SHORTAGE_BY_ERRNO[cause.errno]
        cause = cause.__cause__
    return Shortage.MEMORY if isinstance(error, MemoryError) else Shortage.DESCRIPTORS
