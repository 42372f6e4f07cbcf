"""`harness validate`: what a scenario will do, and whether it fits this machine, without running it."""

from __future__ import annotations

from harness.base.host import read_host_limits
from harness.cli.options import (
    Overrides,
    ScenarioName,
    Seed,
    Workers,
    auto_workers,
    check_fits,
    check_scenario,
    warnings_of,
)
from harness.plan import capacity, make_plan
from harness.plan.demand import forecast_load, parse_worker_count
from harness.run_folder.tables import read_planned_due
from harness.scenario import loader
from reports import terminal
from reports.number_format import format_bytes, format_count


def validate(source: ScenarioName, overrides: Overrides = [], seed: Seed = None, workers: Workers = None) -> None:
    """Check a scenario: size, peak rates, does it fit this machine."""
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_scenario(source, loaded)
    number, plan = parse_worker_count(workers), make_plan(loaded)
    sending_workers = number or auto_workers(loaded, plan)
    numbers = forecast_load(plan, loaded.deadline)
    closed = (
        "" if plan.closed_loop is None else f" at the earliest ({format_count(len(plan.closed_loop.phones))} phones)"
    )
    rows = [
        [
            "stations",
            format_count(numbers.stations),
            f"arriving from {numbers.first_s:.1f} s to {numbers.last_s:.1f} s{closed}",
        ],
        ["pages", format_count(numbers.pages), f"{format_bytes(numbers.total_bytes)} in all"],
        [
            "uploads, peak",
            f"{numbers.peak_uploads_per_s:,.0f}/s",
            f"{format_bytes(numbers.peak_bytes_per_s)}/s in that second",
        ],
        ["uploads, mean", f"{numbers.mean_uploads_per_s:,.1f}/s", "until the last station arrives"],
        ["deadline", f"{loaded.deadline:g} s", _after_deadline(numbers.beyond_deadline) + closed],
        ["faults", str(len(loaded.faults)), ", ".join(f"{fault.name} ({fault.kind})" for fault in loaded.faults)],
        ["thresholds", str(len(loaded.thresholds)), "and that no acknowledged page is lost"],
    ]
    # The URL of an external target is only given to harness run: assume loopback.
    address = None if loaded.target is None else capacity.LOOPBACK
    limits = read_host_limits()
    rows.append(_connections(capacity.estimate_port_usage(loaded, plan, sending_workers, address, limits)))
    terminal.print_table(["", loaded.name, ""], rows)
    terminal.print_lines(warnings_of(loaded, plan))
    check_fits(source, capacity.find_capacity_problems(loaded, plan, sending_workers, address, limits))
    print("Fits this machine. Valid.")


def _connections(usage: capacity.PortUsage) -> list[str]:
    most = "open at once if the server hangs" if usage.cause == "open" else f"made within {usage.kept_s:g} s"
    spare = f"leaves {format_count(int(usage.spare_per_s))} ports a second for retries"
    return ["connections", format_count(usage.needed), f"{most}, of {format_count(usage.available)} ports; {spare}"]


def _after_deadline(stations: int) -> str:
    return f"{format_count(stations)} stations arrive after it" if stations else "all stations arrive before it"
