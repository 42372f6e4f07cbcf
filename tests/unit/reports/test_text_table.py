"""Tables where the line is long enough, blocks where it is not, and plain lines on a pipe."""

from __future__ import annotations

import io
import re

import pytest
from rich.text import Text

from reports.terminal import make_console, print_table, print_verdict
from reports.text_table import print_rows
from tests.support import made_up_run
from tests.support.screen import lines, screen

HEADERS = ["", "figure", "base", "change", "why"]
ROWS = [
    ["held", "stations.completed_by_deadline_ratio", "100 %", "+1 %", ""],
    ["WORSE", "delivery_seconds.p50", "", "+20 %", "a reason that goes on for longer than the line is wide"],
]


def printed(width, rows=ROWS, headers=HEADERS, **options):
    stream, out = screen(width)
    print_rows(out, headers, [[Text(cell) for cell in row] for row in rows], **options)
    return [line.rstrip() for line in lines(stream)]


def test_a_wide_terminal_has_columns_and_the_last_one_wraps():
    found = printed(100)
    assert found[0].split() == HEADERS[1:]
    assert re.split(r" {2,}", found[1]) == ["held", "stations.completed_by_deadline_ratio", "100 %", "+1 %"]
    assert found[2].endswith("a reason that goes on for longer than")
    assert found[3].strip() == "the line is wide"


def test_a_narrow_terminal_has_a_block_for_each_row_and_breaks_no_word():
    assert printed(48, prose="why") == [
        "held   stations.completed_by_deadline_ratio",
        "       base 100 %, change +1 %",
        "WORSE  delivery_seconds.p50",
        "       change +20 %, a reason that goes on for",
        "       longer than the line is wide",
    ]


def test_a_word_longer_than_the_line_is_continued_and_nothing_is_cut_off():
    found = printed(24)
    assert "".join(line.strip() for line in found[:3]).startswith("held   stations.completed_by_deadline_ratio")
    assert "…" not in "".join(found)


@pytest.mark.parametrize("width", [50, 60, 80])
def test_a_threshold_is_whole_on_every_terminal_and_breached_ones_come_first(width):
    stream, out = screen(width)
    print_verdict(made_up_run.verdict("fail"), made_up_run.summary(), out)
    found = [line.rstrip() for line in lines(stream)]
    starts = [line.split()[0] for line in found if line.startswith(("held", "BREACHED"))]
    assert starts == ["BREACHED", "BREACHED", "held"]
    text = " ".join(" ".join(found).split())
    assert (
        "BREACHED stations.completed_by_deadline_ratio >= 95% observed 93 %, limit 95 %, 2.5 points below the limit"
        in text
    )


def test_what_goes_to_a_pipe_is_neither_wrapped_nor_padded(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.StringIO()
    long = "word " * 60
    print_table(["name", "text"], [["a", long], ["b", "short"]], make_console(stream))
    assert stream.getvalue().splitlines() == ["name  text", f"a     {long.rstrip()}", "b     short"]


def test_a_pipe_that_says_how_wide_it_is_is_wrapped_to_that_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    print_table(["name", "text"], [["a", "word " * 20]], make_console(stream))
    assert max(map(len, stream.getvalue().splitlines())) <= 40
    assert not any(line.endswith(" ") for line in stream.getvalue().splitlines())


def test_a_figure_that_is_true_or_false_is_written_as_such():
    wrong = made_up_run.verdict("fail").thresholds[1].model_copy(
        update={
            "assertion": "recovery.trigger.metastable == false", "observed": 1.0, "limit": 0.0, "unit": "bool",
            "reason": "true, expected false",
        }
    )  # fmt: skip
    stream, out = screen(120)
    verdict = made_up_run.verdict("fail").model_copy(update={"thresholds": [wrong]})
    print_verdict(verdict, made_up_run.summary(), out)
    (row,) = [line for line in lines(stream) if line.startswith("BREACHED")]
    assert re.split(r" {2,}", row.strip())[2:] == ["true", "false", "true, expected false"]
