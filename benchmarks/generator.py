"""The generator alone, run once in a folder that is gone afterwards, on the cores that it may use."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.round import pinned_to
from harness.run_folder.layout import RunFolder
from harness.runner.generator import GeneratorResult, LoadGenerator
from harness.scenario.scenario import Scenario


def run_generator(
    scenario: Scenario, target: str, workers: int = 1, cpus: frozenset[int] | None = None,
    watch: Callable[[list[int]], None] = lambda _: None,
) -> GeneratorResult:  # fmt: skip
    """Run the generator from start to end. `cpus`: the cores that it may use. `watch` is called with the processes' ids at T0.

    Raises ChildError where it doesn't come up, breaks off or doesn't end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as path,
        LoadGenerator(scenario, target, RunFolder(Path(path) / "run"), workers) as generator,
    ):
        with pinned_to(cpus) if cpus else contextlib.nullcontext():
            generator.start()
        return generator.drive(watch)
