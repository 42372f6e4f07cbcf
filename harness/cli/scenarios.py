"""`harness scenarios`: the scenarios and experiments that ship with the package."""

from __future__ import annotations

from harness.scenario.experiment import shipped_experiments
from harness.scenario.loader import shipped_scenarios
from reports import terminal


def scenarios() -> None:
    """List the built-in scenarios and experiments."""
    terminal.print_table(["scenario", "what it shows"], list(shipped_scenarios().items()))
    print("\nExperiments compare variants of a scenario (harness experiment NAME):\n")
    terminal.print_table(["experiment", "what it compares"], list(shipped_experiments().items()))
