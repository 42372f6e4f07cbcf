"""Charts as SVG: a file of its own, and a form that stands inside a page whose policy allows no styles."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ID = re.compile(r' id="([^"]*)"')
_STYLE = re.compile(r' style="([^"]*)"')
_FONT = re.compile(r"^(?:(?P<weight>bold|\d+) )?(?P<size>[\d.]+px) (?P<family>.+)$")
_PATH, _NUMBER = re.compile(r' d="[^"]*"'), re.compile(r"\d+\.\d{3,}")
"""A path, and a coordinate in it that is finer than anyone can see."""
_ROOT = "stroke-linejoin: round; stroke-linecap: butt"
"""What matplotlib says in a style sheet; on the root element it is inherited."""


def to_svg(figure: Figure) -> str:
    """The figure as a whole SVG file, the same bytes each time (no date; ids from palette.STYLE's salt)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _PATH.sub(lambda match: _NUMBER.sub(_rounded, match.group(0)), buffer.getvalue().decode())


def inline_svg(svg: str, name: str, text: str) -> str:
    """The SVG to put into HTML: attributes instead of styles, ids that don't clash, `text` for those who can't see it.

    Jenkins serves reports under `default-src 'none'; style-src 'self'`: that drops style elements, style attributes
    and data: images, but not presentation attributes.
    """
    start = svg.index("<svg")
    body = re.sub(r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*", "", svg[start:], flags=re.DOTALL)
    body = _STYLE.sub(lambda match: _attributes(match.group(1)), body)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = _ID.sub(lambda match: f' id="{name}-{match.group(1)}"' if match.group(1) in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body).replace("xlink:href", "href")
    box = re.search(r'viewBox="([^"]*)"', body)
    root = f'<svg role="img" aria-label="{escape(text)}" width="100%" viewBox="{box.group(1) if box else ""}"'
    root += f' xmlns="http://www.w3.org/2000/svg"{_attributes(_ROOT)}>'
    return root + re.sub(r"\s*\n\s*", "\n", body[body.index(">") + 1 :]).strip()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number.group(0)):.2f}".rstrip("0").rstrip(".")


def _attributes(style: str) -> str:
    """Declarations as presentation attributes; the `font` shorthand, which has none, taken apart.

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
