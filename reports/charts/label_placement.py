"""Where labels go so that none lies on another: pure arithmetic, in any one unit of length."""

from __future__ import annotations

from collections.abc import Sequence


def place_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near to `wanted` as they can be, at least `gap` apart and within low..high where they fit.

    The order of the positions is the order of `wanted`; equal ones keep the order they came in.

    >>> nudge([1.0, 1.0, 5.0], gap=1.0, low=0.0, high=10.0)
    [0.5, 1.5, 5.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    clusters: list[tuple[float, int]] = []  # (centre, members)
    for index in order:
        centre, members = wanted[index], 1
        while True:
            half = (members - 1) / 2 * gap
            centre = min(max(centre, low + half), high - half)
            if not clusters or clusters[-1][0] + (clusters[-1][1] - 1) / 2 * gap + gap <= centre - half + 1e-9:
                break
            above, more = clusters.pop()
            centre, members = (above * more + centre * members) / (more + members), members + more
        clusters.append((centre, members))
    placed = [centre + (place - (members - 1) / 2) * gap for centre, members in clusters for place in range(members)]
    result = [0.0] * len(wanted)
    for index, position in zip(order, placed, strict=True):
        result[index] = position
    return result


def assign_rows(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The row of each span, the lowest in which it touches none that came before it.

    >>> rows([(0, 10), (5, 12), (11, 20)])
    [0, 1, 0]
    """
    taken: list[list[tuple[float, float]]] = []
    result = []
    for start, end in spans:
        for number, row in enumerate(taken):
            if all(end <= other_start or start >= other_end for other_start, other_end in row):
                row.append((start, end))
                result.append(number)
                break
        else:
            taken.append([(start, end)])
            result.append(len(taken) - 1)
    return result
