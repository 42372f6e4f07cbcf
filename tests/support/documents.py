"""README, CONTRIBUTING and docs/ as a reader has them: prose, blocks of code, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SLUG = slugify(case="lower")


@dataclass(frozen=True)
class Block:
    """A block of code of a document."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every block of code in those languages; all of them if none is named."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for match in _FENCED.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(path, line, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


def prose(text: str) -> str:
    """A document's text without its blocks of code."""
    return _FENCED.sub("", text)


def anchors(text: str) -> set[str]:
    """What a link to one of the document's headings may end in."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings]
    return {_SLUG(heading, "-") for heading in plain}


def links(text: str) -> list[tuple[str, str]]:
    """(file or nothing, anchor or nothing) of every link that stays in the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [(target.partition("#")[0], target.partition("#")[2]) for target in targets if "://" not in target]


def codes(text: str) -> set[str]:
    """Everything between backticks in the prose, also several in one pair of a table's cell."""
    return {word for code in re.findall(r"`([^`]+)`", prose(text)) for word in [code, *re.split(r"[{\s,]", code)]}


def own_client_example() -> str:
    """The program of docs/how-to/own-client.md."""
    page = ROOT / "docs" / "how-to" / "own-client.md"
    (block,) = [block for block in blocks("python") if block.path == page]
    return block.text
