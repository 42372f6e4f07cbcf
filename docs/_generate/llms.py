"""llms.txt (llmstxt.org): what the project is and a line for each page, for language models that read the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

_SUMMARY = """# upload-harness

> A load-testing and server-resilience harness for servers that receive photos: it plans every upload in advance, sends them from Locust with an
> open load, audits that no acknowledged photo was lost, and judges the run by thresholds. `harness --help` lists the commands. Exit codes: 0 passed, 99
> failed, 3 the measurement is not to be trusted, 2 wrong use. Agents can read runs by `harness mcp`.
"""
_FIRST_SENTENCE = re.compile(r"(.+?[.:])(?:\s|$)", re.DOTALL)


def llms_text(root: Path) -> str:
    """The file, from the navigation of mkdocs.yml and the first sentence of each page in docs/."""
    # BaseLoader: one setting is a Python name, which nothing here needs
    settings = yaml.load((root / "mkdocs.yml").read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and mappings only
    lines = [_SUMMARY]
    for section in settings["nav"]:
        for title, entry in section.items():
            if isinstance(entry, list):
                lines += [f"## {title}\n", *_pages(root / "docs", entry), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _pages(docs: Path, entries: list[Any]) -> list[str]:
    lines = []
    for entry in entries:
        if isinstance(entry, str):
            lines.append(_page(docs, _title(docs / entry), entry))
            continue
        for title, below in entry.items():
            lines += _pages(docs, below) if isinstance(below, list) else [_page(docs, title, below)]
    return lines


def _page(docs: Path, title: str, path: str) -> str:
    address = path.removesuffix(".md").removesuffix(".ipynb") + ".html"
    address = re.sub(r"README\.html$", "index.html", address)
    about = _first_sentence((docs / path).read_text("utf-8")) if path.endswith(".md") else ""
    return f"- [{title}]({address})" + (f": {about}" if about else "")


def _title(page: Path) -> str:
    return page.read_text("utf-8").splitlines()[0].removeprefix("# ")


def _first_sentence(page: str) -> str:
    """Of the first paragraph that is one, without markup."""
    prose = re.sub(r"^```.*?^```|<!--.*?-->", "", page, flags=re.DOTALL | re.MULTILINE)
    for text in map(str.strip, re.split(r"\n\s*\n", prose)):
        if text and text[0] not in "#|!-<>":
            plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))
            found = _FIRST_SENTENCE.match(plain.replace("**", ""))
            return (found[1] if found else plain).rstrip(":") if plain else ""
    return ""
