"""The search for the greatest rate that a target sustains: doubling, then bisecting. Pure: `decide` makes the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.analysis.sustained import SustainedState
from harness.capacity.search import SearchInterruptedError


@dataclass
class RateSearch:
    """One search; `run` it once. What is known of it afterwards is in `states`."""

    decide: Callable[[float], SustainedState]
    """Decides a rate. May raise SearchInterruptedError."""
    start: float
    most: float
    """No greater rate is tried."""
    width: float
    """The ratio between the least rate that fails and the greatest that is sustained at which the search ends: 1.05."""
    least: float
    """No smaller rate is tried."""
    states: dict[float, SustainedState] = field(default_factory=dict)
    is_complete: bool = False

    def run(self) -> None:
        """Try rates until it is known between which two the capacity lies, or that it lies beyond."""
        try:
            for rate in self._rates():
                self.states[rate] = self.decide(rate)
            self.is_complete = True
        except SearchInterruptedError:
            pass

    @property
    def bears(self) -> float | None:
        """The greatest rate that is sustained below every one that is not; None if there is none."""
        fails = self.fails
        return max(
            (rate for rate, state in self.states.items() if state == "sustained" and (fails is None or rate < fails)),
            default=None,
        )

    @property
    def fails(self) -> float | None:
        """The least rate that was not shown to be sustained; None if all were."""
        return min((rate for rate, state in self.states.items() if state != "sustained"), default=None)

    def _rates(self) -> Iterator[float]:
        """What to try next, by what is known."""
        rate = min(self.start, self.most)
        while True:
            yield rate
            if self.fails is None:
                if rate >= self.most:
                    return
                rate = min(2 * rate, self.most)
            elif self.bears is None:
                if rate <= self.least:
                    return
                rate = max(rate / 4, self.least)
            elif self.fails / self.bears > self.width:
                rate = (self.fails * self.bears) ** 0.5
            else:
                return
