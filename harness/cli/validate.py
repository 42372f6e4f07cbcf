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
    planning,
    warnings_of,
)
from harness.plan import Plan, capacity, make_plan
from harness.plan.demand import estimate_connections, forecast_load, parse_worker_count
from harness.plan.readers import count_reads
from harness.plan.server_demand import ResourceDemand, ServerDemand, estimate_server_demand
from harness.run_folder.tables import read_planned_due
from harness.scenario import loader
from harness.scenario.scenario import Scenario
from reports import terminal
from reports.number_format import format_bytes, format_count, format_duration, format_quantity, format_ratio, plural

_UNITS = {"workers": "", "ingress": "B/s", "connections": "", "commits": "per_s"}


def validate(source: ScenarioName, overrides: Overrides = [], seed: Seed = None, workers: Workers = None) -> None:
    """Check a scenario: size, peak rates, does it fit this machine."""
    loaded = loader.load_scenario(source, overrides, seed, read_planned_due)
    check_scenario(source, loaded)
    number = parse_worker_count(workers)
    with planning(source):
        plan = make_plan(loaded)
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
        *_readers(loaded),
        ["faults", str(len(loaded.faults)), ", ".join(f"{fault.name} ({fault.kind})" for fault in loaded.faults)],
        ["thresholds", str(len(loaded.thresholds)), "and that no acknowledged page is lost"],
    ]
    # The URL of an external target is only given to harness run: assume loopback.
    address = None if loaded.target is None else capacity.LOOPBACK
    limits = read_host_limits()
    rows.append(_connections(capacity.estimate_port_usage(loaded, plan, sending_workers, address, limits)))
    terminal.print_table(["", loaded.name, ""], rows)
    print()
    _print_arithmetic(loaded, plan)
    print()
    terminal.print_lines(warnings_of(loaded, plan))
    check_fits(source, capacity.find_capacity_problems(loaded, plan, sending_workers, address, limits))
    print("Fits this machine. Valid.")


def _readers(loaded: Scenario) -> list[list[str]]:
    readers = loaded.readers
    if readers is None:
        return []
    reads = count_reads(readers, loaded.seed, loaded.deadline)
    named = f"{format_count(len(readers.paths))} paths" if readers.paths else ", ".join(readers.levels)
    how = "" if readers.cached else "; no cache may answer"
    rate = f"{readers.rate:,.4g}/s"
    return [["readers", rate, f"{format_count(reads)} reads until the deadline: {named}{how}"]]


def _print_arithmetic(loaded: Scenario, plan: Plan) -> None:
    """What the plan asks of the server, resource by resource, and what follows from it."""
    demand = estimate_server_demand(loaded, plan)
    hanging = estimate_connections(plan, loaded.client, loaded.deadline).stations_at_once
    notes = {
        "workers": _describe_work(demand),
        "ingress": f"sustained; {format_bytes(demand.total_bytes)} of photos",
        "connections": f"open at once; {format_count(hanging)} if the server hangs",
        "commits": f"sustained; {plural(demand.pages, 'page')} to store",
    }
    rows = [
        [
            one.resource,
            format_quantity(one.needed, _UNITS[one.resource]),
            _available(one, loaded),
            "" if one.used_ratio is None else format_ratio(one.used_ratio),
            notes[one.resource],
        ]
        for one in demand.resources
    ]
    terminal.print_table(["of the server", "at least", "it has", "used", ""], rows)
    for line in _conclusions(demand, loaded):
        print(line)


def _describe_work(demand: ServerDemand) -> str:
    page_s = demand.work_s / demand.pages if demand.pages else 0.0
    text = f"{format_duration(demand.work_s)} of work: {format_duration(page_s)} per page"
    without = demand.workers_without_faults
    same = without is None or without == demand.of("workers").needed
    return text if same else f"{text}; {without} workers without the faults"


def _available(one: ResourceDemand, loaded: Scenario) -> str:
    if loaded.target is not None:
        return "not known"
    return "no limit" if one.available is None else format_quantity(one.available, _UNITS[one.resource])


def _conclusions(demand: ServerDemand, loaded: Scenario) -> list[str]:
    """What the arithmetic shows, one sentence per line."""
    lines = []
    if demand.too_late:
        stations = plural(demand.too_late, "station")
        lines.append(f"{stations} arrive too late to be complete by the deadline, and are not counted.")
    for one in demand.resources:
        if not one.is_enough:
            has, least = (format_quantity(value, _UNITS[one.resource]) for value in (one.available, one.needed))
            lines.append(f"Not enough {one.resource}: the plan needs at least {least}, and the server has {has}.")
    spare_s = loaded.deadline - demand.earliest_finish_s
    when = f"{format_duration(abs(spare_s))} {'before' if spare_s >= 0 else 'after'} the deadline"
    binding = demand.binding
    verb = "binds" if binding is not None and binding.resource == "ingress" else "bind"
    binds = f"; {binding.resource} {verb}" if binding is not None else "; what the server has is not known"
    lines.append(f"Earliest finish: {format_duration(demand.earliest_finish_s)}, {when}{binds}.")
    lines.append("Necessary, not sufficient: retries, queues and refusals ask for more.")
    return lines


def _connections(usage: capacity.PortUsage) -> list[str]:
    most = "open at once if the server hangs" if usage.cause == "open" else f"made within {usage.kept_s:g} s"
    spare = f"leaves {format_count(int(usage.spare_per_s))} ports a second for retries"
    return ["connections", format_count(usage.needed), f"{most}, of {format_count(usage.available)} ports; {spare}"]


def _after_deadline(stations: int) -> str:
    return f"{format_count(stations)} stations arrive after it" if stations else "all stations arrive before it"
