"""Makes a run folder of any number of attempts in seconds, as input for `benchmarks.report`.

Nothing is sent. The files are those of a real run in its formats: run.json, plan, journals (a BEGIN and an END record per
attempt), one scrape per second of every worker and of the server with all their series, and what the server has stored.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report.synthetic_attempts import (
    BROWNOUT_RATIOS,
    MAX_ATTEMPTS,
    PAGES_PER_STATION,
    SyntheticAttempts,
    make_attempts,
    write_scrapes,
)
from harness.base.host import describe_host, package_versions
from harness.base.model import DELIVERED, OUTCOMES, Outcome, Station
from harness.plan.regions import load_region
from harness.run_folder import journal
from harness.run_folder.journal import RECORD, RecordKind
from harness.run_folder.layout import (
    FaultRecord,
    PhaseRecord,
    RunEnd,
    RunFolder,
    RunRecord,
    StoreReadRecord,
    WorkerRecord,
)
from harness.run_folder.parquet import database, write_parquet
from harness.run_folder.tables import PLAN_COLUMNS, write_plan
from harness.scenario.loader import load_scenario

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]


SEED = 20240214
T0_EPOCH = 1_707_901_200.0
_SCENARIO = """
name = "big"
title = "Election night for {stations} stations and one overloaded server"
seed = {seed}
deadline = "{deadline}s"
time_scale = {time_scale}
[stations]
region = "{region}"
count = {stations}
[arrivals]
kind = "curve"
points = [["0s", 0.0], ["{half}s", 0.5], ["{last}s", 1.0]]
[client]
timeout = "10s"
retry = {{ strategy = "full_jitter", base = "1s", cap = "30s", max_attempts = {tries} }}
[server]
[[faults]]
name = "brownout"
kind = "capacity"
start = "{start}s"
duration = "{duration}s"
factor = 0.2
[[thresholds]]
assert = "p95(delivery_seconds) < 600s"
[[thresholds]]
assert = 'p99(response_seconds{{outcome="accepted"}}) < 10s'
[[thresholds]]
assert = 'ratio(attempts{{outcome="unavailable"}}) < 90% during "brownout"'
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 50%"
"""
_STATUS = {
    Outcome.ACCEPTED: 201, Outcome.REPLAYED: 200, Outcome.UNAVAILABLE: 503, Outcome.THROTTLED: 429, Outcome.SERVER_ERROR: 500,
}  # fmt: skip
_STATUS_OF = np.array([_STATUS.get(outcome, 0) for outcome in OUTCOMES], dtype=np.uint16)


@dataclass(frozen=True)
class RunSize:
    """The length of a run of so many attempts, and the number of its workers."""

    attempts: int
    deadline_s: int
    workers: int


def choose_size(attempts: int) -> RunSize:
    """A size at which no more than about 3,000 attempts fall into a second, as in a run that a machine could make."""
    for most, deadline_s, workers in ((30_000, 72, 1), (300_000, 300, 1), (3_000_000, 900, 2)):
        if attempts <= most:
            return RunSize(attempts, deadline_s, workers)
    return RunSize(attempts, 3600, 4)


def make_run(folder: RunFolder, attempts: int, seed: int = SEED) -> int:
    """Write a run of about `attempts` attempts into a new folder; return the exact number."""
    size, rng = choose_size(attempts), np.random.default_rng(seed)
    # attempts per station depend on the retries: a pilot of 3,000 stations tells how many stations are needed
    pilot = make_attempts(_arrival_times(3000, size.deadline_s, rng), size.deadline_s, rng)
    wanted = round(attempts * 3000 / len(pilot.page))
    stations, region = _stations(wanted)
    due_s = _arrival_times(len(stations), size.deadline_s, rng)
    made = make_attempts(due_s, size.deadline_s, rng)
    folder.create()
    delivered = _write_plan_and_stored(folder, stations, due_s, made, rng)
    for rank in range(size.workers):
        _write_journal(folder, rank, size.workers, made, rng)
    write_scrapes(folder, size.workers, due_s, made)
    folder.write_run(make_run_record(folder, region, len(stations), size.deadline_s, size.workers, made, seed))
    sys.stdout.write(
        f"{folder.path}: {len(made.page):,} attempts, {len(stations) * PAGES_PER_STATION:,} pages, {delivered:,} delivered\n"
    )
    return len(made.page)


def _stations(wanted: int) -> tuple[list[Station], str]:
    """So many stations of the smallest region that has them, evenly distributed; at most all of Indonesia."""
    for region in ("kaliwates", "jember", "provinces"):
        stations = load_region(region)
        if len(stations) >= wanted or region == "provinces":
            count = min(wanted, len(stations))
            return [stations[number * len(stations) // count] for number in range(count)], region
    raise AssertionError


def _arrival_times(stations: int, deadline_s: float, rng: np.random.Generator) -> FloatArray:
    due_s = np.interp(rng.random(stations), [0.0, 0.5, 1.0], [0.0, deadline_s / 9, deadline_s / 2])
    return np.asarray(due_s, dtype=np.float64)


def _write_plan_and_stored(
    folder: RunFolder, stations: list[Station], due_s: FloatArray, made: SyntheticAttempts, rng: np.random.Generator
) -> int:
    """Write plan.parquet and stored.parquet; return the number of delivered pages."""
    pages = len(stations) * PAGES_PER_STATION
    codes = np.repeat(np.array([station.code for station in stations], dtype=object), PAGES_PER_STATION)
    number = np.tile(np.arange(1, PAGES_PER_STATION + 1), len(stations))
    votes = rng.integers(5, 110, (len(stations), PAGES_PER_STATION)).tolist()
    readings = np.full(pages, "", dtype=object)
    readings[1::PAGES_PER_STATION] = [f'{{"chart":{{"100025":{a},"100026":{b},"100027":{c}}}}}' for a, b, c in votes]
    sha256 = [hashlib.sha256(b"%d" % index).hexdigest() for index in range(pages)]
    columns = dict(
        zip(
            PLAN_COLUMNS,
            (codes, np.full(pages, "ppwp", dtype=object), number, np.repeat(due_s, PAGES_PER_STATION),
             rng.choice([1_300_000, 1_600_000, 1_900_000], pages), np.array(sha256, dtype=object), readings),
            strict=True,
        )
    )  # fmt: skip
    write_plan(folder.plan, columns)
    delivered = np.isin(made.outcome, [OUTCOMES.index(kind) for kind in DELIVERED])
    stored = {"page": made.page[delivered], "stored_at": T0_EPOCH + made.done_s[delivered]}
    with database(held=stored) as connection:
        plan = f"read_parquet('{folder.plan}', file_row_number = true)"
        columns_of = "plan.station, plan.form, plan.page, plan.sha256, plan.size_bytes, plan.reading, held.stored_at"
        write_parquet(
            connection,
            f"SELECT {columns_of} FROM held JOIN {plan} AS plan ON plan.file_row_number = held.page"  # noqa: S608 - constants
            " ORDER BY plan.station, plan.form, plan.page",
            folder.stored,
        )
    return int(delivered.sum())


def _write_journal(
    folder: RunFolder, rank: int, workers: int, made: SyntheticAttempts, rng: np.random.Generator
) -> None:
    """Write one worker's journal: stations are assigned in turn, records are in order of time."""
    mine = np.flatnonzero(made.page // PAGES_PER_STATION % workers == rank)
    over = np.flatnonzero(made.gave_up_page // PAGES_PER_STATION % workers == rank)
    records = np.zeros(2 * len(mine) + len(over), dtype=RECORD)
    for name in (name for name in RECORD.names or () if name.endswith("_s")):
        records[name] = np.nan
    begin, end, gave_up = records[: len(mine)], records[len(mine) : 2 * len(mine)], records[2 * len(mine) :]
    for part, kind in ((begin, RecordKind.BEGIN), (end, RecordKind.END)):
        part["kind"], part["page"], part["attempt"] = kind, made.page[mine], made.attempt[mine]
        part["due_s"], part["sent_s"] = made.due_s[mine], made.sent_s[mine]
    _fill_end_records(end, made, mine, rng)
    gave_up["kind"], gave_up["page"], gave_up["attempt"] = (
        RecordKind.GAVE_UP, made.gave_up_page[over], made.gave_up_attempts[over],
    )  # fmt: skip
    gave_up["status"], gave_up["done_s"] = made.gave_up_reason[over], made.gave_up_s[over]
    moment = np.concatenate([made.sent_s[mine], made.done_s[mine], made.gave_up_s[over]])
    records[np.argsort(moment, kind="stable")].tofile(folder.journal / journal.journal_file_name(rank))


def _fill_end_records(
    end: npt.NDArray[np.void], made: SyntheticAttempts, mine: IntArray, rng: np.random.Generator
) -> None:
    outcome, attempt = made.outcome[mine], made.attempt[mine]
    took_s = made.done_s[mine] - made.sent_s[mine]
    sent_bytes = rng.choice([1_300_600, 1_600_600, 1_900_600], len(mine))
    end["outcome"], end["status"] = outcome, _STATUS_OF[outcome]
    end["sent_bytes"], end["resent_bytes"] = sent_bytes, np.where(attempt > 1, sent_bytes, 0)
    end["connected_s"] = made.sent_s[mine] + 0.02 * took_s
    end["body_sent_s"] = made.sent_s[mine] + 0.3 * took_s
    end["done_s"] = made.done_s[mine]
    answered = _STATUS_OF[outcome] > 0
    end["first_byte_s"] = np.where(answered, made.done_s[mine] - 1e-4, np.nan)
    end["retry_after_s"] = np.where(end["status"] == 503, 2.0, np.nan)
    end["login_s"] = np.where((made.page[mine] % PAGES_PER_STATION == 0) & (attempt == 1), 0.05 * took_s, np.nan)
    end["queue_s"] = np.where(answered, 0.2 * took_s, np.nan)
    end["server_s"] = np.where(answered, 0.4 * took_s, np.nan)


def make_run_record(
    folder: RunFolder, region: str, stations: int, deadline_s: int, workers: int, made: SyntheticAttempts, seed: int
) -> RunRecord:
    """The content of run.json: scenario, workers, phases, faults and end of the synthetic run."""
    start_s, end_s = (round(share * deadline_s) for share in BROWNOUT_RATIOS)
    toml = folder.path / "big.toml"
    toml.write_text(
        _SCENARIO.format(
            stations=stations, seed=seed, deadline=deadline_s, region=region, time_scale=259_200 / deadline_s,
            half=deadline_s / 9, last=deadline_s / 2, tries=MAX_ATTEMPTS, start=start_s, duration=end_s - start_s,
        ), encoding="utf-8",
    )  # fmt: skip
    scenario = load_scenario(str(toml))
    toml.unlink()
    ended_s = float(made.done_s.max()) + 0.2
    per_worker = np.bincount(made.page // PAGES_PER_STATION % workers, minlength=workers).tolist()
    return RunRecord(
        id=folder.path.name,
        name=scenario.name,
        title=scenario.title,
        scenario=scenario.resolved(),
        seed=seed,
        target="http://127.0.0.1:8080",
        own_server=True,
        deadline_s=deadline_s,
        time_scale=scenario.time_scale,
        client_timeout_s=10.0,
        workers=[WorkerRecord(rank=rank, attempts=count) for rank, count in enumerate(per_worker)],
        versions=package_versions(),
        host=describe_host(),
        command=["python", "-m", "benchmarks.report.synthetic_run"],
        t0_epoch=T0_EPOCH,
        phases=[
            PhaseRecord(name="clear", start_s=0.0, end_s=start_s),
            PhaseRecord(name="brownout", start_s=start_s, end_s=end_s),
            PhaseRecord(name="clear", start_s=end_s, end_s=max(ended_s, deadline_s)),
        ],
        faults=[FaultRecord(name="brownout", kind="capacity", start_s=start_s, end_s=end_s)],
        ended=RunEnd(how="deadline", at_s=max(ended_s, deadline_s)),
        stock=StoreReadRecord(),
    )


def main() -> None:
    """Make one run folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--attempts", type=int, default=1_000_000)
    options = parser.parse_args()
    make_run(RunFolder(options.out), options.attempts)


if __name__ == "__main__":
    main()
