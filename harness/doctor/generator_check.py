"""What the generator did, judged: whether it is punctual, and how much a worker can send."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.doctor.finding import Finding, Fitness, at_least, at_most
from harness.doctor.generator_load import LOADS, PACED_PER_S, PHOTO_BYTES
from harness.judge.validity import ALLOWED_LATENESS_S
from harness.runner.generator import GeneratorResult
from reports.number_format import format_byte_rate, format_count, format_duration, format_rate

PUNCTUAL_S = 0.002
SMALL_PER_S, TOO_FEW_PER_S = 3_000, 300
PHOTOS_BYTES_PER_S, TOO_LITTLE_BYTES_PER_S = 100e6, 10e6
"""Sixty photos of 1.6 MB a second: four times what a district's evening peaks at (kaliwates)."""
_HOW_TO_SPEED_UP = "stop what else runs, or use more workers (--workers) and cores"


def check_generator(driven: Mapping[str, GeneratorResult]) -> list[Finding]:
    """Lateness, small attempts, photos. `driven` has every load by its name."""
    lost = [name for name in (load.name for load in LOADS) if not driven[name].accepted]
    if lost:
        told = f"not one attempt got through ({', '.join(lost)})"
        return [Finding("generator", told, "all", Fitness.UNFIT, "let 127.0.0.1 be connected to: nft list ruleset", {})]
    return [_lateness(driven["paced"]), _small_attempts(driven["small"]), _photos(driven["photos"])]


def generator_failure(reason: str) -> list[Finding]:
    """For a generator that did not come up or broke off."""
    first, _, rest = reason.partition("\n")
    return [Finding("generator", first, "runs to its end", Fitness.UNFIT, rest or first, {})]


def _lateness(paced: GeneratorResult) -> Finding:
    p50, p99 = (float(np.quantile(paced.lateness_s, quantile)) for quantile in (0.5, 0.99))
    verdict = at_most(p99, PUNCTUAL_S, ALLOWED_LATENESS_S)
    change = "" if verdict is Fitness.OK else "stop what else runs; a run with such lateness is INVALID above 5 ms"
    measured = f"p50 {format_duration(p50)}, p99 {format_duration(p99)} at {format_rate(PACED_PER_S)} ({format_count(paced.attempts)} attempts)"
    return Finding(
        "lateness",
        measured,
        f"p99 at most {format_duration(PUNCTUAL_S)}",
        verdict,
        change,
        {"p50_s": p50, "p99_s": p99},
    )


def _small_attempts(small: GeneratorResult) -> Finding:
    ceiling = small.per_cpu_s
    verdict = at_least(ceiling, SMALL_PER_S, TOO_FEW_PER_S)
    change = "" if verdict is Fitness.OK else _HOW_TO_SPEED_UP
    measured = f"{format_count(ceiling)}/s a core ({format_duration(1 / ceiling)} of CPU each), {format_count(small.per_s)}/s beside its sink"
    figures = {"per_core_s": ceiling, "reached_per_s": small.per_s, "cpu_s": 1 / ceiling}
    return Finding("small attempts", measured, f"{format_count(SMALL_PER_S)}/s a core", verdict, change, figures)


def _photos(photos: GeneratorResult) -> Finding:
    ceiling, reached = (rate * PHOTO_BYTES for rate in (photos.per_cpu_s, photos.per_s))
    verdict = at_least(ceiling, PHOTOS_BYTES_PER_S, TOO_LITTLE_BYTES_PER_S)
    change = "" if verdict is Fitness.OK else _HOW_TO_SPEED_UP
    measured = f"{format_byte_rate(ceiling)} a core, {format_byte_rate(reached)} beside its sink"
    figures = {"bytes_per_core_s": ceiling, "reached_bytes_per_s": reached}
    return Finding("photos", measured, f"{format_byte_rate(PHOTOS_BYTES_PER_S)} a core", verdict, change, figures)
