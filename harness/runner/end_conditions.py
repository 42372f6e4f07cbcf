"""What ends a run early: a signal, withdrawn consent, a threshold out of reach, a lost worker or process, an own client's bug."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import Any

from harness.drive.distributed.join import HEARTBEAT_TIMEOUT_S
from harness.run_folder.layout import RunEnd
from harness.run_folder.scrape_log import Scrape
from harness.runner.exit_reason import ReservedResources, describe_exit, ended_by_signal, was_killed
from harness.runner.run_record import RunRecorder
from harness.runner.subprocesses import Message, ProcessGroup

_MIN_FAILED_SCRAPES = 2
"""At least so many scrapes must have failed: if the harness itself was suspended, the first one after it is late but no proof."""
_LOCAL_ERRORS = ("OSError:", "RuntimeError:")
"""Scrape errors caused by this process having run out of descriptors, ports or threads; a silent worker causes others."""


class EndConditions:
    """Decides whether what happened ends the run, and how. Everything that it decides is also logged and recorded."""

    def __init__(
        self,
        processes: ProcessGroup,
        recorder: RunRecorder,
        reserve: ReservedResources,
        log: Callable[[str], None],
        stop_loading: Callable[[], None],
    ) -> None:
        """`stop_loading` is called once the target's consent has ended: nothing may be sent there from then on, scrapes too."""
        self._processes = processes
        self._recorder = recorder
        self._workers = recorder.workers
        self._reserve = reserve
        self._log = log
        self._stop_loading = stop_loading

    def end_after(self, message: Message, now_s: float) -> RunEnd | None:
        """How the run ends if this message ends it early; None if the run goes on. `now_s` is seconds since T0."""
        if message.event == "signal":
            number = signal.Signals(message.content["number"])
            self._log(f"{number.name}: stopping; attempts in flight are censored")
            return ended_by_signal(number, now_s)
        if message.event == "withdrawn":
            return self.consent_ended(str(message.content["reason"]), now_s)
        if message.event in {"unwritten", "own_client_failed"}:
            stopped = self._unwritten if message.event == "unwritten" else self._own_client_failed
            return stopped(message.content, now_s)
        # A process that we killed ourselves has been accounted for already.
        if message.event == "ended" and not self._processes[message.sender].killed:
            return self._process_ended(message, now_s)
        # A worker may be reported lost twice: by its missing heartbeat and by the end of its process.
        if message.event == "lost" and not self._workers.records[message.content["rank"]].lost:
            return self._worker_lost(message.content, now_s)
        return None

    def consent_ended(self, reason: str, now_s: float) -> RunEnd:
        """The end of a run whose target does not consent any more: nothing is sent there from here on."""
        self._stop_loading()
        self._recorder.add_problems(f"the run was stopped because the target's consent ended: {reason}")
        self._log(f"The target's consent ended: {reason}: stopping")
        return RunEnd(how="withdrawn", at_s=now_s, message=reason)

    def aborted(self, reason: str, now_s: float) -> RunEnd | None:
        """The end of a run because a threshold can't be passed any more, as `reason` says; None without a reason."""
        if not reason:
            return None
        self._log(f"Aborting: {reason}")
        return RunEnd(how="aborted", at_s=now_s, message=reason)

    def _unwritten(self, unwritten: dict[str, Any], now_s: float) -> RunEnd:
        """The end of a run that a worker can't record any more."""
        text = self._workers.mark_unwritten(unwritten["rank"], str(unwritten["reason"]))
        self._log(f"{text}: stopping")
        return RunEnd(how="starved", at_s=now_s, message=text)

    def _own_client_failed(self, failed: dict[str, Any], now_s: float) -> RunEnd:
        """The end of a run whose own client has a bug: what it does from there on is not what its author meant."""
        summary, _, rest = str(failed["reason"]).partition("\n")
        text = f"a bug in the scenario's own client, not in the harness or the server: {summary}"
        text = f"{text}\n{rest}" if rest else text
        self._log(f"{text}\nStopping: the run is INVALID")
        return RunEnd(how="own_client", at_s=now_s, message=text)

    def _process_ended(self, message: Message, now_s: float) -> RunEnd:
        rank = self._workers.rank_of(self._processes[message.sender].pid)
        code = message.content["exit_code"]
        name = message.sender if rank is None or message.sender == "generator" else f"worker {rank}"
        text = describe_exit(name, code, f"after {now_s:.1f} s")
        if rank is not None:
            text = self._workers.mark_lost(rank, text)
        explained = self._processes.with_log_tail(message.sender, text)
        self._log(explained)
        return self._reserve.end_after(explained, now_s, killed=was_killed(code))

    def _worker_lost(self, lost: dict[str, Any], now_s: float) -> RunEnd:
        """A worker went silent, or ended on another machine: the load from here on is not the planned one."""
        where = f" on {lost['host']}" if "host" in lost else ""
        text = f"worker {lost['rank']}{where} was lost after {now_s:.1f} s: {lost['reason']}"
        text = self._workers.mark_lost(lost["rank"], text)
        # A silent worker of this machine may recover (SIGCONT) and would go on sending after the end.
        self._processes.kill(self._workers.pid_of(lost["rank"]))
        self._log(text)
        return self._reserve.end_after(text, now_s, killed=True)


class HeartbeatMonitor:
    """Reports local workers that are alive but don't answer: suspended, starved of CPU, or stuck.

    Their scrapes serve as heartbeats. Remote workers send their own (harness/drive/distributed/leader_session.py); a worker whose
    process ends is noticed by that.
    """

    def __init__(self, targets: Iterable[str], report_lost: Callable[[int, str], None]) -> None:
        """`targets` are the workers' names in scrapes (`worker-0`, …); `report_lost` gets each silent rank once, with a reason."""
        self._answered_s = dict.fromkeys(targets, 0.0)
        self._failed = dict.fromkeys(self._answered_s, 0)
        self._report_lost = report_lost

    def add(self, scrape: Scrape) -> None:
        """Take a scrape. The scraper's threads call this; scrapes of one target come from one thread, in order."""
        name = scrape.target
        if name not in self._answered_s:
            return
        if scrape.error.startswith(_LOCAL_ERRORS):
            return
        if not scrape.error:
            self._answered_s[name], self._failed[name] = scrape.t_s, 0
            return
        self._failed[name] += 1
        silent_s = scrape.t_s - self._answered_s[name]
        if silent_s >= HEARTBEAT_TIMEOUT_S and self._failed[name] >= _MIN_FAILED_SCRAPES:
            del self._answered_s[name]
            self._report_lost(
                int(name.rpartition("-")[2]), f"no answer to scrapes for {silent_s:.1f} s ({scrape.error})"
            )
