"""Every rule of validity at both sides of its limit: what it still allows, and what is the first too much."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from harness.base.model import Outcome, Shortage
from harness.judge.validity import VALIDITY_RULES
from harness.measure.process_monitor import COLUMNS
from harness.run_folder.layout import WorkerRecord
from tests.support.run_builder import RunBuilder
from tests.unit.judge.test_validity import assessed, late_ones, run_of

BUSY = ("process_cpu_seconds_total", ())


@dataclass(frozen=True)
class Sides:
    """A rule's two sides: `make(path, value)` gives a folder, or a folder and assertions."""

    rule: str
    make: Any
    inside: Any
    beyond: Any
    says: str


def ending(path, how):
    made = run_of(path)
    return made.break_off() if how is None else made.finish(how, at_s=20.0, message="worker 0 was killed by SIGKILL")


def aborted(path, assertion):
    return run_of(path).finish("aborted", at_s=20.0, message="it could not hold"), [assertion]


def attempts(path, count):
    made = RunBuilder(path, due_s=[50.0])
    for number in range(count):
        made.attempt(0, attempt=number + 1, due_s=1.0)
    made.scrape_idle_generator(20)
    return made.finish(at_s=20.0)


def late_at_p50(path, late_s):
    return run_of(path, attempts=1_000, late_s=late_ones(1_000, late_s)).finish(at_s=20.0)


def late_at_most(path, late_s):
    return run_of(path, attempts=999, late_s=late_ones(1, late_s, of=999)).finish(at_s=20.0)


def late_of_response(path, late_s):
    return run_of(path, attempts=1_000, late_s=late_ones(1_000, late_s), response_s=2.0).finish(at_s=20.0)


def unbegun(path, before_end_s):
    made = RunBuilder(path, due_s=[0.0, 20.0 - before_end_s])
    made.attempt(0, done_s=19.9)
    made.scrape_idle_generator(20)
    return made.finish("deadline", at_s=20.0)


def busy_for(path, seconds):
    made = run_of(path)
    (path / "scrapes" / "worker-0.gz").unlink()
    spent = np.concatenate([[0.0], np.cumsum([0.97 if second < seconds else 0.3 for second in range(100)])])
    for second, cpu in enumerate(spent):
        made.scrape("worker-0", float(second), {BUSY: cpu})
    return made.finish("deadline", at_s=100.0)


def busy_at(path, share):
    made = run_of(path)
    (path / "scrapes" / "worker-0.gz").unlink()
    for second in range(21):
        made.scrape("worker-0", float(second), {BUSY: share * second})
    return made.finish("deadline", at_s=20.0)


def busy_of_quota(path, share):
    made = run_of(path)
    (path / "scrapes" / "worker-0.gz").unlink()
    for second in range(21):
        made.scrape("worker-0", float(second), {BUSY: share * second})
    return made.finish("deadline", at_s=20.0, host={"cpu_quota_cores": 0.5})


def together(path, shares):
    made = run_of(path)
    rows = [f"{second},{name},1,{share * second},1,1," for second in range(21) for name, share in shares.items()]
    made.folder.processes.write_text("\n".join([",".join(COLUMNS), *rows, ""]), "utf-8")
    return made.finish("deadline", at_s=20.0, host={"cpu_quota_cores": 1.5})


def unscraped(path, seconds):
    made = RunBuilder(path)
    made.attempt(0)
    return made.finish("deadline", at_s=seconds)


def lost(path, is_lost):
    return run_of(path).finish(at_s=20.0, workers=[WorkerRecord(rank=0, lost=is_lost)])


def failed(path, outcome):
    made = run_of(path)
    made.attempt(0, attempt=2, outcome=outcome, due_s=2.0)
    worker = WorkerRecord(rank=0, shortages={Shortage.PORTS: 1})
    return made.finish(at_s=20.0, workers=[worker], host={"ports": 28_232})


def unended(path, how):
    made = run_of(path)
    made.attempt(0, attempt=2, outcome=Outcome.CENSORED, due_s=2.0)
    return made.finish(how, at_s=20.0), ["count(attempts) < 1"]  # what a run is aborted for


def stepped(path, step_s):
    return run_of(path).finish(at_s=20.0, clock_step_s=step_s)


