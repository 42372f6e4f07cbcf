"""Stations, forms and pages: what a request may name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mock_server.http.responses import Problem
from mock_server.profile.forms import PAGES_PER_FORM

VOTES_PAGE = 2
"""The page of PPWP that carries the votes."""


_STATION = re.compile(r"[0-9]{13}")
_MAX_CODE_LENGTH = 64


def is_region_code(code: str) -> bool:
    """Whether a text has the form of the code of an Indonesian station, whose digits name its places."""
    return _STATION.fullmatch(code) is not None


def is_code(text: str) -> bool:
    r"""Whether a text may be a station's code in a file of stations: 1 to 64 printable characters.

    >>> is_code("CLINIC-017"), is_code(""), is_code("a\n")
    (True, False, False)
    """
    return 1 <= len(text) <= _MAX_CODE_LENGTH and text.isprintable()


@dataclass(frozen=True)
class KnownPages:
    """The stations, forms and pages that requests may name."""

    forms: Mapping[str, int] = field(default_factory=lambda: PAGES_PER_FORM)
    """Name -> number of pages."""
    codes: Collection[str] | None = None
    """Codes of all stations; None without a file of them: any 13 digits."""

    def is_station(self, code: str) -> bool:
        """Whether a text is the code of a station."""
        return is_region_code(code) if self.codes is None else code in self.codes

    def known(self, station: str, form: str) -> tuple[str, str]:
        """The two as they are, each "" if there is no such thing: nothing else is remembered, logged or counted.

        >>> KnownPages().known("3509191001001", "ppwp"), KnownPages().known("x" * 60_000, "y")
        (('3509191001001', 'ppwp'), ('', ''))
        """
        # a code of the usual form is kept even if the file lacks it, as without a file
        is_kept = self.is_station(station) or is_region_code(station)
        return station if is_kept else "", form if form in self.forms else ""

    def check_page(self, form: str, page: int) -> None:
        """Raises Problem 404 if the form has no such page."""
        if not 1 <= page <= self.forms.get(form, 0):
            listed = ", ".join(f"{name} {pages}" for name, pages in self.forms.items())
            raise Problem(404, f"No such page; forms and their pages: {listed}")


def page_number(text: str) -> int:
    """The page number in a text, 0 if it is not one.

    >>> page_number("12"), page_number("1e9")
    (12, 0)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
