"""Forms and pages: what may be uploaded."""

from __future__ import annotations

from mock_server.answers import Problem

PAGES = {"ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17}
"""Forms, and how many pages each has (only PPWP's count is published; the others are assumed)."""

VOTES_PAGE = 2
"""The page of PPWP that carries the votes."""


def page_number(text: str) -> int:
    """The number that a text is, 0 if it is none.

    >>> page_number("12"), page_number("1e9")
    (12, 0)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def check_page(form: str, page: int) -> None:
    """Raises Problem 404 if there is no such page."""
    if not 1 <= page <= PAGES.get(form, 0):
        raise Problem(404, "No such page", "Forms and their pages: " + ", ".join(f"{k} {v}" for k, v in PAGES.items()))
