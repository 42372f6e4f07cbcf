"""`--workers auto`: from the plan's busiest second, the cost of an upload, and the cores."""

import math

import pytest

from harness.base.errors import UsageError
from harness.plan import make_plan
from harness.plan.worker_count import (
    CPU_S_PER_BYTE,
    CPU_S_PER_CONNECTION,
    CPU_S_PER_UPLOAD,
    MAX_WORKERS,
    TARGET_CORE_RATIO,
    choose_worker_count,
    parse_worker_count,
)
from harness.scenario.loader import load_scenario

PAGES = 3


def crew(stations_per_s, *overrides, cores=64, size="1KB"):
    arrivals = f'arrivals={{kind="constant", over="{300 / stations_per_s:g}s"}}'
    scenario = load_scenario(
        "kaliwates", ["stations.count=300", f"photos.size={size}", "photos.bank=1", arrivals, *overrides]
    )
    return choose_worker_count(scenario, make_plan(scenario), cores)


def test_a_small_plan_needs_one_worker_and_says_from_what():
    found = crew(10)
    assert found.workers == 1
    assert str(found).startswith("--workers auto: 1 (the plan's busiest second has 30 uploads, 0.0 MB: about 0.0")
    assert str(found).endswith("64 cores here)")


@pytest.mark.parametrize(("connection", "opened"), [("reuse", 0), ("new", 1), ("each", PAGES)])
def test_what_the_busiest_second_costs_is_the_uploads_the_connections_and_the_bytes(connection, opened):
    found = crew(300, f"client.connection={connection}", size="500KB")
    photo_bytes = found.peak.total_bytes / found.peak.pages
    expected_s = 300 * (PAGES * (CPU_S_PER_UPLOAD + photo_bytes * CPU_S_PER_BYTE) + opened * CPU_S_PER_CONNECTION)
    assert found.cpu_s == pytest.approx(expected_s)
    assert found.workers == found.needed == max(1, math.ceil(expected_s / TARGET_CORE_RATIO))


def test_one_core_is_left_to_the_server_and_to_the_harness_and_the_shortfall_is_said():
    overrides = (
        "client.connection=each",
        "stations.region=jember",
        "stations.count=6000",
        'arrivals={kind="constant", over="1s"}',
    )
    wants = crew(300, *overrides)
    assert wants.workers == wants.needed > 2
    short = crew(300, *overrides, cores=3)
    assert (short.workers, short.needed) == (2, wants.needed)
    assert f"It needs {wants.needed}: expect INVALID, or use other machines too (--remote-workers {wants.needed})" in str(short)  # fmt: skip
    assert [crew(300, *overrides, cores=cores).workers for cores in (1, 2)] == [1, 1]


@pytest.mark.parametrize("text", ["0", str(MAX_WORKERS + 1), "-1", "1.5", "two", "Auto", "", "\u0663"])
def test_what_is_no_number_of_workers_is_refused_with_what_is_allowed(text):
    with pytest.raises(UsageError, match=f"should be a number from 1 to {MAX_WORKERS}, or auto"):
        parse_worker_count(text)
