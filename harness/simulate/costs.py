"""What a simulation adds for the work that it leaves out: the table [simulate], drawn for each page and attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from harness.scenario.simulation import SimulationCosts
from mock_server.faults.base import RequestKey
from mock_server.profile.keyed_random import keyed_uniform
from mock_server.profile.units import AnyDistribution, Fixed, whole_nanoseconds

CostDraw = Callable[[RequestKey], float]
"""Seconds for a request."""


class FixedCosts(NamedTuple):
    """What every upload of a page costs, in seconds, where that does not depend on the page."""

    parse_s: float
    commit_s: float
    answer_s: float


class Costs:
    """The costs of one scenario and seed, in seconds."""

    def __init__(self, costs: SimulationCosts, seed: int) -> None:
        self.connect_s = _draw(costs.connect, seed, "connect")
        self.login_s = _draw(costs.login, seed, "login")
        self.parse_s = _draw(costs.parse, seed, "parse")
        self.commit_s = _draw(costs.commit, seed, "commit")
        self.answer_s = _draw(costs.answer, seed, "answer")
        drawn = (costs.parse, costs.commit, costs.answer)
        self.fixed = FixedCosts(*(one.quantile(0.5) for one in drawn))
        """What the upload of a page costs where `are_fixed`."""
        self.are_fixed = all(isinstance(one, Fixed) for one in drawn)
        self.send_bytes_per_s = costs.send
        self.receive_s_per_byte = 0.0 if costs.receive == "unlimited" else 1.0 / costs.receive
        self.restart_s = costs.restart
        self.logins = costs.logins
        """Whether stations log in."""


def _draw(distribution: AnyDistribution, seed: int, name: str) -> CostDraw:
    if isinstance(distribution, Fixed):
        value = distribution.quantile(0.5)
        return lambda _key: value
    return lambda key: whole_nanoseconds(distribution.quantile(keyed_uniform(seed, name, *key[:4])))
