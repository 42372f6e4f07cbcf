"""Tests that cut the power: skipped with the reason where this machine can't, which CI's always can."""

from __future__ import annotations

import os

import pytest

from powercut.mount import why_unavailable

LACKING = why_unavailable()
if LACKING and os.environ.get("CI"):
    raise RuntimeError(LACKING)
needs_power_cut = pytest.mark.skipif(bool(LACKING), reason=LACKING)

CARELESS = """
import os, sqlite3
class Careless(sqlite3.Connection):
    def execute(self, statement, *rest):
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *rest)
connect = sqlite3.connect
sqlite3.connect = lambda *given, **named: connect(*given, factory=Careless, **named)
"""
"""As sitecustomize.py: a mock server that answers before its pages are on the disk."""
