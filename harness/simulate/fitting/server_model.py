"""The whole table [server] for a server that is not the mock, from what its clients measured (docs/how-to/fitting.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.errors import UsageError
from harness.scenario.simulation import FittedRange, SimulationCosts
from harness.simulate.fitting import costs
from harness.simulate.fitting.capacity import CapacityFit, fit_capacity, profile_responses
from harness.simulate.fitting.costs import CostEstimate, MeasuredRun
from harness.simulate.fitting.occupancy import Occupancy, measure_occupancy
from harness.simulate.fitting.service_law import MIN_ALONE, ServiceLaw, fit_service, require_alone
from mock_server.profile.server_profile import ServerProfile

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

MIN_SERVED = 50
"""Uploads that a saturated server must have served for its throughput to be counted."""
MIN_REFUSALS = 10
"""Refusals that show where the queue ends."""
_EVEN_QUEUE = 0.5
"""Refusals whose middle half spreads over more than this share of their median don't come from a full queue alone."""
_JITTER_RATIO = 2.0


@dataclass(frozen=True)
class ServerFit:
    """A model of a server, what it rests on, and how well it fits."""

    server: ServerProfile
    simulate: SimulationCosts
    estimates: tuple[CostEstimate, ...]
    law: ServiceLaw
    capacity: CapacityFit
    saturation_per_s: float | None
    """Uploads served per second while more were in the server than it has workers; None if that never lasted."""
    refusals: int
    refused_at: tuple[float, float, float] | None
    """Quartiles of the number in the server at a refusal; None with too few of them."""
    warnings: tuple[str, ...]
    """What the model can't be trusted for."""


def fit_server(runs: Sequence[MeasuredRun]) -> ServerFit:
    """A model of the server that all runs were made against.

    Raises UsageError if they don't show one: nothing lightly loaded, or too few uploads.
    """
    occupancies = [measure_occupancy(run) for run in runs]
    try:
        alone_s, sizes = (
            np.concatenate([getattr(one, name) for one in occupancies])
            for name in ("service_alone_s", "size_alone_bytes")
        )
        require_alone(alone_s)
        capacity = fit_capacity(profile_responses(*_responses(occupancies)), float(alone_s.mean()))
        law = fit_service(alone_s - capacity.beside_s, sizes)
    except ValueError as error:
        message = f"no model of the server can be fitted: {error}; add a run of longer duration at a lower load"
        raise UsageError(message) from None
    refused_at = np.concatenate([one.refused_at for one in occupancies])
    quartiles = None
    if len(refused_at) >= MIN_REFUSALS:
        low, median, high = (float(value) for value in np.quantile(refused_at, (0.25, 0.5, 0.75)))
        quartiles = low, median, high
    server = _profile(law, capacity, quartiles, occupancies)
    estimates, simulate = _costs(runs, occupancies, capacity)
    return ServerFit(
        server, simulate, tuple(estimates), law, capacity, _saturation_per_s(occupancies, capacity), len(refused_at), quartiles,
        tuple(_warnings(law, capacity, quartiles, occupancies)),
    )  # fmt: skip


def _responses(occupancies: Sequence[Occupancy]) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """How many others each served upload found, and how long it took."""
    return (
        np.concatenate([one.found[one.served] for one in occupancies]),
        np.concatenate([(one.left_s - one.arrived_s)[one.served] for one in occupancies]),
    )


def _profile(
    law: ServiceLaw, capacity: CapacityFit, refused_at: tuple[float, float, float] | None, runs: Sequence[Occupancy]
) -> ServerProfile:
    content: dict[str, Any] = {
        "workers": capacity.workers,
        "service_time": law.service_time.model_dump(mode="json", exclude_none=True),
        "shed": "none",
        "retry_after": "none",
    }
    if law.bytes_per_s is not None:
        content["bytes_per_s"] = f"{law.bytes_per_s:.6g}B/s"
    if capacity.knee is not None:
        content.update(contention_knee=capacity.knee, contention_slope=round(capacity.slope, 4))
    if refused_at is not None:
        content.update(shed="queue_full", queue_capacity=max(0, round(refused_at[1]) - capacity.workers))
        content.update(_retry_after(np.concatenate([one.retry_after_s for one in runs])))
    return ServerProfile.model_validate(content)


