"""The table of an experiment: a row a variant, in words. Pure; page and terminal show it."""

from __future__ import annotations

from harness.analysis.experiment import CellFigures, ExperimentFigures, PairedDifference, VariantFigures
from reports.number_format import format_quantity

HEADERS = ("variant", "delivery p50", "p95", "amplification", "sent again", "wasted work", "recovery", "safety")


def headers(figures: ExperimentFigures) -> list[str]:
    """Headers, with a column for each moment at which completion is told."""
    moments = [f"complete at {moment_label(figures, moment)}" for moment in figures.at_s]
    return [HEADERS[0], *moments, "at the deadline", "against the first", *HEADERS[1:]]


def moment_label(figures: ExperimentFigures, moment_s: float) -> str:
    """A moment as the reader knows it: in the election's hours where a second stands for an hour."""
    return f"{moment_s * figures.time_scale / 3600:g} h" if figures.time_scale >= 60 else f"{moment_s:g} s"


def rows(figures: ExperimentFigures) -> list[list[str]]:
    """A row a variant, in the order of the file."""
    return [_row(figures, variant) for variant in figures.variants]


BRIEF_COLUMNS = ("variant", "at the deadline", "against the first", "amplification", "wasted work", "safety")


def brief_table(figures: ExperimentFigures) -> tuple[list[str], list[list[str]]]:
    """The columns that fit a terminal: headers and rows."""
    names = headers(figures)
    moments = names[1 : 1 + len(figures.at_s)]
    chosen = [number for number, name in enumerate(names) if name in BRIEF_COLUMNS or name in moments]
    return [names[number] for number in chosen], [[row[number] for number in chosen] for row in rows(figures)]


def ranked(figures: ExperimentFigures) -> list[VariantFigures]:
    """Variants that have cells, the one with most stations complete by the deadline first."""
    known = [variant for variant in figures.variants if variant.cells]
    return sorted(known, key=lambda variant: -(variant.mean["completed_by_deadline_ratio"] or 0.0))


def finding(figures: ExperimentFigures) -> str:
    """The best variant against the first one, in a sentence."""
    order, first = ranked(figures), figures.variants[0]
    if not order or not first.cells:
        return "No cell has finished yet"
    best, base = order[0], first.mean["completed_by_deadline_ratio"]
    if best.name == first.name:
        return f"Nothing did better than “{first.name}”: {_format_ratio(base)} of stations complete by the deadline"
    share = _format_ratio(best.mean["completed_by_deadline_ratio"])
    return f"“{best.name}” brought {share} of stations home by the deadline, “{first.name}” {_format_ratio(base)}"


def _row(figures: ExperimentFigures, variant: VariantFigures) -> list[str]:
    cells = variant.cells
    if not cells:
        return [variant.name, *([""] * (len(headers(figures)) - 1))]
    is_first = variant.name == figures.variants[0].name
    return [
        variant.name,
        *(_format_ratio(_mean([cell.completed_at[f"{moment:g}"] for cell in cells])) for moment in figures.at_s),
        _format_ratio(variant.mean["completed_by_deadline_ratio"]),
        "" if is_first else format_difference(variant.difference["completed_by_deadline_ratio"]),
        _format_wait(variant, "delivery_p50_s"),
        _format_wait(variant, "delivery_p95_s"),
        format_quantity(variant.mean["amplification"], ""),
        _format_ratio(variant.mean["resent_ratio"]),
        format_quantity(variant.mean["wasted_work"], ""),
        _recovery(cells),
        _safety(cells),
    ]


def format_difference(found: PairedDifference | None) -> str:
    """A paired difference of shares in percentage points, with its interval."""
    if found is None:
        return ""
    mean = f"{found.mean * 100:+.0f} points"
    if found.low is None or found.high is None:
        return mean
    return f"{mean} ({found.low * 100:+.0f} to {found.high * 100:+.0f})"


def _format_wait(variant: VariantFigures, figure: str) -> str:
    if variant.mean[figure] is not None:
        return format_quantity(variant.mean[figure], "s")
    return "never" if any(cell.never_arrived for cell in variant.cells) else "n/a"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _format_ratio(value: float | None) -> str:
    return "" if value is None else format_quantity(value, "ratio")


def _recovery(cells: list[CellFigures]) -> str:
    never = sum(cell.never_recovered for cell in cells)
    if never:
        metastable = sum(cell.metastable is True for cell in cells)
        said = "never" if never == len(cells) else f"never in {never} of {len(cells)}"
        return f"{said} (metastable{'' if metastable == never else f' in {metastable}'})" if metastable else said
    known = [cell.recovered_after_s for cell in cells if cell.recovered_after_s is not None]
    return format_quantity(max(known), "s") if known else ""


def _safety(cells: list[CellFigures]) -> str:
    lost = [cell for cell in cells if cell.safety is False]
    unknown = [cell for cell in cells if cell.safety is None]
    invalid = [cell for cell in cells if not cell.valid]
    said = "LOST" if lost else "unknown" if unknown else "nothing lost"
    return f"{said}; {len(invalid)} of {len(cells)} INVALID" if invalid else said
