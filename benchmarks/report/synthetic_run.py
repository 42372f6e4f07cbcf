"""A run folder of as many attempts as one likes, in seconds: what `benchmarks.report` draws.

Nothing is driven: stations turn up along the kaliwates scenario's curve, the server sheds, times out and answers with a heavy
tail, worst while it is overloaded and in a brownout, and the stations try again with full jitter, at most 12 times. The files
are those of a real run, in its formats: run.json, plan, the journals (a BEGIN and an END an attempt), a scrape a second of
every worker and of the server with all their series, and what the server holds.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report.synthetic_record import T0_EPOCH, make_run_record
from benchmarks.report.synthetic_rows import PAGES_PER_STATION, SyntheticAttempts, make_attempts
from benchmarks.report.synthetic_scrapes import write_scrapes
from harness.base.model import DELIVERED, OUTCOMES, Outcome, Station
from harness.plan.regions import load_region
from harness.run_folder import journal
from harness.run_folder.journal import RECORD, RecordKind
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, write_parquet
from harness.run_folder.tables import PLAN_COLUMNS, write_plan

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

SEED = 20240214
_STATUS = {
    Outcome.ACCEPTED: 201, Outcome.REPLAYED: 200, Outcome.UNAVAILABLE: 503, Outcome.THROTTLED: 429, Outcome.SERVER_ERROR: 500,
}  # fmt: skip
_STATUS_OF = np.array([_STATUS.get(outcome, 0) for outcome in OUTCOMES], dtype=np.uint16)


@dataclass(frozen=True)
class RunSize:
    """How long a run of so many attempts takes, and how many workers send it."""

    attempts: int
    deadline_s: int
    workers: int


def choose_size(attempts: int) -> RunSize:
    """A size at which a rate of up to 3,000 attempts a second is left to the machine."""
    for most, deadline_s, workers in ((30_000, 72, 1), (300_000, 300, 1), (3_000_000, 900, 2)):
        if attempts <= most:
            return RunSize(attempts, deadline_s, workers)
    return RunSize(attempts, 3600, 4)


def make_run(folder: RunFolder, attempts: int, seed: int = SEED) -> int:
    """Fill an empty folder with a run of about `attempts` attempts; how many it has."""
    size, rng = choose_size(attempts), np.random.default_rng(seed)
    pilot = make_attempts(_arrival_times(3000, size.deadline_s, rng), size.deadline_s, rng)
    wanted = round(attempts * 3000 / len(pilot.page))
    stations, region = _stations(wanted)
    due_s = _arrival_times(len(stations), size.deadline_s, rng)
    tried = make_attempts(due_s, size.deadline_s, rng)
    folder.create()
    delivered = _write_plan_and_stored(folder, stations, due_s, tried, rng)
    for rank in range(size.workers):
        _write_journal(folder, rank, size.workers, tried, rng)
    write_scrapes(folder, size.workers, due_s, tried)
    folder.write_run(make_run_record(folder, region, len(stations), size.deadline_s, size.workers, tried, seed))
    sys.stdout.write(
        f"{folder.path}: {len(tried.page):,} attempts, {len(stations) * PAGES_PER_STATION:,} pages, {delivered:,} delivered\n"
    )
    return len(tried.page)


def _stations(wanted: int) -> tuple[list[Station], str]:
    """So many stations of the smallest region that has them, spread as the plan spreads them; at most all of Indonesia's."""
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
    folder: RunFolder, stations: list[Station], due_s: FloatArray, tried: SyntheticAttempts, rng: np.random.Generator
) -> int:
    """Write plan.parquet and stored.parquet; how many pages were delivered."""
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
    through = np.isin(tried.outcome, [OUTCOMES.index(one) for one in DELIVERED])
    stored = {"page": tried.page[through], "stored_at": T0_EPOCH + tried.done_s[through]}
    with database(held=stored) as connection:
        plan = f"read_parquet('{folder.plan}', file_row_number = true)"
        columns_of = "plan.station, plan.form, plan.page, plan.sha256, plan.size_bytes, plan.reading, held.stored_at"
        write_parquet(
            connection,
            f"SELECT {columns_of} FROM held JOIN {plan} AS plan ON plan.file_row_number = held.page"  # noqa: S608 - ours
            " ORDER BY plan.station, plan.form, plan.page",
            folder.stored,
        )
    return int(through.sum())


def _write_journal(
    folder: RunFolder, rank: int, workers: int, tried: SyntheticAttempts, rng: np.random.Generator
) -> None:
    """One worker's journal: stations are dealt out like cards, records stand in the order of their moments."""
    mine = np.flatnonzero(tried.page // PAGES_PER_STATION % workers == rank)
    over = np.flatnonzero(tried.gave_up_page // PAGES_PER_STATION % workers == rank)
    records = np.zeros(2 * len(mine) + len(over), dtype=RECORD)
    for name in (name for name in RECORD.names or () if name.endswith("_s")):
        records[name] = np.nan
    begin, end, gave_up = records[: len(mine)], records[len(mine) : 2 * len(mine)], records[2 * len(mine) :]
    for part, kind in ((begin, RecordKind.BEGIN), (end, RecordKind.END)):
        part["kind"], part["page"], part["attempt"] = kind, tried.page[mine], tried.attempt[mine]
        part["due_s"], part["sent_s"] = tried.due_s[mine], tried.sent_s[mine]
    _fill_end_records(end, tried, mine, rng)
    gave_up["kind"], gave_up["page"], gave_up["attempt"] = (
        RecordKind.GAVE_UP, tried.gave_up_page[over], tried.gave_up_attempts[over],
    )  # fmt: skip
    gave_up["status"], gave_up["done_s"] = tried.gave_up_reason[over], tried.gave_up_s[over]
    moment = np.concatenate([tried.sent_s[mine], tried.done_s[mine], tried.gave_up_s[over]])
    records[np.argsort(moment, kind="stable")].tofile(folder.journal / journal.journal_file_name(rank))


def _fill_end_records(
    end: npt.NDArray[np.void], tried: SyntheticAttempts, mine: IntArray, rng: np.random.Generator
) -> None:
    outcome, attempt = tried.outcome[mine], tried.attempt[mine]
    took_s = tried.done_s[mine] - tried.sent_s[mine]
    sent_bytes = rng.choice([1_300_600, 1_600_600, 1_900_600], len(mine))
    end["outcome"], end["status"] = outcome, _STATUS_OF[outcome]
    end["sent_bytes"], end["resent_bytes"] = sent_bytes, np.where(attempt > 1, sent_bytes, 0)
    end["connected_s"] = tried.sent_s[mine] + 0.02 * took_s
    end["body_sent_s"] = tried.sent_s[mine] + 0.3 * took_s
    end["done_s"] = tried.done_s[mine]
    answered = _STATUS_OF[outcome] > 0
    end["first_byte_s"] = np.where(answered, tried.done_s[mine] - 1e-4, np.nan)
    end["retry_after_s"] = np.where(end["status"] == 503, 2.0, np.nan)
    end["login_s"] = np.where((tried.page[mine] % PAGES_PER_STATION == 0) & (attempt == 1), 0.05 * took_s, np.nan)
    end["queue_s"] = np.where(answered, 0.2 * took_s, np.nan)
    end["server_s"] = np.where(answered, 0.4 * took_s, np.nan)


def main() -> None:
    """Make one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder that isn't there yet")
    parser.add_argument("--attempts", type=int, default=1_000_000)
    options = parser.parse_args()
    make_run(RunFolder(options.out), options.attempts)


if __name__ == "__main__":
    main()
