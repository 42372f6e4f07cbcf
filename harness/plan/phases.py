"""The phases of a run: the intervals between fault edges, named by the faults that are on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.base.model import Phase


def compute_phases(windows: Sequence[tuple[str, float, float]], warm_up_s: float, end_s: float) -> list[Phase]:
    """Phases from T0 to `end_s`, without gaps; `windows` are (fault, start, end), `end` may be infinite.

    Faults that are on together are joined with "+" in the order of their starts; none is "clear". A warm-up comes first.

    >>> [phase.name for phase in phases([("brownout", 10.0, 20.0), ("abort", 15.0, 30.0)], 0.0, 60.0)]
    ['clear', 'brownout', 'brownout+abort', 'abort', 'clear']
    """
    edges = {0.0, warm_up_s, end_s, *(edge for _, start, end in windows for edge in (start, end))}
    moments = sorted(edge for edge in edges if 0.0 <= edge <= end_s)
    found: list[Phase] = []
    for start, end in pairwise(moments):
        active = [name for name, on, off in sorted(windows, key=lambda window: window[1]) if on <= start < off]
        name = "warm_up" if start < warm_up_s else "+".join(active) or "clear"
        if found and found[-1].name == name:
            found[-1] = Phase(name, found[-1].start_s, end)
        else:
            found.append(Phase(name, start, end))
    return found
