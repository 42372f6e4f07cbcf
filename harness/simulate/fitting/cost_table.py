"""All costs of several runs as the table [simulate], with what each rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.scenario.simulation import SimulationCosts
from harness.simulate.fitting import costs
from harness.simulate.fitting.costs import CostEstimate, MeasuredRun

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


@dataclass
class FittedCosts:
    """What was measured, and what keeps the value that it had."""

    estimates: list[CostEstimate] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Cost -> why it could not be measured."""

    def table(self, base: SimulationCosts, *, distributions: bool = False) -> SimulationCosts:
        """`base` with the measured constants; with `distributions` as lognormals with the spread that was measured."""
        values: dict[str, Any] = {}
        for one in self.estimates:
            if one.name == "send":
                values[one.name] = rate = f"{one.median:.4g}B/s"
                if base.receive != "unlimited":
                    # What a photo alone takes is nearly all the server's work on it: those that come at once share this.
                    values["receive"] = rate
            elif distributions and one.sigma > 0 and one.name not in {"parse", "restart"} and one.median > 0:
                values[one.name] = {
                    "distribution": "lognormal", "median": _duration(one.median), "sigma": round(one.sigma, 3),
                }  # fmt: skip
            else:
                values[one.name] = _duration(one.median)
        return SimulationCosts.model_validate({**base.model_dump(mode="json", exclude_none=True), **values})


def fit_costs(runs: Sequence[MeasuredRun], base: SimulationCosts) -> FittedCosts:
    """The costs of runs against the mock server; `base` is what holds where nothing can be measured."""
    fitted = FittedCosts()
    _add(fitted, "connect", _pool(runs, costs.connect_seconds), "no attempt certainly opened a connection of its own")
    _add(fitted, "login", _pool(runs, costs.login_seconds), "too few logins")
    _add(
        fitted,
        "commit",
        _pool(runs, costs.commit_seconds),
        "needs Server-Timing, and neither contention nor asynchronous reading",
    )
    _add_transfers(fitted, runs, base)
    restarts = [seconds for run in runs for seconds in costs.restart_seconds(run)]
    if restarts:
        low, high = min(restarts), max(restarts)
        fitted.estimates.append(CostEstimate("restart", float(np.median(restarts)), low, high, len(restarts)))
    else:
        fitted.kept["restart"] = "no run has a crash with a restart"
    return fitted


def _add(fitted: FittedCosts, name: str, samples: FloatArray, otherwise: str) -> None:
    found = costs.estimate(name, samples)
    if found is None:
        fitted.kept[name] = f"{otherwise} (needs {costs.MIN_SAMPLES} attempts)"
    else:
        fitted.estimates.append(found)


def _pool(runs: Sequence[MeasuredRun], samples: Callable[[MeasuredRun], FloatArray]) -> FloatArray:
    return np.concatenate([samples(run) for run in runs])


def _add_transfers(fitted: FittedCosts, runs: Sequence[MeasuredRun], base: SimulationCosts) -> None:
    """send, parse and answer. Only unlimited links show the first two: on a phone's link the bytes arrive more slowly anyway."""
    unlimited = [run for run in runs if run.scenario.client.link == "unlimited"]
    if not unlimited:
        reason = "every run has phones on links, which hide it"
        fitted.kept.update(send=reason, parse=reason)
        _add(fitted, "answer", _pool(runs, lambda run: costs.transfer_overheads(run)[1]), "needs Server-Timing")
        return
    pairs = [costs.transfer_overheads(run) for run in unlimited]
    sizes, spent = (np.concatenate(columns) for columns in zip(*pairs, strict=True))
    send, besides = costs.fit_send(sizes, spent)
    if send is None:
        fitted.kept["send"] = "the photos are too much alike to show what a byte costs"
        besides = spent - sizes / base.send
    else:
        fitted.estimates.append(send)
    both = costs.estimate("parse + answer", np.asarray(besides))
    if both is None:
        fitted.kept.update(parse="needs Server-Timing", answer="needs Server-Timing")
        return
    # Only their sum shows in an attempt; they are divided as they were.
    before = base.parse.quantile(0.5), base.answer.quantile(0.5)
    share = before[0] / sum(before) if sum(before) else 0.5
    for name, part in (("parse", share), ("answer", 1 - share)):
        fitted.estimates.append(
            CostEstimate(name, both.median * part, both.low * part, both.high * part, both.samples, both.sigma)
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.6f}s"
