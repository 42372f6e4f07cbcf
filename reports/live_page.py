"""The page of a run while it goes on: its HTML, style and script. What it shows comes from the page's server, event by event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reports import palette
from reports.html import stylesheet, template_environment

_WHAT = {"run": "Run", "experiment": "Experiment", "capacity": "Capacity search"}
_COLOURS = {
    "due": palette.OFFERED,
    "delivered": palette.GOODPUT,
    "failures": palette.VERMILION,
    "stations": palette.GREEN,
    "p50": palette.INK,
    "p95": palette.VERMILION,
    "queue": palette.PURPLE,
    "busy": palette.BLUE,
    "cpu": palette.BLUE,
    "late": palette.ORANGE,
    "ink": palette.INK,
    "muted": palette.MUTED,
    "grid": palette.GRID,
    "rule": palette.RULE,
    "shade": palette.SHADE,
    "paper": palette.PAPER,
}
"""Colours of the script's charts: the same as the report's, so that its style turns each into its dark twin."""


def render_live_page(title: str, kind: str) -> str:
    """The HTML of the live page; it loads `LIVE_FILES` from beside itself, and nothing else."""
    return template_environment().get_template("live.html.j2").render(title=title, what=_WHAT[kind], kind=kind)


def _style() -> tuple[str, str]:
    environment = template_environment()
    return str(stylesheet(environment)) + environment.get_template("live.css").render(), "text/css"


def _script() -> tuple[str, str]:
    environment = template_environment()
    colours = ", ".join(f'{name}: "{colour}"' for name, colour in _COLOURS.items())
    heat = ", ".join(f'"{colour}"' for colour in palette.HEAT)
    head = f'"use strict";\nconst COLOUR = {{ {colours} }};\nconst HEAT = [{heat}];\n'
    parts = [environment.get_template(name).render() for name in ("numbers.js", "live-charts.js", "live.js")]
    return head + "\n".join(parts), "text/javascript"


LIVE_FILES: Mapping[str, Callable[[], tuple[str, str]]] = {"live.css": _style, "live.js": _script}
"""What the page loads: a file's name, and what gives its text and content type."""
