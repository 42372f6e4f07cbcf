"""`--web`: the live page beside a command."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.runner.live_stats import RunView

if TYPE_CHECKING:
    from harness.live.access import WebAddress
    from harness.live.feed import Kind, LiveFeed


@dataclass(frozen=True)
class LivePage:
    """What a command reports to the page; without --web it passes everything on to the terminal alone."""

    feed: LiveFeed | None = None

    def view(self, title: str, inner: RunView) -> RunView:
        """A run's view; `inner` is the terminal's."""
        return inner if self.feed is None else self.feed.view(title, inner)

    def views(self, make: Callable[[str], RunView]) -> Callable[[str], RunView]:
        """The same for a function that makes the view for a run's title."""
        return lambda title: self.view(title, make(title))

    def logger(self, log: Callable[[str], None]) -> Callable[[str], None]:
        """A function that logs what is known so far, to the page too."""
        if self.feed is None:
            return log
        feed = self.feed

        def both(text: str) -> None:
            log(text)
            feed.note(text)

        return both

    def log(self, text: str) -> None:
        """A line of the page's log."""
        if self.feed is not None:
            self.feed.log(text)

    def finish(self, page: Path | None) -> None:
        """The report is written: open pages become it. None: it is not, because nobody asked for one."""
        if self.feed is not None:
            self.feed.finish(
                page, "" if page is not None else "The results are in the run folder; no report was asked for."
            )


def parse_web(text: str | None) -> WebAddress | None:
    """The address of --web, None without it. Raises UsageError for a text that is not an address."""
    if text is None:
        return None
    from harness.live.access import parse_web_address  # noqa: PLC0415 - only with --web

    return parse_web_address(text)


@contextlib.contextmanager
def live_page(
    address: WebAddress | None, kind: Kind, title: str, root: Path, planned: int | None = None
) -> Iterator[LivePage]:
    """Serve the page of what goes on while entered, and print its address; `root` is the folder of the results.

    Raises UsageError if nothing can listen at the address.
    """
    if address is None:
        yield LivePage()
        return
    from harness.live.feed import LiveFeed  # noqa: PLC0415 - aiohttp takes a third of a second to import: only with --web
    from harness.live.page_server import PageServer  # noqa: PLC0415

    feed = LiveFeed(kind, title, root, planned)
    with PageServer(feed, address, _interrupt) as server:
        print(f"Live page: {server.url}", flush=True)
        if not address.is_local:
            print(
                f"Warning: anyone who can reach {address.host} and has this address can watch and stop the run; it is not encrypted",
                flush=True,
            )
        yield LivePage(feed)


def _interrupt() -> None:
    """What Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)
