"""`harness scenarios`: the scenarios that ship with the package."""

from __future__ import annotations

from harness.scenario.loader import shipped_scenarios
from reports import terminal


def scenarios() -> None:
    """List the built-in scenarios."""
    terminal.print_table(["scenario", "what it shows"], list(shipped_scenarios().items()))
