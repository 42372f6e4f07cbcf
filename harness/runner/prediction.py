"""What to try first after a failed run, with what the twin expects of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from harness.analysis.run_figures import RunFigures
from harness.base.errors import ConfigurationError
from harness.judge.remedy import Remedy, first_remedy
from harness.judge.thresholds.units import format_value
from harness.judge.verdict import Judgement
from harness.run_folder.layout import RunFolder
from harness.runner.simulated_cells import SimulatedCell, play_cell
from harness.scenario.loader import override_resolved
from harness.simulate.unsupported import find_unsupported

MAX_PAGES = 5_000
MAX_ATTEMPTS = 50_000
"""Of larger runs nothing is predicted: the page of a run must not wait for minutes of simulation."""


def predict_remedy(folder: RunFolder, judged: Judgement) -> Remedy | None:
    """The change to try first, with the simulated effect where the twin can play the run; None if there is nothing to try."""
    record, summary = folder.read_run(), judged.summary
    remedy = first_remedy(record, summary, judged.verdict)
    too_large = summary.pages.planned > MAX_PAGES or summary.attempts.total > MAX_ATTEMPTS
    if remedy is None or not remedy.settings or not record.own_server or too_large:
        return remedy
    content = dict(record.scenario)
    photos = (content.get("photos") or {}).get("folder")
    if photos and not Path(photos).is_dir():  # the user's own photos are not kept: their sizes are gone
        return remedy
    content["stations"] = folder.with_own_list(content.get("stations", {}))
    try:
        before, after = (override_resolved(content, settings) for settings in ((), remedy.settings))
    except (ConfigurationError, ValidationError):  # a run of another version: its remedy stands without a prediction
        return remedy
    if find_unsupported(before) or find_unsupported(after):
        return remedy
    # Both are simulated: a model is compared with itself, not with what was measured.
    played = [play_cell(SimulatedCell(scenario.resolved())) for scenario in (before, after)]
    return replace(remedy, predicted=_describe_effect(*played))


def _describe_effect(before: RunFigures, after: RunFigures) -> str:
    def figures(played: RunFigures) -> str:
        complete = format_value(played.values["completed_by_deadline_ratio"] or 0.0, "ratio")
        p95_s = played.values["delivery_p95_s"]
        delivery = "p95 of delivery is infinite" if p95_s is None else f"p95 of delivery {format_value(p95_s, 's')}"
        return f"{complete} of stations by the deadline, {delivery}"

    return f"Simulated: {figures(after)}; without the change {figures(before)}. A model says so, not a measurement."
