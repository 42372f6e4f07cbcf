"""`harness fit`: constants for a simulation, or a model of a server, from measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.base.signals import SignalHandler
from harness.base.toml_text import toml_value
from harness.cli.options import command_line, own_assertions, run_folder, runs_in
from harness.run_folder.tables import read_planned_due
from harness.runner.against import predict_runs
from harness.runner.fit import Fit, fit_runs, write_fit
from harness.scenario import loader
from harness.simulate.fitting.costs import CostEstimate
from harness.simulate.fitting.server_model import ServerFit
from reports import terminal
from reports.number_format import format_byte_rate, format_count, format_duration, format_ratio, plural

_COST_HEADERS = ("constant", "median", "p10", "p90", "attempts")


def fit(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of measured runs, or folders of such folders; for an external server at several loads, one of them light.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The scenario file to write; must not exist.")],
    check: Annotated[list[Path], typer.Option("--check", metavar="RUN", help="A run to hold the fit against that it was not fitted to.")] = [],
    server: Annotated[bool, typer.Option("--server", help="Fit a whole [server] to runs of the mock server, too, from what its clients measured.")] = False,
    distributions: Annotated[bool, typer.Option("--distributions", help="Write the costs of the mock server as distributions instead of medians.")] = False,
) -> None:  # fmt: skip
    """Fit a simulation to measured runs and write it as a scenario for harness simulate.

    Runs of the mock server give the constants of [simulate]; runs of an external server the whole table [server]: workers,
    service times, queue and contention. The fit is then held against each run: predicted beside measured.
    """
    if out.exists():
        message = f"--out {out} already exists: remove it or choose another name"
        raise UsageError(message)
    folders = [folder for path in runs for folder in runs_in(run_folder(path).path)]
    checks = [folder for path in check for folder in runs_in(run_folder(path).path)]
    with SignalHandler() as signals:
        fitted = fit_runs(folders, as_external=server, distributions=distributions)
        write_fit(out, fitted, command_line())
        _print_fit(fitted)
        model = loader.load_scenario(str(out), (), None, read_planned_due)
        found = predict_runs([*folders, *checks], model, own_assertions, models_mock=server)
        from reports.against import ERROR_HEADERS, against_finding, error_rows  # noqa: PLC0415 - Matplotlib takes half a second to import

        print("\nPredicted minus measured, of each run:")
        labels = [*("" for _ in folders), *(" (not fitted to)" for _ in checks)]
        rows = [[row[0] + label, *row[1:]] for row, label in zip(error_rows(found), labels, strict=True)]
        terminal.print_table(ERROR_HEADERS, rows)
        print(f"{against_finding(found)}.\n\nWrote {out}. Next: harness simulate {out}")
        if signals.received is not None:
            raise typer.Exit(128 + signals.received)


def _print_fit(fitted: Fit) -> None:
    if fitted.costs is not None:
        terminal.print_table(_COST_HEADERS, _cost_rows(fitted.costs.estimates))
        kept = [[f"simulate.{name}", why] for name, why in fitted.costs.kept.items()]
        if kept:
            print()
            terminal.print_table(("kept as it was", "why"), kept)
    if fitted.server is not None:
        terminal.print_table(("key", "fitted", "rests on"), _model_rows(fitted.server))
        print()
        terminal.print_table(_COST_HEADERS, _cost_rows(fitted.server.estimates))
        if fitted.basis:
            print()
            terminal.print_lines(fitted.basis)


def _cost_rows(estimates: Sequence[CostEstimate]) -> list[list[str]]:
    return [
        [f"simulate.{one.name}", *(_format_cost(one.name, value) for value in (one.median, one.low, one.high)), format_count(one.samples)]
        for one in estimates
    ]  # fmt: skip


def _format_cost(name: str, value: float) -> str:
    return format_byte_rate(value) if name == "send" else format_duration(value)


def _model_rows(fitted: ServerFit) -> list[list[str]]:
    """One row per key of [server]: its value, and what it was fitted to and how well."""
    law, capacity, server = fitted.law, fitted.capacity, fitted.server
    model_per_s = capacity.rate_per_s(law.mean_s)
    counted = (
        "never saturated for long" if fitted.saturation_per_s is None else f"{fitted.saturation_per_s:.1f}/s measured"
    )
    rows = [
        ["workers", str(server.workers), f"saturation throughput {model_per_s:.1f}/s, {counted}; responses by the number found off by {format_ratio(capacity.error_ratio)} on average"],
        ["service_time", toml_value(law.service_time.model_dump(mode="json", exclude_none=True)), f"{format_count(law.samples)} uploads that found the server empty; greatest distance between the distributions {law.distance:.3f}"],
    ]  # fmt: skip
    if law.bytes_per_s is not None:
        rows.append(["bytes_per_s", format_byte_rate(law.bytes_per_s), "the same uploads, by size"])
    if capacity.knee is not None:
        rows.append(["contention_knee", str(capacity.knee), "responses of uploads that found a free worker"])
        rows.append(["contention_slope", f"{capacity.slope:.3f}", "the same"])
    if fitted.refused_at is None:
        rows.append(["shed", server.shed, f"{plural(fitted.refusals, 'refusal')}: too few to show a bound"])
    else:
        low, _, high = fitted.refused_at
        found = f"{plural(fitted.refusals, 'refusal')}, the middle half with {low:.0f} to {high:.0f} in the server"
        rows += [["shed", server.shed, found], ["queue_capacity", str(server.queue_capacity), "the same"]]
        rows.append(["retry_after", server.retry_after, "Retry-After of the refusals"])
    return rows
