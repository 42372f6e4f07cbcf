"""The made-up run's page: as a file, as text, and as an outline."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.judge.results import Verdict
from harness.run_folder.layout import RunFolder
from reports.html import DrawnChart, render_page
from reports.render import draw_charts, render_run
from tests.support import made_up_run


class Outline(HTMLParser):
    """Headings, ids, links and text of a page, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))
        href = attributes.get("href") or ""
        if tag == "a" and href.startswith("#"):
            self.targets.append(href[1:])
        self.text += " "
        self._hidden += tag in {"style", "svg", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "svg", "script"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data


def write(path: Path) -> tuple[RunFolder, list[str]]:
    """A folder with the made-up run's report, and the findings that `render_run` gave."""
    folder = RunFolder(path / "run")
    folder.create()
    folder.write_run(made_up_run.record())
    return folder, render_run(folder, made_up_run.summary(), made_up_run.series(), made_up_run.verdict("pass"))


@cache
def drawn() -> list[DrawnChart]:
    """The made-up run's charts, drawn once for all tests of the page's text."""
    with TemporaryDirectory() as folder:
        return draw_charts(Path(folder), made_up_run.series(), made_up_run.summary())


def read(verdict: Verdict | None = None, record: dict[str, Any] | None = None, **summary: Any) -> str:
    return render_page(
        made_up_run.record(**(record or {})), made_up_run.summary(**summary), made_up_run.series(), verdict, drawn()
    )


def text_of(html: str) -> str:
    return " ".join(Outline(html).text.split())
