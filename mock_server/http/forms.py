"""Stations, forms and pages: what a request may name."""

from __future__ import annotations

import re

from mock_server.http.responses import Problem

PAGES_PER_FORM = {
    "ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17,
    "ec8a": 1, "ec8a1": 1, "ec8a2": 1, "form34a": 1,
}  # fmt: skip
"""Forms and their numbers of pages: Indonesia's (only PPWP's is published; the others are assumptions), Nigeria's and Kenya's."""

VOTES_PAGE = 2
"""The page of PPWP that carries the votes."""


_STATION = re.compile(r"[0-9]{13}")


def is_station(code: str) -> bool:
    """Whether a text has the form of a station's code."""
    return _STATION.fullmatch(code) is not None


def known_station_and_form(station: str, form: str) -> tuple[str, str]:
    """The two as they are, each "" if it is malformed: nothing else is remembered, logged or counted.

    >>> known_station_and_form("3509191001001", "ppwp"), known_station_and_form("x" * 60_000, "y")
    (('3509191001001', 'ppwp'), ('', ''))
    """
    return station if is_station(station) else "", form if form in PAGES_PER_FORM else ""


def page_number(text: str) -> int:
    """The page number in a text, 0 if it is not one.

    >>> page_number("12"), page_number("1e9")
    (12, 0)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def check_page(form: str, page: int) -> None:
    """Raises Problem 404 if the form has no such page."""
    if not 1 <= page <= PAGES_PER_FORM.get(form, 0):
        known = ", ".join(f"{name} {pages}" for name, pages in PAGES_PER_FORM.items())
        raise Problem(404, f"No such page; forms and their pages: {known}")
