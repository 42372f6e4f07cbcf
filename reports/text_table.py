"""Tables of text: columns where the line is long enough for them, else one block per row; plain lines on a pipe.

A word is never broken to fit a column: half a threshold or half a run's name can be neither read nor copied.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 100_000
"""Wider than any line: what reads a pipe wraps lines itself, or needs them whole."""
_GAP = 2
_MIN_LAST_WIDTH = 24
"""The last column is prose: it wraps, down to this width."""


def print_rows(
    out: Console, headers: Sequence[str], rows: Sequence[Sequence[Text]], *, lead: int | None = None, prose: str = ""
) -> None:
    """Print rows as a table without rules, or, where the columns don't fit, each row as a block of lines.

    A block begins with the first `lead` cells, which name the row (by default one, or two if the first column has no header);
    the others follow as "header value", indented; those of the column `prose` need no header.
    """
    if _fits(out.width, headers, rows):
        table = plain_table(headers, wrapping=len(headers) - 1)
        for row in rows:
            table.add_row(*row)
        print_plain(out, table)
        return
    first = lead or (2 if not headers[0] else 1)
    indent = max(row[0].cell_len for row in rows) + _GAP if first > 1 else _GAP
    for row in rows:
        block = Table.grid(padding=0)
        block.add_column(width=indent)
        block.add_column(overflow="fold")  # a word longer than the line goes on in the next one: nothing is cut off
        if first > 1:
            block.add_row(row[0], Text("  ").join(row[1:first]))
        else:
            out.print(row[0])
        block.add_row("", _describe(headers[first:], row[first:], prose))
        print_plain(out, block)


def plain_table(headers: Sequence[str], *, wrapping: int | None = None) -> Table:
    """An empty table without rules; with `wrapping` only that column may wrap."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP // 2), header_style="underline")
    for number, header in enumerate(headers):
        table.add_column(Text(header), no_wrap=wrapping is not None and number != wrapping)
    return table


def print_plain(out: Console, content: RenderableType) -> None:
    """Print; on a pipe without the blanks that pad each line to the width of a column."""
    if out.is_terminal:
        out.print(content)
        return
    with out.capture() as captured:
        out.print(content)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _fits(width: int, headers: Sequence[str], rows: Sequence[Sequence[Text]]) -> bool:
    """Whether every column but the last has the width that it needs, and the last one enough to wrap in."""
    if not headers:
        return True
    needed = [max([cell_len(header), *(row[number].cell_len for row in rows)]) for number, header in enumerate(headers)]
    return sum(needed[:-1]) + _GAP * (len(headers) - 1) + min(needed[-1], _MIN_LAST_WIDTH) <= width


def _describe(headers: Sequence[str], cells: Sequence[Text], prose: str) -> Text:
    """The cells of a row behind their headers, in one line; empty cells are left out."""
    pairs = [(header, cell) for header, cell in zip(headers, cells, strict=True) if cell.plain]
    parts = [cell if header in {"", prose} else Text.assemble(f"{header} ", cell) for header, cell in pairs]
    return Text(", ").join(parts)
