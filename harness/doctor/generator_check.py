"""What the generator did, judged: whether it is punctual, and how much a worker can send."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.doctor.finding import Finding, Verdict, at_least, at_most
from harness.doctor.generator_load import LOADS, PACED_PER_S, PHOTO_BYTES
from harness.judge.validity import LATENESS_S
from harness.runner.generator import Driven
from reports.number_format import count, per_second, seconds, size_per_second

PUNCTUAL_S = 0.002
SMALL_PER_S, TOO_FEW_PER_S = 3_000, 300
PHOTOS_BYTES_PER_S, TOO_LITTLE_BYTES_PER_S = 100e6, 10e6
"""Sixty photos of 1.6 MB a second: four times what a district's evening peaks at (kaliwates)."""
_FASTER = "stop what else runs, or use more workers (--workers) and cores"


def check(driven: Mapping[str, Driven]) -> list[Finding]:
    """Lateness, small attempts, photos. `driven` has every load by its name."""
    lost = [name for name in (load.name for load in LOADS) if not driven[name].accepted]
    if lost:
        told = f"not one attempt got through ({', '.join(lost)})"
        return [Finding("generator", told, "all", Verdict.UNFIT, "let 127.0.0.1 be connected to: nft list ruleset", {})]
    return [_lateness(driven["paced"]), _small(driven["small"]), _photos(driven["photos"])]


def failed(reason: str) -> list[Finding]:
    """For a generator that did not come up or broke off."""
    first, _, rest = reason.partition("\n")
    return [Finding("generator", first, "runs to its end", Verdict.UNFIT, rest or first, {})]


def _lateness(paced: Driven) -> Finding:
    p50, p99 = (float(np.quantile(paced.lateness_s, quantile)) for quantile in (0.5, 0.99))
    verdict = at_most(p99, PUNCTUAL_S, LATENESS_S)
    change = "" if verdict is Verdict.OK else "stop what else runs; a run with such lateness is INVALID above 5 ms"
    measured = f"p50 {seconds(p50)}, p99 {seconds(p99)} at {per_second(PACED_PER_S)} ({count(paced.attempts)} attempts)"
    return Finding(
        "lateness", measured, f"p99 at most {seconds(PUNCTUAL_S)}", verdict, change, {"p50_s": p50, "p99_s": p99}
    )


def _small(small: Driven) -> Finding:
    ceiling = small.per_cpu_s
    verdict = at_least(ceiling, SMALL_PER_S, TOO_FEW_PER_S)
    change = "" if verdict is Verdict.OK else _FASTER
    measured = f"{count(ceiling)}/s a core ({seconds(1 / ceiling)} of CPU each), {count(small.per_s)}/s beside its sink"
    figures = {"per_core_s": ceiling, "reached_per_s": small.per_s, "cpu_s": 1 / ceiling}
    return Finding("small attempts", measured, f"{count(SMALL_PER_S)}/s a core", verdict, change, figures)


def _photos(photos: Driven) -> Finding:
    ceiling, reached = (rate * PHOTO_BYTES for rate in (photos.per_cpu_s, photos.per_s))
    verdict = at_least(ceiling, PHOTOS_BYTES_PER_S, TOO_LITTLE_BYTES_PER_S)
    change = "" if verdict is Verdict.OK else _FASTER
    measured = f"{size_per_second(ceiling)} a core, {size_per_second(reached)} beside its sink"
    figures = {"bytes_per_core_s": ceiling, "reached_bytes_per_s": reached}
    return Finding("photos", measured, f"{size_per_second(PHOTOS_BYTES_PER_S)} a core", verdict, change, figures)
