"""What the live page knows: of the run that goes on, of those before it in an experiment or a search, and what was logged."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.base.errors import RunFolderError
from harness.judge.verdict import load_verdict
from harness.live.columns import COLUMN_FIELDS, EDGES_S
from harness.live.watched_run import WatchedRun
from harness.plan import Plan
from harness.run_folder.layout import RunEnd, RunFolder, RunRecord
from harness.run_folder.scrape_log import Scrape
from harness.runner.live_stats import RunView
from reports.live_view import Snapshot

Kind = Literal["run", "experiment", "capacity"]
_MOST_LINES = 500


@dataclass(frozen=True)
class Cursor:
    """What one browser has been sent already."""

    run: int = 0
    generation: int = -1
    columns: int = 0
    lines: int = 0
    """Lines of the log, counted from the first ever."""


@dataclass
class _FinishedRun:
    title: str
    folder: RunFolder
    verdict: str = ""
    """pass, fail, invalid, or "" while it is not judged."""


class LiveFeed:
    """Collects what a command does; `message` is what a browser has not been sent yet. Safe for several threads."""

    def __init__(self, kind: Kind, title: str, root: Path, planned: int | None = None) -> None:
        """`root` is the folder of the results, `planned` the number of runs if it is known."""
        self.kind = kind
        self.title = title
        self.root = root
        self._planned = planned
        self._lock = threading.Lock()
        self._lines: list[tuple[float | None, str]] = []
        self._dropped = 0
        self._run: WatchedRun | None = None
        self._run_title = ""
        self._number = 0
        self._runs: list[_FinishedRun] = []
        self._known = ""
        self.report = ""
        """Where the report is, below `root`; "" while it is not written, or if there is none."""
        self._ended = ""

    # --- what the command and its runs report

    def note(self, text: str) -> None:
        """A line of the log that tells what is known so far, of an experiment or a search."""
        self.log(text)
        self._known = text

    def log(self, text: str) -> None:
        """A line of the log."""
        with self._lock:
            at_s = None if self._run is None else self._run.elapsed_s
            self._lines += [(at_s, line) for line in text.splitlines() if line]
            if len(self._lines) > _MOST_LINES:
                self._dropped += len(self._lines) - _MOST_LINES
                del self._lines[:-_MOST_LINES]

    def view(self, title: str, inner: RunView) -> FeedView:
        """A view of a run that shows it on the page too; `inner` is the terminal's."""
        return FeedView(self, title, inner)

    def begin(self, title: str, folder: RunFolder, record: RunRecord, plan: Plan) -> WatchedRun:
        """A run begins."""
        run = WatchedRun(folder, record, plan)
        with self._lock:
            if self._run is not None:
                self._runs.append(_FinishedRun(self._run_title, self._run.folder))
            self._run, self._run_title, self._number = run, title, self._number + 1
        return run

    def finish(self, page: Path | None, text: str = "") -> None:
        """Everything has ended; `page` is the report, None if there is none, and `text` says why."""
        with self._lock:
            self.report = "" if page is None else page.relative_to(self.root).as_posix()
            self._ended = text or "finished"

    # --- what browsers are sent

    @property
    def is_finished(self) -> bool:
        """Whether the report is there, or will never be."""
        return bool(self._ended)

    def message(self, cursor: Cursor, state: dict[str, Any] | None) -> tuple[str, Cursor]:
        """The JSON that a browser with this cursor needs, and its next cursor; `state` comes from `state`."""
        with self._lock:
            # a state may be that of the run before: then the new one begins with the next message
            run = self._run if state is not None and state["run"] == self._number else None
            number = cursor.run if run is None else self._number
            known = cursor if cursor.run == number else Cursor(run=number, lines=cursor.lines)
            first_line = max(known.lines, self._dropped)
            lines = self._lines[first_line - self._dropped :]
            runs = list(self._runs)
            report, ended = self.report, self._ended
        content: dict[str, Any] = {
            "kind": self.kind, "title": self.title, "known": self._known, "planned": self._planned, "run": number,
            "lines": lines, "report": report, "ended": ended, "runs": [self._finished(one) for one in runs],
        }  # fmt: skip
        generation, first, columns = known.generation, known.columns, 0
        if run is not None:
            generation, first, rows = run.locked_columns(known.generation, known.columns)
            columns = len(rows)
            content["state"] = state
            content["columns"] = {"first": first, "fields": COLUMN_FIELDS, "rows": rows}
            if cursor.run != number:
                content["about"] = {**run.describe(), "run_title": self._run_title, "edges": EDGES_S[:-1]}
        after = Cursor(number, generation, first + columns, first_line + len(lines))
        return json.dumps(content, separators=(",", ":")), after

    def state(self) -> dict[str, Any] | None:
        """The state of the run that goes on; None before the first."""
        with self._lock:
            run, number = self._run, self._number
        if run is None:
            return None
        state = {**run.state(), "run": number}
        for line in run.changes():
            self.log(line)
        return state

    def _finished(self, one: _FinishedRun) -> dict[str, Any]:
        page = one.folder.page
        link = page.relative_to(self.root).as_posix() if page.exists() and page.is_relative_to(self.root) else ""
        one.verdict = one.verdict or _verdict_of(one.folder)
        return {"title": one.title, "verdict": one.verdict, "link": link}


class FeedView:
    """Passes what a run shows on to the terminal's view and to the feed."""

    def __init__(self, feed: LiveFeed, title: str, inner: RunView) -> None:
        self._feed = feed
        self._title = title
        self._inner = inner
        self._run: WatchedRun | None = None

    def log(self, text: str) -> None:
        """Show one line on what is being done."""
        self._inner.log(text)
        self._feed.log(text)

    def show(self, snapshot: Snapshot) -> None:
        """Show the live statistics."""
        self._inner.show(snapshot)
        if self._run is not None:
            for line in self._run.show(snapshot):
                self._feed.log(line)

    def begin(self, folder: RunFolder, record: RunRecord, plan: Plan) -> None:
        """The run begins."""
        self._run = self._feed.begin(self._title, folder, record, plan)

    def add(self, scrape: Scrape) -> None:
        """Take a scrape."""
        if self._run is not None:
            self._run.add(scrape)

    def end(self, ended: RunEnd) -> None:
        """The run has ended."""
        if self._run is not None:
            self._run.end(ended)


def _verdict_of(folder: RunFolder) -> str:
    try:
        return load_verdict(folder).verdict if folder.verdict.exists() else ""
    except RunFolderError:
        return ""
