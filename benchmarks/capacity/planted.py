"""Servers of which the demand is known by other means, and the searches of them, all in virtual time.

Each station sends one page, and each page takes the same time: a first-come first-served queue with random arrivals. By the
recursion of such a queue (page i begins when it arrives or when page i - W is done) thousands of nights are worked out at once, without the
simulation. They give the probability at each number of workers that all stations are complete by the deadline.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.capacity import PlayedSeed
from harness.base.errors import ExitCode
from harness.capacity.figures import CapacityResults, confirm_searches
from harness.capacity.levels import parse_varied_key
from harness.capacity.planner import CapacityPlanner
from harness.capacity.request import CapacityRequest, RequestedLoad
from harness.capacity.sampling import SamplingRule
from harness.measure.metrics import WorkerMetrics
from harness.plan import make_plan
from harness.plan.photos import make_nominal_bank
from harness.run_folder.journal import JournalWriter, RecordKind, read_journal
from harness.scenario.scenario import Scenario
from harness.simulate.simulation import Simulation

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

RULE = SamplingRule(0.8)
WORKERS = 64
GOAL = "stations.completed_by_deadline_ratio >= 100%"
DRAWS = 4000
"""Nights that give the truth: a standard error of 0.6 points at 80 %."""
_OTHER_SEEDS = 1_000_001
_ERRORS = 3
"""Standard errors of the truth within which a claim is not held against it."""
_FREE = {
    "connect": "0s",
    "login": "0s",
    "send": "1000000GB/s",
    "parse": "0s",
    "commit": "0s",
    "answer": "0s",
    "restart": "0s",
}


@dataclass(frozen=True)
class PlantedServer:
    """One server and its night."""

    stations: int
    over_s: float
    """Stations arrive independently of each other within this time."""
    service_s: float
    deadline_s: float

    @classmethod
    def draw(cls, number: int) -> PlantedServer:
        """The server of this number: the same in every session."""
        random = np.random.default_rng((20240214, number))
        over_s, service_s = float(random.uniform(2, 8)), float(random.uniform(0.1, 0.6))
        deadline_s = over_s * float(random.uniform(1.0, 1.6)) + service_s
        return cls(int(random.integers(20, 61)), round(over_s, 3), round(service_s, 3), round(deadline_s, 3))

    def truth(self) -> FloatArray:
        """The probability at 1, 2, … workers that all stations are complete by the deadline."""
        arrived = np.sort(np.random.default_rng(1).uniform(0, self.over_s, (DRAWS, self.stations)), axis=1)
        return np.array([self._share(arrived, workers) for workers in range(1, WORKERS + 1)])

    def _share(self, arrived: FloatArray, workers: int) -> float:
        done = np.zeros_like(arrived)
        for page in range(self.stations):
            free = done[:, page - workers] if page >= workers else 0.0
            done[:, page] = np.maximum(arrived[:, page], free) + self.service_s
        return float((done.max(axis=1) <= self.deadline_s).mean())

    def scenario(self, seed: int, **tables: Any) -> Scenario:
        """The same as a scenario."""
        content: dict[str, Any] = {
            "name": "planted", "seed": seed, "deadline": f"{self.deadline_s}s",
            "stations": {"region": "kaliwates", "count": self.stations, "forms": ["ec8a"]},
            "photos": {"size": "4KB", "bank": 1}, "arrivals": {"kind": "surge", "over": f"{self.over_s}s"},
            "client": {"timeout": "1h", "retry": {"strategy": "none"}},
            "server": {"workers": 1, "shed": "none", "service_time": f"{self.service_s}s"}, "simulate": _FREE,
        }  # fmt: skip
        return Scenario.model_validate({**content, **tables})


class DirectTwin:
    """Plays seeds within this process, without a run folder: the same simulation, judged by its rows alone."""

    def play(self, scenario: Scenario, goal: Sequence[str], seeds: Iterable[int]) -> Generator[PlayedSeed]:
        """What each seed shows, in their order."""
        for seed in seeds:
            finish_s = _finish_s(scenario.model_copy(update={"seed": seed}))
            met = finish_s <= scenario.deadline
            yield PlayedSeed(
                seed=seed, met=met, breached=[] if met else list(goal), completed_ratio=1.0 if met else 0.0,
                complete_95_s=finish_s if met else None, finish_s=finish_s if met else None, amplification=1.0,
            )  # fmt: skip


def _finish_s(scenario: Scenario) -> float:
    """When every page of a night was stored; infinite if some never was."""
    plan = make_plan(scenario, make_nominal_bank(scenario.photos.size, scenario.photos.bank, scenario.seed))
    with tempfile.TemporaryDirectory() as folder:
        journal = JournalWriter(Path(folder), 0)
        metrics = WorkerMetrics([], {"run": "", "scenario": "", "worker": "0"}, simulated=True)
        Simulation(scenario, plan, journal, metrics, lambda _: None).play(lambda _: "")
        journal.close()
        records = read_journal(Path(folder) / "worker-0000.journal")
    ended = records[records["kind"] == RecordKind.END]
    stored = ended[(ended["status"] >= 200) & (ended["status"] < 300)]
    return float(stored["done_s"].max()) if len(stored) == plan.pages else float("inf")


def request_for(server: PlantedServer, first_seed: int) -> CapacityRequest:
    """The search of a server, with seeds from `first_seed` on."""
    vary, base = parse_varied_key(f"server.workers=1..{WORKERS}"), server.scenario(first_seed)

    def scenario_at(level: int) -> Scenario:
        return base.model_copy(update={"server": base.server.model_copy(update={"workers": int(vary.values[level])})})

    return CapacityRequest("planted", base, scenario_at, vary, (GOAL,), rule=RULE)


def search(server: PlantedServer, first_seed: int) -> tuple[int | None, int | None]:
    """The bracket that `harness capacity` claims: workers that suffice, and workers that do not."""
    with tempfile.TemporaryDirectory() as folder:
        asked = request_for(server, first_seed)
        planner = CapacityPlanner(asked, Path(folder) / "out", DirectTwin(), log=lambda _: None)  # type: ignore[arg-type]
        (found,) = planner.search()
    passes, fails = found.bracket.passes, found.bracket.fails
    return None if passes is None else passes + 1, None if fails is None else fails + 1


def holds(server: PlantedServer, claimed: tuple[int | None, int | None]) -> bool:
    """Whether both ends of a claimed bracket agree with the truth."""
    truth, (passes, fails) = server.truth(), claimed
    margin = _ERRORS * (RULE.probability * (1 - RULE.probability) / DRAWS) ** 0.5
    suffices = passes is not None and truth[passes - 1] >= RULE.probability - margin
    return suffices and (fails is None or truth[fails - 1] < RULE.probability + margin)


def sabotaged_code(server: PlantedServer, first_seed: int) -> int:
    """The exit code if the measured runs have a brownout that the model does not know of.

    The runs are simulations too, of the same night with a fiftieth of the capacity from its middle on.
    """
    fault = {"name": "hidden", "kind": "capacity", "start": f"{server.over_s / 2:.3f}s", "factor": 0.02}
    with tempfile.TemporaryDirectory() as folder:
        asked, twin = request_for(server, first_seed), DirectTwin()
        planner = CapacityPlanner(asked, Path(folder) / "out", twin, log=lambda _: None)  # type: ignore[arg-type]
        searches = planner.search()
        for found in searches:
            planner.firm_up(found)

        def measure(one: RequestedLoad, level: int) -> Iterable[PlayedSeed]:
            workers = one.scenario_at(level).server.workers
            sabotaged = server.scenario(
                first_seed,
                faults=[fault],
                server={"workers": workers, "shed": "none", "service_time": f"{server.service_s}s"},
            )
            return twin.play(sabotaged, one.goal, range(first_seed + 500, first_seed + 520))

        confirmations = confirm_searches(searches, asked, measure, planner.known)
        return CapacityResults(asked, searches, planner.known, confirmations).figures().exit_code


def check_search(number: int) -> tuple[bool, bool]:
    """Of the planted server of this number: whether the claimed bracket holds, and whether other seeds find the same."""
    server = PlantedServer.draw(number)
    one, other = search(server, 1), search(server, _OTHER_SEEDS)
    agree = one[0] is not None and other[0] is not None and abs(one[0] - other[0]) <= 1
    return holds(server, one), agree


def check_sabotage(number: int) -> bool:
    """Whether a hidden brownout gives no number."""
    return sabotaged_code(PlantedServer.draw(number), 1) == ExitCode.INVALID
