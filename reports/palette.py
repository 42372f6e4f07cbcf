"""The colours of charts and pages, and matplotlib's style for all charts.

The hues are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers can tell apart, darkened
until each has the contrast that WCAG 2.2 (1.4.3) asks of text: 4.5. In greyscale, line width, dashes and the label at the
end tell lines apart. Charts are drawn in the light colours and the page's CSS maps each to its dark twin, so every colour
of a chart must be defined here.
"""

from __future__ import annotations

from typing import Any

from harness.base.model import Outcome

PAPER = "#ffffff"
INK = "#1b1b1b"
MUTED = "#5f6368"
"""Secondary text and lines; contrast 5.9 on paper."""
RULE = "#c9ccd1"
GRID = "#e6e8eb"
SHADE = "#eceef1"
"""Fault windows: lighter than any line, in greyscale too."""

BLUE = "#00528f"
SKY = "#2979b4"
GREEN = "#00704f"
ORANGE = "#a86200"
VERMILION = "#b8431a"
PURPLE = "#9a4a80"
PLUM = "#5d2459"
BROWN = "#6b4a2b"
OLIVE = "#6b6914"
BLACK = "#2b2b2b"
GREY = "#6b7178"

GOOD = "#1a7f4b"
BAD = "#b3261e"
UNSURE = "#8a5a00"

HEAT = ("#e3eef7", "#bcd6ea", "#8bb8d9", "#5794c2", "#2a6ca0", "#0d4a78", "#062d4d")
"""Few to many, in even steps of lightness, so that the heat map survives greyscale printing."""

DARK = {
    PAPER: "#16181b",
    INK: "#eceef0",
    MUTED: "#a4abb3",
    RULE: "#4a4f55",
    GRID: "#2a2d31",
    SHADE: "#262a2f",
    BLUE: "#58aeea",
    SKY: "#93cdf5",
    GREEN: "#3cc096",
    ORANGE: "#f0a83c",
    VERMILION: "#f0804e",
    PURPLE: "#d98abb",
    PLUM: "#b982c9",
    BROWN: "#c49a72",
    OLIVE: "#bdb84f",
    BLACK: "#d8d8d8",
    GREY: "#8d949b",
    GOOD: "#5fc98f",
    BAD: "#ff8a80",
    UNSURE: "#e5b567",
    **dict(zip(HEAT, ("#1d2b38", "#21405a", "#28587f", "#3375a6", "#4f96cb", "#82bce6", "#c3e0f7"), strict=True)),
}
"""Light colour → its twin in dark mode."""

# the same three colours in every chart that shows load
OFFERED, GOODPUT, THROUGHPUT = MUTED, BLUE, ORANGE

OUTCOME_COLOURS = {
    Outcome.ACCEPTED: BLUE,
    Outcome.REPLAYED: SKY,
    Outcome.PENDING: GREY,
    Outcome.REJECTED: OLIVE,
    Outcome.UNREADABLE: BROWN,
    Outcome.THROTTLED: ORANGE,
    Outcome.UNAVAILABLE: PURPLE,
    Outcome.SERVER_ERROR: PLUM,
    Outcome.TIMEOUT_CONNECT: VERMILION,
    Outcome.TIMEOUT_SEND: VERMILION,
    Outcome.TIMEOUT_RESPONSE: VERMILION,
    Outcome.REFUSED: GREEN,
    Outcome.RESET: GREEN,
    Outcome.CLOSED: GREEN,
    Outcome.MALFORMED: GREEN,
    Outcome.CENSORED: GREY,
    Outcome.WITHHELD: GREY,
    Outcome.GENERATOR_ERROR: BLACK,
    Outcome.TLS_FAILED: GREEN,
}
"""Related outcomes share a hue (timeouts, broken connections); a label always names the outcome."""

TIME_PART_COLOURS = {
    "connect": GREY,
    "log in": OLIVE,
    "send": ORANGE,
    "queue": PURPLE,
    "service": BLUE,
    "answer": GREEN,
}
"""The parts of an attempt's time; queue and service have the same colours in the server chart."""

OUTCOME_LABELS = {
    Outcome.ACCEPTED: "accepted",
    Outcome.REPLAYED: "already stored (same page)",
    Outcome.PENDING: "accepted, processing",
    Outcome.REJECTED: "rejected",
    Outcome.UNREADABLE: "unreadable",
    Outcome.THROTTLED: "throttled",
    Outcome.UNAVAILABLE: "unavailable",
    Outcome.SERVER_ERROR: "server error",
    Outcome.TIMEOUT_CONNECT: "timed out connecting",
    Outcome.TIMEOUT_SEND: "timed out sending",
    Outcome.TIMEOUT_RESPONSE: "timed out waiting",
    Outcome.REFUSED: "connection refused",
    Outcome.RESET: "connection reset",
    Outcome.CLOSED: "connection closed",
    Outcome.MALFORMED: "malformed answer",
    Outcome.CENSORED: "in flight at the end",
    Outcome.WITHHELD: "withheld by the strategy",
    Outcome.GENERATOR_ERROR: "generator error",
    Outcome.TLS_FAILED: "TLS failed",
}
"""The text shown for an outcome. It names no status: a scenario may list other statuses, and a body may decide."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    # the first is shipped with matplotlib; the others are what browsers fall back to, as texts in SVG stay texts
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER,
    # transparent, so that fault bands on the axes behind show through
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "text.parse_math": False,
    # texts stay texts: smaller files, searchable, and readable for screen readers
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
    "path.simplify": True,
}
"""matplotlib's rcParams for every chart. The salt makes ids in the SVG reproducible; without `parse_math` a name like "$x$"
would be drawn as a formula."""


def outcome_colour(name: str) -> str:
    """The colour of an outcome by its value; grey for a sum of several outcomes."""
    return OUTCOME_COLOURS[Outcome(name)] if name in OUTCOME_COLOURS else GREY


def outcome_label(name: str) -> str:
    """The text for an outcome; any other name is returned unchanged."""
    return OUTCOME_LABELS[Outcome(name)] if name in OUTCOME_LABELS else name
