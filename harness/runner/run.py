"""One run from start to end: starts the processes, keeps the phases, fills the run folder. The judgement comes after."""

from __future__ import annotations

import secrets
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from harness.base.errors import (
    RESOURCE_ERRNOS,
    OutOfResourcesError,
    ProcessFailedError,
    ProcessKilledError,
    describe_exhaustion,
)
from harness.base.signals import ImmediateExit, SignalHandler
from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S
from harness.judge.thresholds.abort_on_fail import AbortMonitor
from harness.measure.process_monitor import ClockMonitor, ProcessMonitor
from harness.measure.scraper import Scraper
from harness.run_folder.layout import RunEnd
from harness.run_folder.scrape_log import Scrape
from harness.run_folder.tables import write_plan
from harness.runner.collect_stored import collect_stored, drain
from harness.runner.exit_reason import describe_exit, ended_by_signal, ended_or_interrupted, was_killed
from harness.runner.heartbeat import HeartbeatMonitor
from harness.runner.launch import private_folder, process_ids, start_generator, start_server
from harness.runner.live_stats import LiveStats, RunView
from harness.runner.prometheus import PrometheusSession
from harness.runner.reserved_resources import ReservedResources
from harness.runner.run_record import RunRecorder
from harness.runner.run_spec import RunSpec
from harness.runner.subprocesses import Interruption, Message, ProcessGroup
from harness.scenario.scenario import REGIONS
from harness.target.external import ConsentPoller
from harness.target.mock_admin import MockAdmin

_T0_DELAY_S = 0.5
_FINISH_GRACE_S = 20.0
_POLL_S = 0.25


