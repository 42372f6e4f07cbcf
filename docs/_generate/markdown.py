"""A model as a table of its keys."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterable

from pydantic import BaseModel

from docs._generate.value_text import allowed, default
from mock_server.profile.key_texts import key_texts

NOTICE = "<!-- Made from the code by `make docs`: change the docstrings there, not this page. -->\n"


def table(model: type[BaseModel], prefix: str = "", *, without: Iterable[str] = ()) -> str:
    """A row for each key of a model: the key, what may stand there, what holds if it doesn't, what it is."""
    left_out, texts = set(without), key_texts(model)
    rows = [
        [f"`{prefix}{field.alias or key}`", allowed(field), default(model, key), prose(texts.get(key, ""))]
        for key, field in model.model_fields.items()
        if key not in left_out
    ]
    return markdown(["key", "value", "default", "what it is"], rows)


def markdown(header: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def prose(text: str) -> str:
    """Text of a docstring on one line, as Markdown shows it literally (code in backticks stays code)."""
    pieces = " ".join(text.split()).split("`")
    shown = [
        html.escape(piece, quote=False).replace("*", r"\*") if even else piece
        for even, piece in zip([True, False] * len(pieces), pieces, strict=False)
    ]
    return "`".join(shown)


def sentence(owner: object) -> str:
    """The first paragraph of a docstring."""
    return prose((inspect.getdoc(owner) or "").split("\n\n")[0])
