"""The forms that the mock server takes unless its profile has others. Pure."""

from __future__ import annotations

PAGES_PER_FORM = {
    "ppwp": 3, "pdpr": 18, "pdpd": 8, "pdprdp": 17, "pdprdk": 17,
    "ec8a": 1, "ec8a1": 1, "ec8a2": 1, "form34a": 1,
}  # fmt: skip
"""Forms and their numbers of pages: Indonesia's (only PPWP's is published; the others are assumptions), Nigeria's and Kenya's."""