class Run:
    """One run. `execute` leaves a folder that figures, judgement and report can be made from."""

    def __init__(self, order: RunSpec, view: RunView, signals: SignalHandler) -> None:
        self._order = order
        self._signals = signals
        self._scenario = order.scenario
        self._folder = order.folder
        self._view = view
        self._t0 = float("inf")
        self._t0_epoch = 0.0
        self._admin: MockAdmin | None = None
        self._clock_monitor = ClockMonitor(time.time, time.monotonic)
        self._log = RunRecorder(order)
        self._roster = self._log.roster
        self._live: LiveStats | None = None
        self._watch: AbortMonitor | None = None
        self._told_lost, self._finished = 0, False
        self._consent = ConsentPoller(order.foreign)
        self._prometheus = PrometheusSession(order)

    def execute(self) -> None:
        """Run to the end. Raises ChildError if a process did not start; Interruption if stopped before T0."""
        self._folder.create()
        self._reserve = ReservedResources(self._folder.reserve)
        try:
            self._execute()
        finally:
            self._reserve.release()

    def _execute(self) -> None:
        write_plan(self._folder.plan, self._order.plan)
        if self._scenario.stations.region not in REGIONS:
            shutil.copyfile(self._scenario.stations.region, self._folder.region)
        self._log.open("")  # a folder with a run.json can be drawn from
        with ProcessGroup(self._folder.logs) as family, private_folder() as private, self._consent, self._prometheus:
            self._signals.listener = lambda number: family.note("signal", number=number)
            self._consent.listener = lambda reason: family.note("withdrawn", reason=reason)
            if self._signals.heard is not None:
                raise Interruption(self._signals.heard)
            try:
                self._start(family, private)
                ended = self._wind_down(family, self._drive(family))
            except ImmediateExit as stopped:
                self._write_end(ended_by_signal(stopped.number, self._clock(), "twice"))
                raise
            except ProcessFailedError as error:
                ended = self._reserve.told(str(error), 0.0, killed=isinstance(error, ProcessKilledError))
                self._write_end(ended)
                raise (OutOfResourcesError(ended.message) if ended.how == "starved" else error) from None
            except (OutOfResourcesError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in RESOURCE_ERRNOS:
                    raise
                told = describe_exhaustion(error) if isinstance(error, OSError) else str(error)
                ended = RunEnd(how="starved", at_s=self._clock(), message=told)
                self._view.say(ended.message)
        self._write_end(ended_or_interrupted(ended, self._signals.heard))

    def _clock(self) -> float:
        """Seconds since T0; 0 where there is none yet."""
        return time.monotonic() - self._t0 if self._t0 < float("inf") else 0.0

    # --- start

    def _start(self, family: ProcessGroup, private: Path) -> None:
        foreign = self._order.foreign
        if foreign is None:
            secret = secrets.token_hex(16)
            self._view.say("Starting the mock server")
            target, self._admin = start_server(family, self._order, private, secret)
        else:
            secret, target = "", str(foreign.origin)  # nobody told that server our PINs: the last six digits
        self._log.open(target)
        if self._order.invitation is None:
            self._view.say(f"Starting the generator ({self._order.counted})")
        ready = start_generator(family, self._order, private, secret, self._view.say)
        self._roster.meet(ready.get("hosts", []))
        targets = {f"worker-{w['rank']}": f"http://127.0.0.1:{w['metrics_port']}/metrics" for w in ready["workers"]}
        self._roster.seat(ready["workers"])
        if self._admin is not None:
            targets["server"] = self._admin.metrics_url
        targets.update(foreign.metrics() if foreign else {})
        self._prometheus.begin(targets, family, self._view.say)
        self._t0 = time.monotonic() + _T0_DELAY_S
        self._t0_epoch = time.time() + _T0_DELAY_S
        self._log.begin(self._t0_epoch)
        self._live = LiveStats(self._log.record, len(self._order.plan.stations), self._order.plan.pages)
        self._watch = AbortMonitor(self._order.watched, self._log.record, self._order.plan.pages)
        here = [f"worker-{worker['rank']}" for worker in ready["workers"] if worker["pid"]]
        silent = HeartbeatMonitor(here, lambda rank, why: family.note("lost", rank=rank, reason=why))
        self._watchers = [self._live.see, self._watch.see, silent.see]
        secure = foreign.secure if foreign else None
        self._scraper = Scraper(self._folder.scrapes, targets, self._clock, self._see, secure)
        for name in ["generator"] if self._admin is None else ["server", "generator"]:
            family[name].tell("t0", monotonic=self._t0)
        self._vitals = ProcessMonitor(self._folder.processes, process_ids(family, ready["workers"]), self._clock)
        self._scraper.start()
        self._vitals.start()
        self._view.say(": ".join(filter(None, [self._scenario.name, self._scenario.title])))

    def _see(self, scrape: Scrape) -> None:
        for see in self._watchers:
            see(scrape)

    # --- drive

    def _drive(self, family: ProcessGroup) -> RunEnd:
        """Watch until the generator has finished; how the run ended."""
        limit_s = self._scenario.deadline + self._scenario.client.timeout + _FINISH_GRACE_S
        ended: RunEnd | None = None
        while True:
            message = family.next(_POLL_S)
            self._look()
            now = self._clock()
            if ended is None and (hopeless := self._hopeless(now)) is not None:
                ended = hopeless
                family["generator"].tell("stop", lost=0)
                limit_s = now + _FINISH_GRACE_S
            if message is None:
                if now > limit_s:
                    text = f"the generator did not finish within {limit_s:.0f} s: killed"
                    if ended is not None:  # it has said nothing of its workers: their journals may not be whole
                        self._roster.lose_all()
                    return ended or RunEnd(how="crashed", at_s=now, message=family.explained("generator", text))
                continue
            if message.event == "finished":
                self._finished = True
                self._consent.withdraw(self._roster.note(message.content["workers"]))
                return ended or self._natural_end()
            halt = self._halted_by(family, message)
            if halt is None:
                continue
            ended = ended or halt
            if family["generator"].exit_code is not None:
                return ended
            family["generator"].tell("stop", lost=self._roster.lost - self._told_lost)
            self._told_lost = self._roster.lost
            limit_s = now + _FINISH_GRACE_S

    def _look(self) -> None:
        self._clock_monitor.check()
        if self._live is not None:
            self._view.show(self._live.snapshot(self._clock()))

    def _hopeless(self, now: float) -> RunEnd | None:
        """How the run ends if a threshold that it is to be aborted for can't be passed any more."""
        why = self._watch.hopeless() if self._watch is not None else ""
        if not why:
            return None
        self._view.say(f"Aborting: {why}")
        return RunEnd(how="aborted", at_s=now, message=why)

    def _halted_by(self, family: ProcessGroup, message: Message) -> RunEnd | None:
        """How the run ends if this message ends it early."""
        now = self._clock()
        if message.event == "signal":
            number = signal.Signals(message.content["number"])
            self._view.say(f"{number.name}: stopping; what is in flight is censored")
            return ended_by_signal(number, now)
        if message.event == "withdrawn":
            return self._withdrawn(str(message.content["reason"]), now)
        if message.event == "unwritten":
            told = self._roster.fail(message.content["rank"], str(message.content["reason"]))
            self._view.say(f"{told}: stopping")
            return RunEnd(how="starved", at_s=now, message=told)
        if message.event == "ended" and not family[message.sender].killed:
            return self._child_lost(family, message, now)
        if message.event == "lost" and not self._roster.records[message.content["rank"]].lost:
            return self._worker_lost(family, message.content, now)
        return None

    def _withdrawn(self, reason: str, now: float) -> RunEnd:
        """The target doesn't consent any more: nothing is sent there from here on."""
        self._scraper.remove_targets(self._order.foreign.metrics() if self._order.foreign else ())
        self._log.note_problem(f"the target's consent ended, and the run with it: {reason}")
        self._view.say(f"The target's consent ended: {reason}: stopping")
        return RunEnd(how="withdrawn", at_s=now, message=reason)

    def _child_lost(self, family: ProcessGroup, message: Message, now: float) -> RunEnd:
        rank, code = self._roster.rank_of(family[message.sender].pid), message.content["exit_code"]
        name = message.sender if rank is None or message.sender == "generator" else f"worker {rank}"
        text = describe_exit(name, code, f"after {now:.1f} s")
        if rank is not None:
            text = self._roster.lose(rank, text)
        explained = family.explained(message.sender, text)
        self._view.say(explained)
        return self._reserve.told(explained, now, killed=was_killed(code))

    def _worker_lost(self, family: ProcessGroup, told: dict[str, Any], now: float) -> RunEnd:
        """A worker fell silent, or died elsewhere: nothing that is still measured would be the plan's load."""
        where = f" on {told['host']}" if "host" in told else ""
        text = f"worker {told['rank']}{where} was lost after {now:.1f} s: {told['reason']}"
        text = self._roster.lose(told["rank"], text)
        family.kill(self._roster.pid_of(told["rank"]))  # one of ours that came to again would send on
        self._view.say(text)
        return self._reserve.told(text, now, killed=True)

    def _natural_end(self) -> RunEnd:
        now, withdrawn = self._clock(), self._consent.halted()
        if withdrawn:  # a worker has seen it before us
            return self._withdrawn(withdrawn, now)
        if self._roster.unwritten:
            return RunEnd(how="starved", at_s=now, message=self._roster.unwritten)
        return RunEnd(how="completed" if now < self._scenario.deadline else "deadline", at_s=now)

    def _wind_down(self, family: ProcessGroup, ended: RunEnd) -> RunEnd:
        """Let the last faults pass, heal, drain, take the last scrape, read what is stored, end the children."""
        if not self._finished:  # whoever still sends would have acknowledged what was read too early
            family.end_all("generator", "worker-")
            if self._order.invitation is not None:  # they stop when they miss their master
                time.sleep(HEARTBEAT_TIMEOUT_S)
        if ended.how == "completed":
            ended = self._await_faults(family, ended)
        if self._admin is not None and family["server"].exit_code is None:
            self._view.say("Draining the server")
            self._log.note_problem(drain(self._admin))
        self._vitals.stop()
        self._scraper.stop()
        self._scraper.scrape_now()
        self._log.note_problem(self._scraper.unwritten, self._vitals.unwritten)
        self._look()
        self._prometheus.end(
            self._t0_epoch, self._view.say, patient=ended.how not in {"interrupted", "terminated", "withdrawn"}
        )
        family["generator"].tell("scraped")
        self._view.say("Reading what the server holds")
        self._log.stock = collect_stored(family, self._order, self._admin, self._consent.halted)
        if self._admin is not None:
            family["server"].tell("stop")
            family["server"].wait(self._scenario.server.grace + 5)
        family["generator"].wait(10)
        self._note_late_deaths(family)
        return ended

    def _note_late_deaths(self, family: ProcessGroup) -> None:
        """A child that should have ended well, and did not."""
        while (message := family.next(0.0)) is not None:
            code = message.content.get("exit_code")
            if message.event == "ended" and code not in {0, None} and not family[message.sender].killed:
                self._log.note_problem(describe_exit(message.sender, code, "while the run was wound down"))

    def _await_faults(self, family: ProcessGroup, ended: RunEnd) -> RunEnd:
        """Everything is delivered, but a fault still to come may lose some of it: wait for its end."""
        faults = self._scenario.faults if self._order.foreign is None else ()
        to_come = [fault for fault in faults if self._clock() < fault.start < self._scenario.deadline]
        until = min(self._scenario.deadline, max((fault.end or float("inf") for fault in to_come), default=0.0))
        while self._clock() < until:
            message = family.next(_POLL_S)
            self._look()
            halt = self._halted_by(family, message) if message is not None else None
            if halt is not None:
                return halt
        return ended.model_copy(update={"at_s": self._clock()})

    def _write_end(self, ended: RunEnd) -> None:
        self._reserve.release()
        self._log.end(ended, self._clock_monitor.step_s)
