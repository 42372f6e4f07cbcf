"""`harness scenarios`, `init` and `validate`: before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.base.errors import UsageError
from harness.base.host_limits import read_host_limits
from harness.cli.options import (
    Overrides,
    ScenarioName,
    Seed,
    Workers,
    auto_workers,
    check_fits,
    check_thresholds,
    warnings_of,
)
from harness.plan import capacity, make_plan
from harness.plan.peak_load import forecast_load
from harness.plan.worker_count import parse_worker_count
from harness.run_folder.tables import read_planned_due
from harness.scenario import loader
from reports import terminal
from reports.number_format import format_bytes, format_count


def scenarios() -> None:
    """Say what ships, one line each."""
    terminal.print_table(["scenario", "what it shows"], list(loader.shipped_scenarios().items()))


def init(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new scenario.")]) -> None:
    """Write NAME.toml, a commented scenario to start from."""
    path = Path(f"{name}.toml")
    text = loader.scenario_template(name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        message = f"{path} exists already: remove it or choose another name"
        raise UsageError(message) from None
    print(f"Wrote {path}. Next: harness validate {path}; harness run {path}")


def validate(source: ScenarioName, overrides: Overrides = [], seed: Seed = None, workers: Workers = None) -> None:
    """Check a scenario, plan it dry: MB, peaks, does it fit here."""
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_thresholds(source, loaded)
    number, plan = parse_worker_count(workers), make_plan(loaded)
    senders = number or auto_workers(loaded, plan)
    numbers = forecast_load(plan, loaded.deadline)
    closed = "" if plan.rounds is None else f" at the earliest ({format_count(len(plan.rounds.phones))} phones)"
    rows = [
        [
            "stations",
            format_count(numbers.stations),
            f"turning up from {numbers.first_s:.1f} s to {numbers.last_s:.1f} s{closed}",
        ],
        ["pages", format_count(numbers.pages), f"{format_bytes(numbers.total_bytes)} in all"],
        [
            "uploads, peak",
            f"{numbers.peak_uploads_per_s:,.0f}/s",
            f"{format_bytes(numbers.peak_bytes_per_s)}/s in that second",
        ],
        ["uploads, mean", f"{numbers.mean_uploads_per_s:,.1f}/s", "until the last station turns up"],
        ["deadline", f"{loaded.deadline:g} s", _after_deadline(numbers.beyond_deadline) + closed],
        ["faults", str(len(loaded.faults)), ", ".join(f"{fault.name} ({fault.kind})" for fault in loaded.faults)],
        ["thresholds", str(len(loaded.thresholds)), "and that nothing acknowledged is lost"],
    ]
    address = None if loaded.target is None else capacity.LOOPBACK
    limits = read_host_limits()
    rows.append(_connections(capacity.estimate_port_usage(loaded, plan, senders, address, limits)))
    terminal.print_table(["", loaded.name, ""], rows)
    terminal.print_lines(warnings_of(loaded, plan))
    check_fits(source, capacity.find_capacity_problems(loaded, plan, senders, address, limits))
    print("Fits this machine. Valid.")


def _connections(room: capacity.PortUsage) -> list[str]:
    most = "open at once if the server hangs" if room.why == "open" else f"made within {room.kept_s:g} s"
    spare = f"retries have {format_count(int(room.spare_per_s))} a second left"
    return ["connections", format_count(room.taken), f"{most}, of {format_count(room.there)} ports; {spare}"]


def _after_deadline(stations: int) -> str:
    return f"{format_count(stations)} stations turn up after it" if stations else "all stations turn up before it"
