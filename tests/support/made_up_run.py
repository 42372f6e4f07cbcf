"""A made-up run in Kaliwates as chart data: 362 stations, a brownout from 20 s to 30 s, deadline 72 s."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from harness.analysis.chart_types import (
    AttemptsPerPage,
    BacklogLines,
    ChartData,
    ChartLine,
    CompletionLines,
    FaultWindow,
    GeneratorHealth,
    RateLines,
    ResponseCharts,
    ServerHealth,
    StationProgress,
    TimeBreakdown,
)
from tests.support.made_up_verdicts import KELURAHAN, record, spread, summary, summary_json, verdict

__all__ = [
    "KELURAHAN", "backlog", "completion", "empty", "line", "no_series", "parsed", "rates", "record", "responses", "series", "spread",
    "summary", "summary_json", "time_spent", "verdict",
]  # fmt: skip

NOTHING = np.array([])


def parsed(xml: str) -> ET.Element:
    """The root element of XML that the harness wrote; fails if it is not well-formed."""
    return ET.fromstring(xml)  # noqa: S314 - nothing from outside


def line(label: str, value: Any, t_s: Any = None) -> ChartLine:
    """A line over whole seconds from 1, or over `t_s`."""
    value = np.asarray(value, dtype=float)
    return ChartLine(
        label, np.arange(1, len(value) + 1, dtype=float) if t_s is None else np.asarray(t_s, dtype=float), value
    )


def empty(label: str = "") -> ChartLine:
    """A line without points."""
    return ChartLine(label, NOTHING, NOTHING)


def rates() -> RateLines:
    """1,086 pages on a curve; a server that does 45 a second, a fifth of it from 20 s to 30 s."""
    random = np.random.default_rng(7)
    t = np.arange(1, 73)
    due = np.where(t <= 8, 543 / 8, np.where(t <= 36, 543 / 28, 0.0))
    offered = random.poisson(due).astype(float)
    backlog, good = 0.0, []
    for second, asked in zip(t, offered, strict=True):
        backlog += asked
        done = min(backlog, 9.0 if 20 < second <= 30 else 45.0)
        backlog -= done
        good.append(done)
    shed = np.where((t > 21) & (t <= 33), random.poisson(18, 72), 0).astype(float)
    waited = np.where((t > 22) & (t <= 35), random.poisson(6, 72), 0).astype(float)
    broken = np.where((t > 23) & (t <= 26), 2.0, 0.0)
    return RateLines(
        offered=line("offered", offered),
        goodput=line("goodput", good),
        throughput=line("throughput", np.array(good) + shed),
        outcomes=[
            line("accepted", good),
            line("unavailable", shed),
            line("timeout_response", waited),
            line("reset", broken),
        ],
    )


def responses() -> ResponseCharts:
    """Cells of one second by a twelfth of a decade."""
    random = np.random.default_rng(8)
    edges = np.logspace(-2, 1.5, 43)
    counts = np.zeros((42, 72), dtype=np.int64)
    p50, p95 = np.full(72, np.nan), np.full(72, np.nan)
    for second in range(50):
        middle = 0.25 if not 20 <= second < 34 else 0.25 + min(second - 19, 34 - second) * 1.2
        sample = random.lognormal(np.log(middle), 0.6, 60 if second < 40 else 15)
        counts[:, second] = np.histogram(sample, edges)[0]
        if len(sample) >= 20:
            p50[second], p95[second] = np.quantile(sample, [0.5, 0.95])
    t = np.arange(72) + 0.5
    nothing = np.full(72, np.nan)
    percentiles = [line("p50", p50, t), line("p95", p95, t), line("p99", nothing, t)]
    failed = line("failed", np.where((t > 21) & (t < 34), 0.012, np.nan), t)
    return ResponseCharts(percentiles, failed, np.arange(73, dtype=float), edges, counts)


def backlog(made: RateLines | None = None, **changed: Any) -> BacklogLines:
    """The backlog that belongs to rates of one second each: what fell due so far and was not delivered."""
    made = made or rates()
    late = np.zeros(max(0, len(made.offered.value) - len(made.goodput.value)))
    delivered_per_s = np.append(made.goodput.value, late)[: len(made.offered.value)]
    waiting = np.concatenate([[0.0], np.cumsum(np.nan_to_num(made.offered.value - delivered_per_s))])
    t = np.arange(len(waiting), dtype=float)
    delivered = np.flatnonzero(np.nan_to_num(made.goodput.value))
    known: dict[str, Any] = {
        "due": ChartLine("offered", made.offered.t_s, np.nan_to_num(made.offered.value)),
        "delivered": ChartLine("goodput", made.offered.t_s, np.nan_to_num(delivered_per_s)),
        "outstanding": line("backlog", waiting, t),
        "given_up": line("given up", np.zeros(len(t)), t),
        "typical_wait_s": 0.6,
        "last_delivery_s": float(delivered[-1] + 1) if len(delivered) else None,
        "last_rate_per_s": float(made.goodput.value[-(len(made.goodput.value) // 4) :].mean()),
    }
    return BacklogLines(**{**known, **changed})


def completion() -> CompletionLines:
    """Seven kelurahan that differ; the total is their weighted mean."""
    t = np.arange(0, 73, dtype=float)
    places, total = [], np.zeros(73)
    for number, (name, stations) in enumerate(KELURAHAN.values()):
        share = np.clip((t - 1 - number * 0.4) / (40 + number * 4), 0, 1)
        share = np.where((t > 20) & (t < 30), share[20], share)
        share = np.minimum(share, 1.0 - 0.02 * number)
        share = np.floor(share * stations) / stations
        places.append(line(name, share, t))
        total += share * stations / 362
    planned = np.clip(np.interp(t, [0, 8, 36], [0, 0.5, 1.0]), 0, 1)
    return CompletionLines(line("all", total, t), line("planned", planned, t), places)


def time_spent() -> TimeBreakdown:
    """Half a second of service, and a queue of five seconds while the brownout lasts."""
    t = np.arange(72) + 0.5
    attempts = np.where(t < 50, 15, 0)
    means = {"connect": 0.001, "log in": 0.002, "send": 0.02, "service": 0.5, "answer": 0.003}
    parts = {name: np.where(attempts > 0, mean, np.nan) for name, mean in means.items()}
    parts["queue"] = np.where(attempts > 0, np.where((t > 20) & (t < 30), 5.0, 0.1), np.nan)
    order = ("connect", "log in", "send", "queue", "service", "answer")
    return TimeBreakdown([line(name, parts[name], t) for name in order], attempts)


def series(**changed: Any) -> ChartData:
    """The run's chart data; `changed` replaces fields."""
    t = np.arange(1, 73)
    queue = np.where((t > 20) & (t <= 33), np.minimum(64, (t - 20) * 16), np.where(t <= 8, 12, 3))
    random = np.random.default_rng(9)
    made: dict[str, Any] = {
        "rates": rates(),
        "responses": responses(),
        "completion": completion(),
        "server": ServerHealth(
            queue_depth=line("queue_depth", queue),
            workers_busy=line("workers_busy", np.where(t < 50, 8 - (t > 36) * 3, 0)),
            active_requests=line("active_requests", queue + 8),
            shed=line("shed", np.where((t > 21) & (t <= 33), 18, 0)),
            wasted=line("wasted", np.where((t > 24) & (t <= 35), 3, 0)),
        ),
        "generator": GeneratorHealth(
            lateness=[
                line("p50", random.lognormal(np.log(0.0004), 0.2, 72)),
                line("p99", random.lognormal(np.log(0.0026), 0.3, 72)),
                line("max", random.lognormal(np.log(0.006), 0.4, 72)),
            ],
            cpu=[line("worker-0", np.where(t < 40, 0.4, 0.1) + random.normal(0, 0.02, 72))],
            memory=[line("worker-0", np.full(72, 1.4e8))],
            in_flight=line("in_flight", queue + 10),
        ),
        "time_spent": time_spent(),
        "tries": AttemptsPerPage(np.array([0, 900, 120, 20, 9]), np.array([6, 0, 4, 12, 15])),
        "worst": [
            StationProgress("3509191007044", "TEGALBESAR", 12.5, None, 3, 1, 9, 59.5, "deadline"),
            StationProgress("3509191003002", "KEBONAGUNG", 20.0, 61.0, 3, 3, 7, 41.0),
        ],
        "windows": [FaultWindow("brownout", 20.0, 30.0)],
        "deadline_s": 72.0,
        "end_s": 72.0,
        "time_scale": 3600.0,
    }
    made |= changed
    if "backlog" not in made:
        made["backlog"] = backlog(made["rates"])
    return ChartData(**made)


def no_series() -> ChartData:
    """A run without any data but its times."""
    nothing = empty()
    return ChartData(
        rates=RateLines(nothing, nothing, nothing, []),
        responses=ResponseCharts([], nothing, NOTHING, NOTHING, np.zeros((0, 0), dtype=np.int64)),
        completion=CompletionLines(nothing, nothing, []),
        server=ServerHealth(nothing, nothing, nothing, nothing, nothing),
        generator=GeneratorHealth([], [], [], nothing),
        windows=[],
        deadline_s=72.0,
        end_s=0.0,
        time_scale=1.0,
        notes=["The scrapes are missing"],
    )
