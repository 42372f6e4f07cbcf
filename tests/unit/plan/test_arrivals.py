"""Due times follow the distribution they are drawn from."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from harness.base.errors import ConfigurationError
from harness.base.model import Station
from harness.plan import make_plan
from harness.plan.arrivals import assign_due_times, draw_due_times
from harness.plan.capacity import find_capacity_problems
from harness.plan.demand import forecast_load
from harness.plan.rate_shapes import invert_curve, make_shape
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due, write_plan
from harness.scenario.arrivals import Arrivals
from harness.scenario.loader import load_scenario

STATIONS = 5_000


def arrivals(kind, **keys):
    return TypeAdapter(Arrivals).validate_python({"kind": kind, **keys})


KINDS = {
    "constant": arrivals("constant", start="2s", over="10s"),
    "poisson": arrivals("poisson", start="2s", over="10s"),
    "surge": arrivals("surge", start="2s", over="10s"),
    "ramp": arrivals("ramp", start="2s", over="10s", first=1.0, last=4.0),
    "steps": arrivals("steps", rates=[["2s", 1.0], ["4s", 0.0], ["6s", 5.0], ["12s", 0.0]]),
    "deadline_rush": arrivals("deadline_rush", start="2s", until="12s", cut_off="100ms"),
    "curve": arrivals("curve", points=[["0s", 0.0], ["8s", 0.5], ["36s", 1.0]]),
}


def drawn(kind, seed=7):
    return draw_due_times(KINDS[kind], STATIONS, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", list(KINDS))
def test_due_times_rise_and_are_the_same_for_the_same_seed(kind):
    times = drawn(kind)
    assert times.shape == (STATIONS,)
    assert (np.diff(times) >= 0).all()
    assert (times == drawn(kind)).all()
    if kind != "constant":
        assert not (times == drawn(kind, seed=8)).all()


def test_constant_arrivals_are_equal_steps_apart():
    times = drawn("constant")
    assert times[0] == 2.0
    assert np.diff(times) == pytest.approx(10 / STATIONS)


def test_poisson_gaps_are_exponential_with_the_right_mean():
    gaps = np.diff(drawn("poisson"), prepend=2.0)
    assert stats.kstest(gaps, stats.expon(scale=10 / STATIONS).cdf).pvalue > 0.01


def ramp_cdf(t):
    """The rate is 1 + 3x over x in 0..1: the integral is (x + 1.5x²)/2.5."""
    x = (t - 2) / 10
    return (x + 1.5 * x**2) / 2.5


def rush_cdf(t):
    return np.log(10 / (12 - t)) / np.log(10 / 0.1)


CDF = {
    "surge": stats.uniform(2, 10).cdf,
    "ramp": ramp_cdf,
    "steps": lambda t: np.interp(t, [2, 4, 6, 12], [0, 2 / 32, 2 / 32, 1]),
    "deadline_rush": rush_cdf,
    "curve": lambda t: np.interp(t, [0, 8, 36], [0, 0.5, 1]),
}


@pytest.mark.parametrize("kind", list(CDF))
def test_arrivals_follow_their_cumulative_curve(kind):
    assert stats.kstest(drawn(kind), CDF[kind]).pvalue > 0.01


@pytest.mark.parametrize("kind", ["poisson", "surge", "ramp", "steps", "deadline_rush", "curve"])
def test_counts_are_as_dispersed_as_a_poisson_process_s(kind):
    """In bins of equal expected counts the index of dispersion is 1: nothing clusters, nothing is spaced out."""
    times = drawn(kind)
    counts = np.histogram(make_shape(KINDS[kind]).share_by(np.minimum(times, 36.0)), bins=200, range=(0.0, 1.0))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.35)  # 3 standard errors of 200 counts


@pytest.mark.parametrize("kind", list(CDF))
def test_a_shape_and_its_inverse_are_each_other_s(kind):
    shape = make_shape(KINDS[kind])
    shares = np.linspace(0.001, 0.999, 500)
    assert shape.share_by(shape.time_of(shares)) == pytest.approx(shares, abs=1e-9)
    ends = shape.time_of(np.array([0.0, 1.0]))
    assert ends[0] >= shape.start_s
    assert ends[1] == pytest.approx(shape.end_s)


def test_a_ramp_from_nothing_and_a_ramp_to_nothing_are_mirrored():
    up = make_shape(arrivals("ramp", over="10s")).time_of(np.array([0.25]))
    down = make_shape(arrivals("ramp", over="10s", first=1.0, last=0.0)).time_of(np.array([0.75]))
    assert up == pytest.approx([5.0])  # x² = 1/4
    assert down == pytest.approx([5.0])


def test_a_ramp_that_does_not_rise_is_uniform():
    shape = make_shape(arrivals("ramp", over="10s", first=3.0, last=3.0))
    assert shape.time_of(np.array([0.2, 0.9])) == pytest.approx([2.0, 9.0])


def test_in_a_rush_each_halving_of_the_time_left_brings_as_many():
    """N(t) = A·ln(T/(T - t)), the rush that referendum and conference deadlines show."""
    times = drawn("deadline_rush")
    left = 12 - times
    counts = [((left > 10 / 2 ** (n + 1)) & (left <= 10 / 2**n)).sum() for n in range(6)]
    expected = STATIONS * np.log(2) / np.log(100)
    assert counts == pytest.approx([expected] * 6, rel=0.13)  # 3.5 standard errors
    assert left.min() >= 0.1


def test_a_curve_is_half_done_at_its_middle_point():
    assert (drawn("curve") <= 8).mean() == pytest.approx(0.5, abs=0.03)


def test_nobody_turns_up_where_the_curve_is_flat():
    times = invert_curve(np.array([0.0, 1.0, 5.0, 6.0]), np.array([0.0, 0.5, 0.5, 1.0]), np.linspace(0.001, 0.999, 999))
    assert not ((times > 1.0) & (times < 5.0)).any()
    assert not ((drawn("steps") > 4.0) & (drawn("steps") < 6.0)).any()


@pytest.mark.parametrize(
    ("kind", "keys", "problem"),
    [
        ("ramp", {"over": "1s", "first": 0.0, "last": 0.0}, "must not both be 0"),
        ("steps", {"rates": [["0s", 1.0], ["2s", 1.0]]}, "end with a rate of 0"),
        ("steps", {"rates": [["2s", 1.0], ["1s", 0.0]]}, "in the order of time"),
        ("deadline_rush", {"until": "10s", "cut_off": "10s"}, "must be shorter"),
        ("replay", {}, "run is missing"),
    ],
)
def test_arrivals_that_make_no_sense_are_refused(kind, keys, problem):
    with pytest.raises(ValidationError, match=problem):
        arrivals(kind, **keys)


VILLAGE = [Station(f"3509191001{number:03d}", "MANGLI") for number in range(1, 4)]


def test_a_replay_gives_each_station_its_own_time():
    due = {"3509191001003": 1.5, "3509191001001": 7.0, "3509191001002": 0.0, "3509191009001": 3.0}
    times = assign_due_times(arrivals("replay", due=due), VILLAGE, np.random.default_rng(1), seed=1)
    assert times.tolist() == [7.0, 0.0, 1.5]


def test_a_replay_that_lacks_a_station_is_refused_by_its_name():
    replayed = arrivals("replay", run="runs/earlier", due={"3509191001001": 1.0})
    with pytest.raises(ConfigurationError, match=r"runs/earlier has no due time for 2 of 3 stations: 3509191001002, "):
        assign_due_times(replayed, VILLAGE, np.random.default_rng(1), seed=1)


SMALL = ["photos.size=2KB", "photos.bank=1"]


def scenario(phones=10, think='{distribution="exponential", mean="2s"}', *more):
    closed = f'arrivals={{kind="closed", phones={phones}, think={think}, start="1s"}}'
    return load_scenario("kaliwates", [*SMALL, closed, *more])


def planned(made):
    """The plan and its rounds."""
    plan = make_plan(made)
    assert plan.closed_loop is not None
    return plan, plan.closed_loop


def closed(*arguments):
    return planned(scenario(*arguments))


def test_every_station_is_taken_once_by_one_phone_and_phones_have_as_many():
    _, rounds = closed(10)
    taken = np.concatenate(rounds.phones)
    assert sorted(taken.tolist()) == list(range(362))
    assert {len(stations) for stations in rounds.phones} == {36, 37}


@pytest.mark.heavy
def test_think_times_follow_their_distribution():
    _, many = closed(10, '{distribution="exponential", mean="2s"}', "stations.region=jember")
    assert len(many.think_s) == 7706
    assert stats.kstest(many.think_s, stats.expon(scale=2.0).cdf).pvalue > 0.01
    _, uneven = closed(10, '{distribution="lognormal", median="1s", sigma=0.7}', "stations.region=jember")
    assert stats.kstest(uneven.think_s, stats.lognorm(0.7).cdf).pvalue > 0.01


def test_think_times_of_one_phone_do_not_hang_together():
    _, rounds = closed(1, '{distribution="exponential", mean="2s"}', "stations.region=jember")
    (order,) = rounds.phones
    thoughts = rounds.think_s[order]
    assert abs(np.corrcoef(thoughts[:-1], thoughts[1:])[0, 1]) < 0.04  # 3.5 standard errors


def test_beforehand_only_each_phone_s_first_station_has_a_due_time():
    plan, rounds = closed(10)
    first = [stations[0] for stations in rounds.phones]
    assert plan.due_s[first] == pytest.approx(1.0 + rounds.think_s[first])
    assert np.isinf(np.delete(plan.due_s, first)).all()


@pytest.mark.heavy
def test_the_same_seed_gives_the_same_rounds_and_another_seed_others():
    seeds = [scenario(10), scenario(10), scenario(10).model_copy(update={"seed": 8})]
    rounds, again, other = (planned(made)[1] for made in seeds)
    assert [one.tolist() for one in rounds.phones] == [one.tolist() for one in again.phones]
    assert (rounds.think_s == again.think_s).all()
    assert [one.tolist() for one in rounds.phones] != [one.tolist() for one in other.phones]


@pytest.mark.heavy
@pytest.mark.parametrize("workers", [1, 2, 3, 12])
def test_workers_share_the_phones_each_with_all_of_its_stations(workers):
    plan, rounds = closed(10)
    shards = [plan.shard(rank, workers) for rank in range(workers)]
    assert sorted(np.concatenate(shards).tolist()) == list(range(362))
    for stations in rounds.phones:
        holders = [rank for rank, shard in enumerate(shards) if np.isin(stations, shard).any()]
        assert len(holders) == 1


def test_more_phones_than_stations_are_refused():
    with pytest.raises(ConfigurationError, match=r"arrivals\.phones = 363: there are 362 stations"):
        closed(363)


@pytest.mark.heavy
def test_phones_that_no_worker_may_hold_do_not_fit():
    crowded = scenario(10, '"1s"', "client.max_in_flight=4")
    assert (
        "10 phones are more than client.max_in_flight (4) allows 2 worker(s)"
        in find_capacity_problems(crowded, make_plan(crowded), 2)[0]
    )
    assert find_capacity_problems(crowded, make_plan(crowded), 3) == []


def test_the_forecast_is_what_a_server_that_takes_no_time_would_be_asked():
    plan, _ = closed(10, '"2s"')
    numbers = forecast_load(plan, deadline_s=30.0)
    assert (numbers.first_s, numbers.last_s) == (3.0, 1.0 + 2.0 * 37)
    assert numbers.peak_uploads_per_s == 30  # ten phones in step, three pages each
    assert numbers.beyond_deadline == 362 - 10 * 14  # due at 3, 5, … 29 s


@pytest.mark.heavy
def test_a_replay_of_a_closed_run_takes_the_times_that_were_planned_and_no_others(tmp_path):
    plan, _ = closed(10)
    write_plan(RunFolder(tmp_path).plan, plan)
    due = read_planned_due(tmp_path)
    assert due == {plan.stations[i].code: plan.due_s[i] for i in np.flatnonzero(np.isfinite(plan.due_s))}


def test_a_rate_decides_how_many_stations_arrive_and_how_far_apart():
    scenario = load_scenario("smoke", ['arrivals={kind="constant", rate="10/s", over="6s", start="1s"}', "stations={}"])
    plan = make_plan(scenario, bank=())
    assert len(plan.stations) == 60
    assert np.sort(plan.due_s) == pytest.approx(1.0 + np.arange(60) / 10)


def test_poisson_gaps_by_rate_have_the_rates_mean():
    by_rate = arrivals("poisson", rate="100/s", over="50s")
    gaps = np.diff(draw_due_times(by_rate, by_rate.rated_stations, np.random.default_rng(3)), prepend=0.0)
    assert len(gaps) == 5_000
    assert stats.kstest(gaps, stats.expon(scale=1 / 100).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("stations", "rate", "why"),
    [
        (
            'stations={region="kaliwates"}',
            "100/s",
            "arrivals.rate:\n  times over = 1,000 stations: kaliwates has 362 stations",
        ),
        ("stations.count=5", "1/s", "leave stations.count out"),
        ("stations={}", "0.01/s", "less than one station"),
        ("stations={}", "0/s", "greater than 0"),
    ],
)
def test_a_rate_that_no_stations_fit_is_refused(stations, rate, why):
    with pytest.raises(ConfigurationError, match=why):
        make_plan(
            load_scenario("smoke", [stations, f'arrivals={{kind="poisson", rate="{rate}", over="10s"}}']), bank=()
        )
