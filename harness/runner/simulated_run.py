"""One run in virtual time, into the same run folder as a real one. Judging it comes afterwards."""

from __future__ import annotations

from harness.analysis.scraped_metrics import GENERATOR_LAG, SERVER_LAG
from harness.base.errors import ConfigurationError
from harness.base.signals import SignalHandler
from harness.judge.thresholds.abort_on_fail import AbortMonitor
from harness.judge.thresholds.condition import parse_condition
from harness.measure.metrics import WorkerMetrics
from harness.plan import Plan, make_plan
from harness.plan.own_photos import load_nominal_folder
from harness.plan.photos import make_nominal_bank
from harness.run_folder.journal import JournalWriter
from harness.run_folder.layout import RunEnd, StoreReadRecord
from harness.run_folder.tables import write_plan_batches, write_stored_as_planned
from harness.runner.exit_reason import ended_by_signal
from harness.runner.run_record import RunRecorder, keep_station_list
from harness.runner.run_spec import RunSpec
from harness.scenario.scenario import Scenario
from harness.simulate.scrapes import ScrapeWriter
from harness.simulate.simulation import Simulation, SimulationEnd
from harness.simulate.unsupported import check_can_simulate
from mock_server.faults.matching import Injection, injection_line

TARGET = "simulated"
"""Stands for the server's address in run.json."""
_T0_EPOCH = 0.0
"""Virtual time is no one's date: a fixed one keeps the same seed's files the same."""
_FORM_BYTES = 2_000
"""What a form has at most besides the photo in it."""
_PROCESS_METRICS = ("process_", GENERATOR_LAG, SERVER_LAG, "mock_server_loop_lag")


def make_simulated_plan(scenario: Scenario) -> Plan:
    """The plan of a scenario with photos that have a size and a digest only: nobody looks at their bytes.

    Raises ConfigurationError if the server would refuse the largest one for its length (413), which is not simulated.
    """
    photos = scenario.photos
    if photos.folder is not None:
        bank = load_nominal_folder(photos.folder)
    else:
        bank = make_nominal_bank(photos.size, photos.bank, scenario.seed)
    largest = max(body.size_bytes for body in bank)
    if scenario.server.max_body - _FORM_BYTES < largest:
        problem = (
            f"the largest photo has {largest:,} bytes, server.max_body leaves {scenario.server.max_body - _FORM_BYTES:,}: the refusal is not "
            "simulated: raise it, lower photos.size, or run the scenario with harness run"
        )
        label = f"{scenario.name} can't be simulated"
        raise ConfigurationError(label, [problem])
    return make_plan(scenario, bank)


def check_simulation(source: str, scenario: Scenario) -> None:
    """Raise ConfigurationError for what a simulation can't play or what its thresholds can't be judged by."""
    check_can_simulate(source, scenario)
    problems = [
        f"thresholds: {one.assertion}: a simulation has no processes to measure: leave it out, or use harness run"
        for one in scenario.thresholds
        if parse_condition(one.assertion).metric.startswith(_PROCESS_METRICS)
    ]
    if problems:
        label = f"{source} can't be simulated"
        raise ConfigurationError(label, problems)


class SimulatedRun:
    """One run in virtual time. `execute` leaves a run folder that can be analysed, judged and reported."""

    def __init__(self, spec: RunSpec, signals: SignalHandler | None = None) -> None:
        """`spec` must be of the mock server and have passed `check_simulation`; a signal ends the run early."""
        self._signals = signals
        self._spec = spec
        self._scenario = spec.scenario
        self._folder = spec.folder
        self._recorder = RunRecorder(spec)
        self._injections: list[Injection] = []

    def execute(self) -> None:
        """Play the run to the end; how it ended is in run.json. Raises FileExistsError if the folder is not empty."""
        folder, spec = self._folder, self._spec
        folder.create()
        write_plan_batches(folder.plan, spec.plan.column_batches())
        keep_station_list(self._scenario, folder)
        self._recorder.open(TARGET)
        self._recorder.begin(_T0_EPOCH)
        labels = {"run": spec.run_id, "scenario": self._scenario.name, "worker": "0"}
        metrics = WorkerMetrics(spec.limits_s, labels, simulated=True)
        journal = JournalWriter(folder.journal, 0)
        simulation = Simulation(self._scenario, spec.plan, journal, metrics, self._injections.append)
        ended = self._play(simulation)
        journal.close()
        self._write_server_files(simulation)
        phones = simulation.phones
        self._recorder.workers.add_accounts([{
            "rank": 0, "attempts": phones.attempts, "stations_begun": phones.stations_begun,
            "stations_planned": len(spec.plan.stations), "unwritten": "",
            "reads_until_s": None if simulation.readers is None else simulation.readers.until_s,
        }])  # fmt: skip
        self._recorder.add_problems(ended.problem)
        self._recorder.end(self._run_end(ended), 0.0)

    def _play(self, simulation: Simulation) -> SimulationEnd:
        scrapes = ScrapeWriter(self._folder.scrapes, simulation)
        monitor = AbortMonitor(self._spec.abort_thresholds, self._recorder.record, self._spec.plan.pages)

        def on_second(t_s: float) -> str:
            if self._signals is not None and self._signals.received is not None:
                return self._signals.received.name
            for scrape in scrapes.scrape(t_s):
                monitor.add(scrape)
            return monitor.find_failed()

        return simulation.play(on_second)

    def _write_server_files(self, simulation: Simulation) -> None:
        """What the server leaves behind: the injection log, and what it has stored."""
        if self._injections:
            lines = "".join(f"{injection_line(one)}\n" for one in self._injections)
            self._folder.injections.write_text(lines, "utf-8")
        after_kill = self._scenario.audit.kill_server or self._scenario.audit.power_cut
        if simulation.server.is_up or after_kill:
            store = simulation.server.store
            write_stored_as_planned(self._folder.stored, self._folder.plan, store.stored_s, store.other_rows())
            self._recorder.store_read = StoreReadRecord(after_kill=after_kill)
        else:
            self._recorder.store_read = StoreReadRecord(reason="its store could not be read: the server had crashed")

    def _run_end(self, ended: SimulationEnd) -> RunEnd:
        if ended.aborted and self._signals is not None and self._signals.received is not None:
            return ended_by_signal(self._signals.received, ended.at_s)
        if ended.aborted:
            return RunEnd(how="aborted", at_s=ended.at_s, message=ended.aborted)
        return RunEnd(how="completed" if ended.at_s < self._scenario.deadline else "deadline", at_s=ended.at_s)
