"""Student's t: how far a mean of few values may lie from the truth."""

from __future__ import annotations


def student_t(freedom: float, probability: float) -> float:
    """The value that Student's t with so many degrees of freedom stays below with that probability.

    >>> round(student_t(9, 0.975), 3)
    2.262
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - most of a second to import, which no command should wait for

    return float(stdtrit(freedom, probability))
