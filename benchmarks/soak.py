"""`make soak`: a long run in which no process may grow and nothing may be lost. Exit code 0, or 1 with what grew.

Whether memory or descriptors grow is decided by the Theil-Sen slope of their samples against the noise around it.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from harness.measure import process_monitor
from harness.run_folder.layout import RunFolder

SCENARIO = Path(__file__).with_name("soak.toml")
STATIONS_PER_S = 5
MIN_DURATION_S = 60
MIN_SAMPLES = 20
MEMORY_FLOOR_BYTES = 1e6
"""Allowed to any process, because allocators keep pages: 8 MB per hour over ten minutes. The harness itself takes 2 to 3."""
SESSION_BYTES = 2_000.0
"""Memory of a login at the mock (measured: 1.3 to 1.8 KB). Each station logs in once, and sessions expire."""
STORE_CACHE_BYTES = 2_048_000.0
"""SQLite's page cache (2,000 KiB by default) fills during the first few thousand pages and then stays full."""
DESCRIPTORS_FLOOR = 2.0
WARM_UP_RATIO = 0.25
"""Ratio of the samples at the start that are left out: imports, caches and pools fill once."""
NOISE_MADS = 3.0
log = functools.partial(print, flush=True)
Samples = dict[str, list[tuple[float, float, float]]]
"""Process -> samples of (seconds, resident bytes, descriptors)."""


def main() -> int:
    """Run, check and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("runs") / f"soak-{int(time.time())}")
    options = parser.parse_args()
    if options.seconds < MIN_DURATION_S:
        parser.error(f"--seconds {options.seconds}: at least {MIN_DURATION_S} are needed to tell a slope from noise")
    folder: Path = options.out.absolute()
    command = [sys.executable, "-m", "harness", "run", str(SCENARIO), "--out", str(folder), "--workers", "2"]
    length = {"deadline": f"{options.seconds + 10}s", "arrivals.over": f"{options.seconds}s"}
    # stations grow with the length, so the load per second stays the same
    sets = {**length, "stations.count": str(options.seconds * STATIONS_PER_S)}
    code = subprocess.call([*command, *(part for key, value in sets.items() for part in ("--set", f"{key}={value}"))])
    samples = read_samples(RunFolder(folder))
    problems = [*verdict_problems(folder, code), *find_growth(samples, options.seconds * STATIONS_PER_S)]
    (folder / "soak.json").write_text(json.dumps({"samples": samples, "problems": problems}), "utf-8")
    draw_samples(samples).savefig(folder / "soak.png", dpi=120)
    log(f"Chart: {folder / 'soak.png'}")
    log(
        "\n".join(problems)
        or f"Flat: memory and descriptors of {len(samples)} processes over {options.seconds} s; nothing lost."
    )
    return 1 if problems else 0


def read_samples(folder: RunFolder) -> Samples:
    """The samples of the run's processes from T0 until the store is read, when memory rises once."""
    samples: Samples = {}
    for one in process_monitor.read_samples(folder.processes):
        samples.setdefault(one.process, []).append((one.t_s, float(one.resident_bytes), float(one.descriptors)))
    return samples


def memory_floor(name: str, stations: float) -> float:
    """Bytes that a process may add while so many stations log in: what it has to keep.

    >>> memory_floor("worker 0", 1000), memory_floor("server", 1000)
    (1000000.0, 5048000.0)
    """
    kept = STORE_CACHE_BYTES + SESSION_BYTES * stations if name == "server" else 0.0
    return MEMORY_FLOOR_BYTES + kept


def find_growth(samples: Samples, stations: float) -> list[str]:
    """What grew, as text; prints a line per process and quantity. `stations` arrived evenly over the whole time."""
    problems = [] if samples else ["no process was sampled"]
    for name, rows in samples.items():
        times, memory, descriptors = (list(column) for column in zip(*rows, strict=True))
        # too few to tell is a problem, not a pass: a process that died early would look flat
        if len(times) < MIN_SAMPLES:
            problems.append(f"{name} was sampled {len(times)} times: too few to tell whether it grows")
            continue
        floor = memory_floor(name, stations * (1 - WARM_UP_RATIO))
        for what, values, least, unit in (("memory", memory, floor, 1e6), ("descriptors", descriptors, DESCRIPTORS_FLOOR, 1.0)):  # fmt: skip
            slope = fit_slope(times, values, least)
            line = _format_slope(name, what, slope, unit)
            log(line)
            if not slope.is_flat:
                problems.append(f"grows: {line}")
    return problems


