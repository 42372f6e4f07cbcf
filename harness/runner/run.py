"""One run from start to end: starts the processes, keeps to the deadline, fills the run folder. Judging it comes afterwards."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from harness.base.errors import OutOfResourcesError, ProcessFailedError, ProcessKilledError, describe_shortage
from harness.base.signals import ImmediateExit, Interruption, SignalHandler
from harness.base.temporary import temporary_folder
from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S
from harness.judge.thresholds.abort_on_fail import AbortMonitor
from harness.measure.process_monitor import ClockMonitor, ProcessMonitor
from harness.measure.scraper import EarlyScrape, Scraper, scrape_early
from harness.run_folder.layout import STOPPED_BY_SIGNAL, RunEnd
from harness.run_folder.scrape_log import CORRECT_ENDPOINT, Scrape, describe_failed_scrape
from harness.run_folder.tables import write_plan
from harness.runner.end_conditions import EndConditions, HeartbeatMonitor
from harness.runner.exit_reason import ReservedResources, describe_exit, ended_by_signal, ended_or_interrupted
from harness.runner.launch import process_ids, start_generator
from harness.runner.live_stats import LiveStats, RunObserver, RunView
from harness.runner.prometheus import PrometheusSession
from harness.runner.run_record import RunRecorder, keep_station_list
from harness.runner.run_spec import RunSpec
from harness.runner.server import collect_stored, drain, read_store_before, start_server
from harness.runner.subprocesses import ProcessGroup
from harness.runner.sync_thread import SyncThread, sync_run
from harness.scenario.own_client import parse_resolved_name, read_client_source
from harness.target.external import poll_consent
from harness.target.mock_admin import MockAdmin

_T0_DELAY_S = 0.3
"""T0 lies this far ahead when it is sent, so that every process has it before the first station is due."""
_FINISH_GRACE_S = 20.0
_POLL_S = 0.25


class Run:
    """One run. `execute` leaves a run folder that can be analysed, judged and reported, however the run ended."""

    def __init__(self, spec: RunSpec, view: RunView, signals: SignalHandler) -> None:
        self._spec = spec
        self._signals = signals
        self._scenario = spec.scenario
        self._folder = spec.folder
        self._view = view
        self._t0 = float("inf")
        self._t0_epoch = 0.0
        self._admin: MockAdmin | None = None
        self._clock_monitor = ClockMonitor(time.time, time.monotonic)
        self._recorder = RunRecorder(spec)
        self._workers = self._recorder.workers
        self._live_stats: LiveStats | None = None
        self._reported_lost, self._finished = 0, False
        self._consent = poll_consent(spec.external)
        self._prometheus = PrometheusSession(spec)
        self._sync = SyncThread(spec.folder)

    def execute(self) -> None:
        """Run to the end; how it ended is in run.json.

        Raises UsageError if the folder can't be used, the target does not consent or has pages of this plan, ProcessFailedError or OutOfResourcesError
        if the run could not begin, Interruption if a signal came before T0, ImmediateExit on a second signal.
        """
        self._earlier = read_store_before(
            self._spec, self._view.log
        )  # first: nothing is written if that refuses the run
        self._folder.create()
        self._reserve = ReservedResources(self._folder.reserve)
        try:
            self._execute()
        finally:
            self._reserve.release()

    def _execute(self) -> None:
        write_plan(self._folder.plan, self._spec.plan)
        keep_station_list(self._scenario, self._folder)
        own = parse_resolved_name(self._scenario.client.own)
        if own is not None:  # the same holds for the user's own client
            self._folder.own_client.write_bytes(read_client_source(own.file))
        self._recorder.open("")  # from here on the folder can be reported, whatever happens
        with (
            ProcessGroup(self._folder.logs) as processes,
            temporary_folder("run") as private,
            self._consent,
            self._prometheus,
        ):
            self._signals.listener = lambda number: processes.post("signal", number=number)
            self._consent.listener = lambda reason: processes.post("withdrawn", reason=reason)
            if self._signals.received is not None:
                raise Interruption(self._signals.received)
            try:
                self._start(processes, private)
                ended = self._wind_down(processes, self._drive(processes))
            except ImmediateExit as stopped:
                self._write_end(ended_by_signal(stopped.number, self._now_s(), "twice"))
                raise
            except ProcessFailedError as error:
                ended = self._reserve.end_after(str(error), 0.0, killed=isinstance(error, ProcessKilledError))
                self._write_end(ended)
                raise (OutOfResourcesError(ended.message) if ended.how == "starved" else error) from None
            except (OutOfResourcesError, OSError, RuntimeError) as error:
                reason = describe_shortage(error)
                if not reason:
                    raise
                ended = RunEnd(how="starved", at_s=self._now_s(), message=reason)
                self._view.log(ended.message)
        self._write_end(ended_or_interrupted(ended, self._signals.received))

    def _now_s(self) -> float:
        """Seconds since T0; 0 before T0 is known."""
        return time.monotonic() - self._t0 if self._t0 < float("inf") else 0.0

    # --- start

    def _start(self, processes: ProcessGroup, private: Path) -> None:
        """Start server and generator, begin to measure, and send T0."""
        external = self._spec.external
        if external is None:
            secret = secrets.token_hex(16)
            self._view.log("Starting the mock server")
            await_server = start_server(processes, self._spec, private, secret)
        else:
            secret, await_server = "", None  # without a secret PINs are the code's last six digits
        if self._spec.join_policy is None:
            self._view.log(f"Starting the generator ({self._spec.workers_text})")

        def await_target() -> None:
            target = "" if external is None else str(external.origin)
            if await_server is not None:
                target, self._admin = await_server()
            self._recorder.open(target)

        ready = start_generator(processes, self._spec, private, secret, self._view.log, await_target)
        self._workers.add_hosts(ready.get("hosts", []))
        self._workers.add_processes(ready["workers"])
        targets = {f"worker-{w['rank']}": f"http://127.0.0.1:{w['metrics_port']}/metrics" for w in ready["workers"]}
        if self._admin is not None:
            targets["server"] = self._admin.metrics_url
        targets.update(external.metrics() if external else {})
        early = self._scrape_early()
        # Prometheus must have scraped every worker before T0: it can't compute a rate from a counter's first sample.
        self._prometheus.begin(targets, processes, self._view.log)
        self._t0 = time.monotonic() + _T0_DELAY_S
        self._t0_epoch = time.time() + _T0_DELAY_S
        self._recorder.begin(self._t0_epoch)
        self._prepare_monitors(processes, targets, [f"worker-{w['rank']}" for w in ready["workers"] if w["pid"]])
        for name in ["generator"] if self._admin is None else ["server", "generator"]:
            processes[name].send("t0", monotonic=self._t0)
        pids = process_ids(processes, ready["workers"])
        self._process_monitor = ProcessMonitor(self._folder.processes, pids, self._now_s)
        self._scraper.add_early(early, self._t0)
        self._scraper.start()
        self._process_monitor.start()
        self._sync.start()
        self._view.log(": ".join(filter(None, [self._scenario.name, self._scenario.title])))

    def _scrape_early(self) -> list[EarlyScrape]:
        """What the target's own endpoints have counted before the run; one that can't be scraped is named before the load."""
        external = self._spec.external
        if external is None:
            return []
        endpoints = external.metrics()
        early = scrape_early(endpoints, external.secure)
        for one in early:
            if one.error:
                why = describe_failed_scrape(endpoints[one.target], one.error)
                self._view.log(f"metrics endpoint {one.target}: {why}; {CORRECT_ENDPOINT}")
        return early

    def _prepare_monitors(self, processes: ProcessGroup, targets: dict[str, str], local_workers: list[str]) -> None:
        """Create the scraper of `targets`, and everything that acts on its scrapes."""
        record, external = self._recorder.record, self._spec.external
        self._live_stats = LiveStats(record, len(self._spec.plan.stations), self._spec.plan.pages)
        self._abort_monitor = AbortMonitor(self._spec.abort_thresholds, record, self._spec.plan.pages)
        heartbeats = HeartbeatMonitor(local_workers, lambda rank, why: processes.post("lost", rank=rank, reason=why))
        listeners = [self._live_stats.add, self._abort_monitor.add, heartbeats.add]
        if isinstance(self._view, RunObserver):
            self._view.begin(self._folder, record, self._spec.plan)
            listeners.append(self._view.add)

        def on_scrape(scrape: Scrape) -> None:
            for add in listeners:
                add(scrape)

        peer, external_metrics = (external.secure, external.metrics()) if external else (None, {})
        self._scraper = Scraper(self._folder.scrapes, targets, self._now_s, on_scrape, peer)
        self._end_conditions = EndConditions(
            processes,
            self._recorder,
            self._reserve,
            self._view.log,
            lambda: self._scraper.remove_targets(external_metrics),
        )

    # --- drive

    def _drive(self, processes: ProcessGroup) -> RunEnd:
        """Wait until the generator has finished, or for what ends the run early; how the run ended."""
        limit_s = self._scenario.longest_s + _FINISH_GRACE_S
        ended: RunEnd | None = None
        while True:
            message = processes.next(_POLL_S)
            self._update_view()
            now_s = self._now_s()
            if ended is None and (aborted := self._end_conditions.aborted(self._abort_monitor.find_failed(), now_s)):
                ended = aborted
                processes["generator"].send("stop", lost=0)
                limit_s = now_s + _FINISH_GRACE_S
            if message is None:
                if now_s > limit_s:
                    return self._give_up(processes, ended, limit_s)
                continue
            if message.event == "finished":
                self._finished = True
                self._consent.withdraw(self._workers.add_accounts(message.content["workers"]))
                return ended or self._natural_end()
            halted = self._end_conditions.end_after(message, now_s)
            if halted is None:
                continue
            # What came first is the reason; what follows is mostly its consequence.
            ended = ended or halted
            if processes["generator"].exit_code is not None:
                return ended
            # The leader waits for the account of every worker that is not lost: tell it how many more are.
            processes["generator"].send("stop", lost=self._workers.lost_count - self._reported_lost)
            self._reported_lost = self._workers.lost_count
            limit_s = now_s + _FINISH_GRACE_S

    def _give_up(self, processes: ProcessGroup, ended: RunEnd | None, limit_s: float) -> RunEnd:
        """The end of a run whose generator did not finish `limit_s` after T0."""
        if ended is not None:  # it was asked to stop and has not reported: any journal may be incomplete
            self._workers.mark_all_lost()
            return ended
        text = f"the generator did not finish within {limit_s:.0f} s and was killed"
        return RunEnd(how="crashed", at_s=self._now_s(), message=processes.with_log_tail("generator", text))

    def _update_view(self) -> None:
        self._clock_monitor.check()
        if self._live_stats is not None:
            self._view.show(self._live_stats.snapshot(self._now_s()))

    def _natural_end(self) -> RunEnd:
        """How the run ended whose generator finished by itself."""
        now_s, withdrawn = self._now_s(), self._consent.halted()
        if withdrawn:  # a worker noticed before our own poller
            return self._end_conditions.consent_ended(withdrawn, now_s)
        if self._workers.unwritten:
            return RunEnd(how="starved", at_s=now_s, message=self._workers.unwritten)
        return RunEnd(how="completed" if now_s < self._scenario.deadline else "deadline", at_s=now_s)

    # --- wind down

    def _wind_down(self, processes: ProcessGroup, ended: RunEnd) -> RunEnd:
        """Wait for the last faults, drain the server, take the last scrape, read what is stored, stop the processes.

        The order matters: all senders stop before the store is read, or pages acknowledged after the reading would count as lost;
        the exporters stay up until the last scrape; the store is read before the server stops.
        """
        if not self._finished:
            processes.stop_all("generator", "worker-")
            # Remote workers are not our processes: they stop by themselves once they miss the leader.
            if self._spec.join_policy is not None:
                time.sleep(HEARTBEAT_TIMEOUT_S)
        if ended.how == "completed":
            ended = self._await_faults(processes, ended)
        if self._admin is not None and processes["server"].exit_code is None:
            self._view.log("Draining the server")
            self._recorder.add_problems(drain(self._admin))
        self._process_monitor.stop()
        self._sync.stop()
        self._scraper.stop()
        self._scraper.scrape_now()
        self._recorder.add_problems(self._scraper.unwritten, self._process_monitor.unwritten)
        self._update_view()
        patient = ended.how not in {*STOPPED_BY_SIGNAL, "withdrawn"}
        self._prometheus.end(self._t0_epoch, self._view.log, patient=patient)
        processes["generator"].send("scraped")
        self._view.log("Reading what the server has stored")
        self._recorder.store_read = collect_stored(
            processes, self._spec, self._admin, self._consent.halted, self._earlier
        )
        if self._admin is not None:
            processes["server"].send("stop")
            processes["server"].wait(self._scenario.server.grace + 5)
        processes["generator"].wait(10)
        self._note_late_failures(processes)
        return ended

    def _await_faults(self, processes: ProcessGroup, ended: RunEnd) -> RunEnd:
        """Wait until the last fault is over although every page is delivered: a crash still to come may lose some of them."""
        until_s = self._scenario.faults_over_s(self._now_s()) if self._spec.external is None else 0.0
        while self._now_s() < until_s:
            message = processes.next(_POLL_S)
            self._update_view()
            halted = self._end_conditions.end_after(message, self._now_s()) if message is not None else None
            if halted is not None:
                return halted
        return ended.model_copy(update={"at_s": self._now_s()})

    def _note_late_failures(self, processes: ProcessGroup) -> None:
        """Record every process that should have exited with 0 during the wind-down and did not."""
        while (message := processes.next(0.0)) is not None:
            code = message.content.get("exit_code")
            if message.event == "ended" and code not in {0, None} and not processes[message.sender].killed:
                self._recorder.add_problems(describe_exit(message.sender, code, "while the run was wound down"))

    def _write_end(self, ended: RunEnd) -> None:
        self._reserve.release()
        sync_run(self._folder)
        self._recorder.end(ended, self._clock_monitor.step_s)
        if isinstance(self._view, RunObserver):
            self._view.end(ended)
