"""`make soak`: a long run whose processes must not grow, of which nothing may be lost. Exit code 0, or 1 with what grew."""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.soak.slopes import WARM_UP_RATIO, Slope, fit_slope
from harness.measure import process_monitor
from harness.run_folder.layout import RunFolder

SCENARIO = Path(__file__).with_name("soak.toml")
STATIONS_PER_S = 5
MIN_DURATION_S = 60
MIN_SAMPLES = 20
MEMORY_FLOOR_BYTES = 1e6
"""Of any process: allocators keep pages. Over ten minutes that is 8 MB an hour; the harness itself was seen to take 2 to 3."""
SESSION_BYTES = 2_000.0
"""What the mock keeps of a station that is logged in: 1.3 to 1.8 KB were measured. Each station logs in once, and a session ends."""
STORE_CACHE_BYTES = 2_048_000.0
"""SQLite's page cache (its default, 2,000 KiB) fills with the first few thousand pages and is then full."""
DESCRIPTORS_FLOOR = 2.0
log = functools.partial(print, flush=True)
Samples = dict[str, list[tuple[float, float, float]]]
"""Process -> (seconds, resident bytes, descriptors) a sample."""


def main() -> int:
    """Run, judge and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("runs") / f"soak-{int(time.time())}")
    options = parser.parse_args()
    if options.seconds < MIN_DURATION_S:
        parser.error(f"--seconds {options.seconds} should be at least {MIN_DURATION_S}: less tells no slope from noise")
    folder: Path = options.out.absolute()
    command = [sys.executable, "-m", "harness", "run", str(SCENARIO), "--out", str(folder), "--workers", "2"]
    length = {"deadline": f"{options.seconds + 10}s", "arrivals.over": f"{options.seconds}s"}
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
    """What the run saw of its processes, from T0 until the server's stock is read: memory rises once then."""
    samples: Samples = {}
    for one in process_monitor.read_samples(folder.processes):
        samples.setdefault(one.process, []).append((one.t_s, float(one.resident_bytes), float(one.descriptors)))
    return samples


def memory_floor(name: str, stations: float) -> float:
    """Bytes that a process may take while so many stations log in, without growing: what it is there to keep.

    >>> memory_floor("worker 0", 1000), memory_floor("server", 1000)
    (1000000.0, 5048000.0)
    """
    kept = STORE_CACHE_BYTES + SESSION_BYTES * stations if name == "server" else 0.0
    return MEMORY_FLOOR_BYTES + kept


def find_growth(samples: Samples, stations: float) -> list[str]:
    """What grew, in words; prints a line for each process. `stations` turned up, evenly, in the whole time."""
    problems = [] if samples else ["no process was seen"]
    for name, rows in samples.items():
        times, memory, descriptors = (list(column) for column in zip(*rows, strict=True))
        if len(times) < MIN_SAMPLES:
            problems.append(f"{name} was seen {len(times)} times: too few to tell whether it grows")
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
    """What the run's own verdict has against it: a page that was lost or not delivered, a measurement that is invalid."""
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
    upper.set(ylabel="resident memory, MB", ylim=(0, None), title="Soak: what each process holds")
    lower.set(ylabel="descriptors", xlabel="seconds", ylim=(0, None))
    upper.legend(loc="lower right", ncols=4, frameon=False)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _format_slope(name: str, what: str, slope: Slope, unit: float) -> str:
    return (
        f"{name} {what}: {slope.rise / unit:+.2f} over the time looked at (allowed {slope.allowed / unit:.2f}), "
        f"{slope.per_s * 3600 / unit:+.2f} an hour"
    )


if __name__ == "__main__":
    sys.exit(main())
