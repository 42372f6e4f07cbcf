"""The faults of the simulated server in virtual time: the mock server's own matcher, told each edge when it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.simulate.clock import VirtualClock, VirtualTimer
from mock_server.faults.base import Fault, RequestKey, Scope, ServerActions
from mock_server.faults.matching import FaultMatcher, FaultState, Hit, Injection

LATE_GRACE_S = 0.5
_SAME_MOMENT_S = 1e-9


class VirtualFaults:
    """The faults of one server process, from its start to its end."""

    def __init__(
        self, faults: Sequence[Fault], seed: int, clock: VirtualClock, server: ServerActions,
        log: Callable[[Injection], None],
    ) -> None:  # fmt: skip
        """`log` gets every injection. No fault acts before `attach`."""
        self._matcher = FaultMatcher(faults, seed, log)
        self._clock = clock
        self._server = server
        self._timer: VirtualTimer | None = None
        self._scopes = {fault.scope for fault in faults}

    @property
    def injected(self) -> dict[str, int]:
        """Hits that acted, by fault name."""
        return self._matcher.injected

    @property
    def states(self) -> tuple[FaultState, ...]:
        """Every fault, on or off."""
        return self._matcher.states

    def strength(self, state: FaultState) -> float:
        """How strong a fault is now: 0 when off."""
        return self._matcher.strength(state, self._clock.now_s)

    def has(self, scope: Scope) -> bool:
        """Whether any fault has this scope."""
        return scope in self._scopes

    def hits(self, key: RequestKey, scope: Scope = "request") -> tuple[Hit, ...]:
        """The faults of this scope that hit now, in the order of the profile; they count once they act."""
        return self._matcher.hits(key, self._clock.now_s, scope) if scope in self._scopes else ()

    def capacity_factor(self, key: RequestKey) -> float:
        """What the workers' speed is multiplied by for this upload."""
        return self._matcher.capacity_factor(key, self._clock.now_s) if "work" in self._scopes else 1.0

    def kill(self, restart_after_s: float | None) -> None:
        """Kill the server's process."""
        self._server.kill(restart_after_s)

    def attach(self, *, again: bool = False) -> None:
        """Begin to act; `again` after a crash, which must not repeat."""
        # A restart may take no time here: the crash of this very moment is over, too.
        self._matcher.mark_late(self._clock.now_s, -_SAME_MOMENT_S if again else LATE_GRACE_S)
        self._update()

    def detach(self) -> None:
        """The process has died: nothing begins or ends any more."""
        if self._timer is not None:
            self._timer.cancel()

    def heal(self) -> None:
        """End every fault now; what is scheduled for later does not come either."""
        self._matcher.heal()
        self._update()

    def _update(self) -> None:
        self.detach()
        now_s = self._clock.now_s
        self._matcher.finish_elapsed(now_s)
        for state, is_on in self._matcher.edges(now_s):
            if is_on:
                state.fault.on_begin(self._server, late=state.is_late)
            else:
                state.fault.on_end(self._server)
        delay_s = self._matcher.next_edge_s(now_s)
        if delay_s is not None:
            self._timer = self._clock.call_later(delay_s, self._update)
