"""Writes charts as SVG files, and makes the SVG that can stand inside an HTML page without style attributes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

Drawing = Literal["only", "wide", "narrow"]
"""Whether a chart is drawn once in a page, or wide and narrow."""

_ID = re.compile(r' id="([^"]*)"')
_COUNTED = re.compile(r"(?:figure|patch|text|line2d|legend|ytick|\w*Collection)_\d+")
_STYLE = re.compile(r' style="([^"]*)"')
_FONT = re.compile(r"^(?:(?P<weight>bold|\d+) )?(?P<size>[\d.]+px) (?P<family>.+)$")
_PATH, _NUMBER = re.compile(r' d="[^"]*"'), re.compile(r"\d+\.\d{3,}")
"""A path, and a coordinate in it with more decimals than a screen can show."""
_ROOT = "stroke-linejoin: round; stroke-linecap: butt"
"""What matplotlib writes into a style sheet, which `inline_svg` removes: as attributes of the root they are inherited."""


def write_svg(figure: Figure, folder: Path, name: str) -> str:
    """Write `name`.svg into the folder; its text."""
    text = to_svg(figure)
    (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    return text


@contextmanager
def any_script() -> Iterator[None]:
    """Names of the user's own may be of any script. In an SVG the browser's fonts draw them; a PNG has boxes for the rest."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def to_svg(figure: Figure) -> str:
    """The figure as the text of an SVG file.

    The same figure gives the same bytes: no date, ids from the salt in `palette.STYLE`. Coordinates are rounded to
    1/100 point, which makes a chart of many points a third smaller and changes no pixel.
    """
    buffer = io.BytesIO()
    with any_script():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _PATH.sub(lambda match: _NUMBER.sub(_rounded, match.group(0)), buffer.getvalue().decode())


def inline_svg(svg: str, name: str, text: str, drawing: Drawing = "only", values: str = "") -> str:
    """The SVG as an element of an HTML page: attributes instead of styles, ids prefixed with `name`, `text` for screen readers.

    Of a chart's two drawings the narrow one appears only where the page's CSS shows it. `values` is JSON for the page's script.
    Jenkins serves reports under `default-src 'none'; style-src 'self'`. That policy drops style elements, style
    attributes and data: images, but not presentation attributes such as `fill`.
    """
    start = svg.index("<svg")
    body = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", svg[start:], flags=re.DOTALL)
    body = _STYLE.sub(lambda match: _attributes(match.group(1)), body)
    # nine charts share one page: ids that nothing refers to go, the others get the chart's name in front
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = _ID.sub(
        lambda match: f' id="{name}-{match.group(1)}"' if match.group(1) in used else _data_id(match.group(1)), body
    )
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body).replace("xlink:href", "href")
    box = re.search(r'viewBox="([^"]*)"', body)
    root = f'<svg role="img" aria-label="{escape(text)}" width="100%" viewBox="{box.group(1) if box else ""}"'
    root += {"only": "", "wide": ' class="wide-chart"', "narrow": ' class="narrow-chart" display="none"'}[drawing]
    if values:
        root += f' data-values="{escape(values)}"'
    root += f' xmlns="http://www.w3.org/2000/svg"{_attributes(_ROOT)}>'
    return root + re.sub(r"\s*\n\s*", "\n", body[body.index(">") + 1 :]).strip()


def embed_drawings(name: str, finding: str, wide: str, narrow: str, values: str = "") -> Markup:
    """Both drawings of a chart as elements of a page, of which its CSS shows the one that fits.

    Inline, not as image files: the page must work when it is mailed or archived alone. Where its CSS is not applied, only
    the wide one is shown. `values` is JSON for the page's script; where scripts may not run it is nothing.
    """
    drawings = [
        inline_svg(wide, name, finding, "wide", values),
        inline_svg(narrow, f"{name}-narrow", finding, "narrow"),
    ]
    return Markup("\n".join(drawings))  # noqa: S704 - matplotlib escapes the texts that it draws


def _data_id(name: str) -> str:
    """What the page's script finds a series, a panel or a tick by; nothing for the ids that matplotlib counts up.

    >>> _data_id("goodput"), _data_id("axes_2"), _data_id("line2d_17")
    (' data-id="goodput"', ' data-id="axes_2"', '')
    """
    return "" if _COUNTED.fullmatch(name) else f' data-id="{name}"'


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number.group(0)):.2f}".rstrip("0").rstrip(".")


def _attributes(style: str) -> str:
    """CSS declarations as presentation attributes; `font` is split, because SVG has no attribute for the shorthand.

    >>> _attributes("fill: none; font: bold 11px 'DejaVu Sans', sans-serif")
    ' fill="none" font-weight="bold" font-size="11px" font-family="DejaVu Sans, sans-serif"'
    """
    attributes = []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        font = _FONT.match(value) if name == "font" else None
        pairs = [(f"font-{key}", found) for key, found in font.groupdict().items()] if font else [(name, value)]
        attributes += [f' {key}="{found.replace(chr(39), "")}"' for key, found in pairs if found]
    return "".join(attributes)