def _saturation_per_s(occupancies: Sequence[Occupancy], capacity: CapacityFit) -> float | None:
    counted = [one.count_beyond(capacity.workers) for one in occupancies]
    served, seconds = (sum(column) for column in zip(*counted, strict=True))
    return served / seconds if served >= MIN_SERVED else None


def _retry_after(asked_s: FloatArray) -> dict[str, str]:
    """How the server asks for a pause: nothing, always the same, or more the longer its queue is."""
    asked_s = asked_s[np.isfinite(asked_s)]
    if len(asked_s) < MIN_REFUSALS:
        return {"retry_after": "none"}
    least, most = float(asked_s.min()), float(asked_s.max())
    if least == most:
        return {"retry_after": "fixed", "retry_after_time": f"{least:g}s"}
    if least > 0 and most <= _JITTER_RATIO * least:
        return {"retry_after": "jittered", "retry_after_time": f"{least:g}s"}
    return {"retry_after": "queue_estimate"}


def _costs(
    runs: Sequence[MeasuredRun], occupancies: Sequence[Occupancy], capacity: CapacityFit
) -> tuple[list[CostEstimate], SimulationCosts]:
    """Connecting, logging in and sending; everything behind the last byte is in the service time."""
    logins = np.concatenate([costs.login_seconds(run) for run in runs])
    found = [
        costs.estimate("connect", np.concatenate([costs.connect_seconds(run) for run in runs])),
        costs.estimate("login", logins),
        _send_rate(runs),
    ]
    estimates = [one for one in found if one is not None]
    table = {one.name: f"{one.median:.4g}B/s" if one.name == "send" else f"{one.median:.6f}s" for one in estimates}
    fitted = FittedRange(
        runs=len(runs),
        attempts_per_s=round(max(peak_per_s(run.timings.sent_s) for run in runs), 2),
        in_server=max(len(one.time_s) for one in occupancies) - 1,
    )
    content = {
        "connect": "0s", "login": "0s", "logins": bool(len(logins)), **table, "parse": "0s",
        "commit": f"{capacity.beside_s:.6f}s", "answer": "0s", "fitted": fitted.model_dump(mode="json"),
    }  # fmt: skip
    return estimates, SimulationCosts.model_validate(content)


def _send_rate(runs: Sequence[MeasuredRun]) -> CostEstimate | None:
    """Rate at which a photo leaves a phone on an unlimited link; a link's own rate is part of the scenario."""
    rates = [np.empty(0)]
    for run in runs:
        timings = run.timings
        if run.scenario.client.link == "unlimited":
            took_s = timings.body_sent_s - timings.connected_s - np.nan_to_num(timings.login_s)
            chosen = costs.clear_of_faults(run) & np.isfinite(took_s) & (took_s > 0)
            rates.append(timings.size_bytes[chosen] / took_s[chosen])
    return costs.estimate("send", np.concatenate(rates))


def peak_per_s(sent_s: FloatArray) -> float:
    """The greatest rate of attempts over ten seconds, or over the whole run if it is shorter; NaN is an attempt not sent."""
    sent_s = np.sort(sent_s[np.isfinite(sent_s)])
    if not len(sent_s):
        return 0.0
    window_s = max(1.0, min(10.0, float(sent_s[-1] - sent_s[0])))
    ends = np.searchsorted(sent_s, sent_s + window_s, side="right")
    return float((ends - np.arange(len(sent_s))).max()) / window_s


def _warnings(
    law: ServiceLaw, capacity: CapacityFit, refused_at: tuple[float, float, float] | None, runs: Sequence[Occupancy]
) -> list[str]:
    found = []
    if not capacity.saturated:
        found.append(
            f"the server was never seen full: it has at least {capacity.workers} workers; add a run with more load"
        )
    if law.samples < 2 * MIN_ALONE:
        found.append(f"the service time rests on {law.samples} uploads that found the server empty")
    if refused_at is None:
        found.append("too few uploads were refused to show where the queue ends: it is modelled without a bound")
    elif refused_at[2] - refused_at[0] > _EVEN_QUEUE * refused_at[1]:
        found.append(
            f"refusals came with {refused_at[0]:.0f} to {refused_at[2]:.0f} uploads in the server (middle half): "
            "it does not refuse because of a full queue alone"
        )
    unseen = sum(int((~one.clean).sum()) for one in runs)
    total = sum(len(one.arrived_s) for one in runs)
    if unseen > total / 2:
        found.append("most uploads came while the server may have worked for clients that had given up")
    return found
