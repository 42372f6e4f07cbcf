"""The promise of `harness compare`, on real runs: the same raises no alarm, and a server that is 20 % slower is found.

Fifty runs of some seconds each: about ten minutes.
"""

import pytest

from harness.calibration import Calibration
from harness.judge.compare import compare
from harness.judge.figure_change import Sides
from harness.judge.tolerances import Tolerances
from harness.order import Order
from harness.plan import make_plan
from harness.runfolder import RunFolder
from harness.scenario_files import load
from harness.signals import Signals
from reports.terminal import QuietView

pytestmark = pytest.mark.slow

PAIRS, SLOWER, SPARE = 20, 10, 15
TOLERANCE = Tolerances(0.10)
"""Half of what is planted: what may be worse and what is worse lie equally far from the limit."""
SCENARIO = """
name = "proof"
title = "Eighty stations in two and a half seconds, at a server that is never full"
seed = 5
deadline = "12s"
[stations]
count = 80
[photos]
size = "10KB"
bank = 2
[arrivals]
kind = "poisson"
over = "2500ms"
[client]
timeout = "5s"
[server]
workers = 200
queue_capacity = 400
service_time = { distribution = "lognormal", median = "400ms", sigma = 0.25 }
"""


def runs(folder, scenario, overrides, wanted):
    """So many runs whose measurement is valid; a busy machine may spoil some."""
    loaded = load(str(scenario), overrides)
    order = Order(loaded, make_plan(loaded), RunFolder(folder), folder.name, ["harness"], [])
    valid = []
    with Signals() as signals:
        for number in range(wanted + SPARE):
            made = Calibration(order, [], folder / f"{number}", 1).execute(QuietView, lambda _: None, signals)
            valid += [run for run in made if not run.reasons]
            if len(valid) == wanted:
                return valid
    pytest.fail(f"only {len(valid)} of {wanted + SPARE} runs are valid: this machine is too busy to prove anything")


def told(comparison):
    changes = {figure.key: figure.change for figure in comparison.figures if figure.change is not None}
    p50 = changes["delivery_seconds.p50"]
    return f"{comparison.verdict} p50 {p50.change:+.1%} ({p50.low:+.1%} to {p50.high:+.1%}); {comparison.finding}"


def test_twenty_pairs_of_the_same_raise_at_most_one_alarm_and_a_slower_server_is_found_in_nine_of_ten(tmp_path):
    scenario = tmp_path / "proof.toml"
    scenario.write_text(SCENARIO, "utf-8")
    same = runs(tmp_path / "same", scenario, [], 2 * PAIRS)
    slower = runs(tmp_path / "slower", scenario, ["server.service_time.median=480ms"], SLOWER)
    pairs = [compare(Sides([one], [other]), TOLERANCE) for one, other in zip(same[::2], same[1::2], strict=True)]
    planted = [compare(Sides([one], [other]), TOLERANCE) for one, other in zip(same, slower, strict=False)]
    for comparison in [*pairs, *planted]:
        print(told(comparison))  # noqa: T201 - the figures that a closing note quotes
    assert sum(comparison.verdict == "fail" for comparison in pairs) <= 1
    assert sum(comparison.verdict == "fail" for comparison in planted) >= SLOWER - 1