def limited(path, limit):
    made = run_of(path, attempts=1_000, late_s=0.004, response_s=0.01)
    return made.finish(at_s=20.0), [f"p95(response_seconds) < {limit}"]


def breached(path, limit):
    return run_of(path, attempts=1_000, late_s=0.004).finish(at_s=20.0), [f"p95(response_seconds) < {limit}"]


def troubled(path, *problems):
    return run_of(path).finish(at_s=20.0, problems=[one for one in problems if one])


SIDES = [
    Sides("ending", ending, "deadline", "killed", "worker 0 was killed by SIGKILL"),
    Sides("ending", ending, "completed", "starved", "worker 0 was killed by SIGKILL"),
    Sides("ending", ending, "deadline", "crashed", "the run crashed"),
    Sides("ending", ending, "completed", None, "the run was broken off: nothing is known after"),
    Sides(
        "ending", ending, "deadline", "interrupted", "the run was interrupted after 20.0 s, when 30 of 30 pages were"
    ),
    Sides("ending", ending, "completed", "terminated", "the run was terminated after 20.0 s, when 30 of 30 pages were"),
    Sides(
        "ending", ending, "completed", "hung_up", "the run was stopped because its terminal was closed, after 20.0 s"
    ),
    Sides("aborted", aborted, "count(attempts) < 30", "count(attempts) < 31", "its rows breach no threshold"),
    Sides("no_data", attempts, 1, 0, "no attempt was made"),
    Sides("lateness", late_at_p50, 0.005, 0.00501, "p50 5.01 ms (allowed: 5 ms)"),
    Sides("lateness", late_at_most, 0.0499, 0.0501, "maximum 50.1 ms (allowed: 50 ms)"),
    Sides("lateness", late_of_response, 0.0999, 0.1001, "allowed: 100 ms"),
    Sides("never_begun", unbegun, 0.049, 0.051, "1 of 2 stations that were due were never begun"),
    Sides("cpu", busy_for, 5, 6, "above 90 % of its core for 6 s, 6 % of the run (at most 97 %): use --workers 2"),
    Sides("cpu", busy_at, 0.899, 0.901, "above 90 % of its core for 20 s, 100 % of the run"),
    Sides("cpu", busy_of_quota, 0.449, 0.451, "above 90 % of the CPU quota for 20 s, 100 % of the run"),
    Sides(
        "cpu",
        together,
        {"server": 1.0, "worker 0": 0.34},
        {"server": 1.0, "worker 0": 0.36},
        "the run's processes together used more than 90 % of this container's CPU quota (1.5 cores) in 100 % of the run",
    ),
    Sides("cpu", unscraped, 2.9, 3.1, "the generator's CPU is not known"),
    Sides("worker_lost", lost, False, True, "worker 0 of the generator was lost: see logs/"),
    Sides("generator_error", failed, Outcome.REFUSED, Outcome.GENERATOR_ERROR, "set client.source_addresses"),
    Sides("never_ended", unended, "aborted", "deadline", "1 attempts began and never ended"),
    Sides("clock_step", stepped, 0.1099, 0.1101, "configure time synchronisation to slew instead of step"),
    Sides("clock_step", stepped, -0.1099, -0.1101, "the clock stepped by"),
    Sides("limit", limited, "40.1ms", "39.9ms", "p99 lateness, 4 ms, is more than a tenth of the limit"),
    Sides("limit", breached, "95.9ms", "96.1ms", "p99 lateness, 4 ms, alone may be what breaches"),
    Sides("problem", troubled, "", "the server was not drained", "the server was not drained"),
]


def test_every_rule_is_held_at_its_limit():
    assert {sides.rule for sides in SIDES} == set(VALIDITY_RULES)


@pytest.mark.heavy
@pytest.mark.parametrize("sides", SIDES, ids=[f"{one.make.__name__}-{one.beyond}" for one in SIDES])
def test_a_measurement_is_trusted_up_to_the_limit_and_not_beyond(sides, tmp_path):
    found = []
    for name, value in (("inside", sides.inside), ("beyond", sides.beyond)):
        made = sides.make(tmp_path / name, value)
        found.append(assessed(*made) if isinstance(made, tuple) else assessed(made))
    inside, beyond = found
    assert inside.reasons == []
    assert not beyond.valid
    assert any(sides.says in reason for reason in beyond.reasons), beyond.reasons
    assert len(beyond.reasons) == 1
