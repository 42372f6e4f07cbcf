"""Counts the work that a call does, where a time would say how busy the machine is.

An algorithm that is linear or quadratic is so in steps, on any machine: assert how a count grows when the input does.
What one call into C does for all elements at once counts as one line; `CountedKey` and `CountedArray` count inside of
comparisons and of numpy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

import numpy as np


def count_lines(action: Callable[[], object]) -> int:
    """Lines of Python that a call executes in this thread, its callees' and each turn of a comprehension included."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()  # coverage's, which counts nothing of this call
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return lines


def count_calls(action: Callable[[], object]) -> int:
    """Functions that a call calls in this thread, those of C included: a hundredth of the cost of `count_lines`."""
    calls = 0

    def profile(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


class CountedKey(float):
    """A number that counts how often one of its kind is compared, also by `heapq` and `list.remove`; sums are counted too."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedKey.compared += 1
        return float.__eq__(self, other)

    def __lt__(self, other: float) -> bool:
        CountedKey.compared += 1
        return float.__lt__(self, other)

    def __add__(self, other: float) -> CountedKey:
        return CountedKey(float.__add__(self, other))

    __hash__ = float.__hash__
    __radd__ = __add__


class CountedArray(np.ndarray):
    """An array that counts the elements which numpy's functions and indexing read of it and of what they make of it."""

    read = 0

    @classmethod
    def of(cls, array: np.ndarray) -> Self:
        """A view of an array whose elements are counted."""
        return array.view(cls)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return _counted(getattr(ufunc, method), inputs, options)

    def __array_function__(self, function: Any, _types: Any, inputs: Any, options: Any) -> Any:
        return _counted(function, inputs, options)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if not isinstance(key, (int, slice)):  # these make a view
            CountedArray.read += key.size if isinstance(key, np.ndarray) else self.size
        return found


def _counted(function: Callable[..., Any], inputs: Any, options: dict[str, Any]) -> Any:
    CountedArray.read += sum(one.size for one in inputs if isinstance(one, np.ndarray))
    plain = [one.view(np.ndarray) if isinstance(one, CountedArray) else one for one in inputs]
    found = function(*plain, **options)
    return CountedArray.of(found) if isinstance(found, np.ndarray) and found.ndim else found
