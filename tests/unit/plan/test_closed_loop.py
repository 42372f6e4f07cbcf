"""A closed workload's plan: every station once, think times by their distribution, and what can be known beforehand."""

import numpy as np
import pytest
from scipy import stats

from harness.base.errors import ConfigurationError
from harness.plan import make_plan
from harness.plan.capacity import find_capacity_problems
from harness.plan.peak_load import forecast_load
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due, write_plan
from harness.scenario.loader import load_scenario

SMALL = ["photos.size=2KB", "photos.bank=1"]


def scenario(phones=10, think='{distribution="exponential", mean="2s"}', *more):
    closed = f'arrivals={{kind="closed", phones={phones}, think={think}, start="1s"}}'
    return load_scenario("kaliwates", [*SMALL, closed, *more])


def planned(made):
    """The plan and its rounds."""
    plan = make_plan(made)
    assert plan.rounds is not None
    return plan, plan.rounds


def closed(*arguments):
    return planned(scenario(*arguments))


def test_every_station_is_taken_once_by_one_phone_and_phones_have_as_many():
    _, rounds = closed(10)
    taken = np.concatenate(rounds.phones)
    assert sorted(taken.tolist()) == list(range(362))
    assert {len(stations) for stations in rounds.phones} == {36, 37}


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


def test_the_same_seed_gives_the_same_rounds_and_another_seed_others():
    seeds = [scenario(10), scenario(10), scenario(10).model_copy(update={"seed": 8})]
    rounds, again, other = (planned(made)[1] for made in seeds)
    assert [one.tolist() for one in rounds.phones] == [one.tolist() for one in again.phones]
    assert (rounds.think_s == again.think_s).all()
    assert [one.tolist() for one in rounds.phones] != [one.tolist() for one in other.phones]


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


def test_a_replay_of_a_closed_run_takes_the_times_that_were_planned_and_no_others(tmp_path):
    plan, _ = closed(10)
    write_plan(RunFolder(tmp_path).plan, plan)
    due = read_planned_due(tmp_path)
    assert due == {plan.stations[i].code: plan.due_s[i] for i in np.flatnonzero(np.isfinite(plan.due_s))}
