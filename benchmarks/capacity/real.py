"""What needs real runs: predictions of levels and policies that nothing was fitted to, and a server that limits its rate."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.twin.session import FOLDER as TWIN_FOLDER
from benchmarks.twin.session import Drive
from harness.analysis.run_figures import RunFigures
from harness.analysis.sustained import SustainedFigures
from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from harness.capacity.session import SearchSession, run_against
from harness.capacity.target_capacity import TargetRequest
from harness.judge.verdict import judge_run
from harness.run_folder.layout import RunFolder
from harness.runner.fit import fit_runs
from harness.runner.simulated_cells import SimulatedCell, figures_of, play_cells
from harness.scenario.loader import load_scenario
from harness.scenario.scenario import Scenario
from reports.live_view import QuietView

ROOT = Path(__file__).parents[2]
FITTED = {"1 worker": ("server.workers=1",), "2 workers": ("server.workers=2",), "4 workers": ("server.workers=4",)}
"""The runs that the constants are fitted to."""
LEVELS = {"3 workers": ("server.workers=3",), "6 workers": ("server.workers=6",), "8 workers": ("server.workers=8",)}
"""Held out: levels."""
POLICIES = {
    "full jitter": ("server.workers=4", "client.retry.strategy=full_jitter"),
    "outbox": ("server.workers=4", "client.retry.strategy=outbox"),
    "codel": ("server.workers=4", "server.shed=codel"),
}
"""Held out: policies, on an overloaded server. The fitted runs retry at a fixed pause, and shed where the queue is full."""
_BASE = ("client.retry.strategy=fixed", "client.retry.base=500ms", "server.service_time.median=150ms")
"""Six workers carry the load, barely: where all stations or none are complete in time, a prediction would prove nothing."""
_SEEDS = (11, 12, 13)
"""Of the held-out runs: retries let one evening differ from the next by some points, so means are compared."""
_FIGURE = "completed_by_deadline_ratio"
"""What is predicted: a key of `RunFigures.values`."""
TOLERANCE = 0.05
"""How far the predicted share of the stations by the deadline may be off: 5 points."""
NGINX_PER_S = 30.0
"""docs/targets/nginx.conf: limit_req with rate=30r/s."""
_MAX_TRIES = 3


@dataclass(frozen=True)
class Prediction:
    """Runs that nothing was fitted to, of one cell with several seeds."""

    name: str
    predicted: float
    measured: float
    """Mean share of the stations that were complete by the deadline."""
    valid: bool

    @property
    def is_met(self) -> bool:
        """Whether the two are near enough."""
        return self.valid and abs(self.predicted - self.measured) <= TOLERANCE


def scenario_with(overrides: tuple[str, ...], seed: int = _SEEDS[0]) -> Scenario:
    """The base scenario of the fidelity cells, with these overrides."""
    return load_scenario(str(TWIN_FOLDER / "base.toml"), [*_BASE, *overrides, f"seed={seed}"])


def predict_held_out(folder: Path, drive: Drive, log: Callable[[str], None]) -> dict[str, list[Prediction]]:
    """Measure what is fitted and what is held out, fit, and predict: by group, "levels" and "policies"."""
    fitted = [
        _measure(folder / "fitted", name, scenario_with(overrides), drive, log)[0] for name, overrides in FITTED.items()
    ]
    costs = fit_runs(fitted).scenario.simulate
    found: dict[str, list[Prediction]] = {}
    groups: Mapping[str, Mapping[str, tuple[str, ...]]] = {"levels": LEVELS, "policies": POLICIES}
    for group, cells in groups.items():
        found[group] = []
        for name, overrides in cells.items():
            scenarios = [scenario_with(overrides, seed) for seed in _SEEDS]
            # before the runs are made
            played = play_cells(
                [SimulatedCell(one.model_copy(update={"simulate": costs}).resolved()) for one in scenarios]
            )
            runs = [_measure(folder / group, f"{name} {one.seed}", one, drive, log) for one in scenarios]
            found[group].append(
                Prediction(
                    name,
                    _mean_share(played),
                    _mean_share([figures_of(judge_run(run, [])) for run, _ in runs]),
                    all(valid for _, valid in runs),
                )
            )
    return found


def _mean_share(runs: Sequence[RunFigures]) -> float:
    return mean(run.values[_FIGURE] or 0.0 for run in runs)


def _measure(
    folder: Path, name: str, scenario: Scenario, drive: Drive, log: Callable[[str], None]
) -> tuple[RunFolder, bool]:
    """A run, repeated while it is INVALID; and whether it is valid."""
    for number in range(1, _MAX_TRIES + 1):
        run = RunFolder(folder / name.replace(" ", "-") / f"try-{number}")
        if run.path.exists():
            shutil.rmtree(run.path)
        log(f"measuring {name}, try {number}")
        drive(run, scenario)
        if judge_run(run, []).verdict.validity.valid:
            return run, True
    return run, False


@contextlib.contextmanager
def limited_nginx(folder: Path) -> Iterator[str]:
    """Nginx as in docs/targets, which accepts 30 requests a second; its URL. Raises UsageError if it is not installed."""
    if shutil.which("nginx") is None:
        message = "nginx is needed: apt-get install nginx"
        raise UsageError(message)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    (folder / "partial").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (ROOT / "docs" / "targets" / "nginx.conf").read_text("utf-8").replace("18080", str(port))
    user = (
        "user root;\n" if os.geteuid() == 0 else ""
    )  # as root nginx gives its workers to nobody, who may not write here
    (folder / "nginx.conf").write_text(user + text, "utf-8")
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def search_nginx(folder: Path, signals: SignalHandler, log: Callable[[str], None]) -> SustainedFigures:
    """What `harness capacity docs/targets/nginx.toml --target URL` finds."""
    command = ["python", "-m", "benchmarks", "capacity"]
    shutil.rmtree(folder / "found", ignore_errors=True)  # of an earlier time, as in `_measure`
    with limited_nginx(folder / "site") as url:
        scenario = load_scenario(str(ROOT / "docs" / "targets" / "nginx.toml"))
        request = TargetRequest("docs/targets/nginx.toml", scenario, url, 1.05)
        return run_against(request, SearchSession(folder / "found", command, QuietView, log, signals), None)