def verdict_problems(folder: Path, code: int) -> list[str]:
    """Problems in the run's own verdict: an invalid measurement, a breach, pages lost or not delivered."""
    try:
        verdict, summary = (json.loads((folder / name).read_text("utf-8")) for name in ("verdict.json", "summary.json"))
    except (OSError, ValueError) as error:
        return [f"the run ended with exit code {code} and without a verdict: {error}"]
    pages = summary["pages"]
    log(
        f"pages: {pages['delivered']:,} of {pages['planned']:,} delivered; safety {verdict['safety']}; "
        f"verdict {verdict['verdict']}, exit code {code}"
    )
    problems = [] if code == 0 else [f"the run did not pass: {verdict['verdict']}, exit code {code}"]
    problems += verdict["validity"]["reasons"]
    problems += [f"breached: {it['assert']}: {it['reason']}" for it in verdict["thresholds"] if not it["passed"]]
    if verdict["safety"] is not True:
        problems.append(f"safety is {verdict['safety']}")
    if pages["delivered"] != pages["planned"]:
        problems.append(f"{pages['planned'] - pages['delivered']:,} pages were not delivered")
    return problems


def draw_samples(samples: Samples) -> Figure:
    """Memory and descriptors of every process over time."""
    mpl.use("Agg")
    figure = Figure(figsize=(10, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for name, rows in samples.items():
        times = [row[0] for row in rows]
        upper.plot(times, [row[1] / 1e6 for row in rows], label=name)
        lower.plot(times, [row[2] for row in rows], label=name)
    upper.set(ylabel="resident memory, MB", ylim=(0, None), title="Soak: memory and descriptors of each process")
    lower.set(ylabel="descriptors", xlabel="seconds", ylim=(0, None))
    upper.legend(loc="lower right", ncols=4, frameon=False)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _format_slope(name: str, what: str, slope: Slope, unit: float) -> str:
    return (
        f"{name} {what}: {slope.rise / unit:+.2f} in total (allowed {slope.allowed / unit:.2f}), "
        f"{slope.per_s * 3600 / unit:+.2f} per hour"
    )


@dataclass(frozen=True)
class Slope:
    """A straight line through samples, and the rise that is allowed."""

    per_s: float
    rise: float
    """Over the time of the samples."""
    allowed: float
    """Three median absolute deviations around the line (two standard deviations of normal noise), or the floor if larger."""

    @property
    def is_flat(self) -> bool:
        """Whether it does not grow; a fall counts as flat, because freed memory is not a leak."""
        return self.rise <= self.allowed


def fit_slope(t_s: Sequence[float], values: Sequence[float], floor: float) -> Slope:
    """The median of the slopes between all pairs of samples (Sen 1968), which tolerates up to 29 % outliers.

    `floor` is a rise that is always allowed, in the unit of the values. Raises ValueError below ten samples.

    >>> fit_slope(range(40), [5.0] * 30 + [500.0] * 2 + [5.0] * 8, 1.0).per_s
    0.0
    """
    first = int(len(t_s) * WARM_UP_RATIO)
    times, sampled = np.asarray(t_s[first:], dtype=np.float64), np.asarray(values[first:], dtype=np.float64)
    if len(times) < 10:
        message = f"{len(times)} samples after the warm-up: at least 10 are needed for a slope"
        raise ValueError(message)
    step = max(1, len(times) // 1000)  # a thousand samples give half a million pairs; more would not change the median
    times, sampled = times[::step], sampled[::step]
    one, other = np.triu_indices(len(times), 1)
    per_s = float(np.median((sampled[other] - sampled[one]) / (times[other] - times[one])))
    around = sampled - per_s * times
    noise = float(np.median(np.abs(around - np.median(around))))
    return Slope(per_s, per_s * float(times[-1] - times[0]), max(NOISE_MADS * noise, floor))


if __name__ == "__main__":
    sys.exit(main())
