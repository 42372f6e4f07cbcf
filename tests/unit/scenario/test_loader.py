"""Scenario files: what is read, and what is said of a wrong one."""

import json
from typing import Any, get_args

import pytest

from harness.base.errors import ConfigurationError, ExitCode, UsageError
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.run_folder.tables import read_planned_due, write_plan
from harness.scenario.loader import load_scenario, load_thresholds, scenario_template, shipped_scenarios
from harness.scenario.retry import RetryConfig
from harness.scenario.scenario import Scenario, parse_resolved

MINIMAL = 'name = "mine"\ndeadline = "10s"\n[arrivals]\nkind = "surge"\nover = "1s"\n'


def write(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return str(path)


def problems_of(tmp_path, text, overrides=()):
    with pytest.raises(ConfigurationError) as caught:
        load_scenario(write(tmp_path, text), overrides)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.problems


@pytest.mark.parametrize("name", list(shipped_scenarios()))
def test_every_shipped_scenario_is_valid_and_named_after_its_file(name):
    assert load_scenario(name).name == name
    assert load_scenario(name).title


@pytest.mark.parametrize("name", list(shipped_scenarios()))
def test_a_resolved_scenario_reads_back_the_same_through_json(name):
    scenario = load_scenario(name)
    assert parse_resolved(json.loads(json.dumps(scenario.resolved()))) == scenario


def test_a_newcomer_needs_to_decide_name_deadline_and_arrivals_only(tmp_path):
    scenario = load_scenario(write(tmp_path, MINIMAL))
    assert (scenario.stations.region, scenario.client.timeout, scenario.server.workers) == ("kaliwates", 10.0, 8)


def test_quantities_carry_units(tmp_path):
    text = MINIMAL + '[client]\ntimeout = "1500ms"\n[photos]\nsize = "64KiB"\n'
    scenario = load_scenario(write(tmp_path, text))
    assert scenario.client.timeout == 1.5
    assert scenario.photos.size.quantile(0.3) == 65_536


def test_all_problems_of_a_file_are_shown_at_once_with_key_value_and_what_is_allowed(tmp_path):
    text = MINIMAL.replace('"10s"', "10") + '[client]\ntimout = "5s"\nconnection = "nwe"\n[server]\nworkers = 0\n'
    problems = "\n".join(problems_of(tmp_path, text))
    assert 'deadline = 10 is not a duration: write a number and a unit, as in "150ms"' in problems
    assert 'client.timout is not a known key; did you mean "timeout"?' in problems
    assert 'client.connection = "nwe"' in problems
    assert 'did you mean "new"?' in problems
    assert "server.workers = 0 should be greater than or equal to 1" in problems


def test_a_key_inside_the_retry_table_is_named_without_the_strategy_in_its_path(tmp_path):
    text = MINIMAL + '[client]\nretry = { strategy = "fixed", bse = "1s" }\n'
    assert problems_of(tmp_path, text) == ['client.retry.bse is not a known key; did you mean "base"?']


@pytest.mark.parametrize(
    ("points", "right"),
    [
        ('[["0s", 0.0], ["8s", 0.5], ["36s", 1.0]]', True),
        ('[["0s", 0.0], ["8s", 0.5], ["36s", 0.9]]', False),
        ('[["0s", 0.0], ["8s", 0.5], ["7s", 1.0]]', False),
        ('[["0s", 0.1], ["8s", 1.0]]', False),
        ('[["0s", 0.0], ["4s", 0.6], ["8s", 0.5], ["9s", 1.0]]', False),
    ],
)
def test_a_curve_rises_from_nobody_to_everybody(tmp_path, points, right):
    text = f'name = "mine"\ndeadline = "40s"\n[arrivals]\nkind = "curve"\npoints = {points}\n'
    if right:
        load_scenario(write(tmp_path, text))
    else:
        assert "points must be in the order of time" in problems_of(tmp_path, text)[0]


def test_two_faults_of_one_name_are_refused(tmp_path):
    fault = '[[faults]]\nname = "x"\nkind = "capacity"\nfactor = 0.5\n'
    assert "x" in problems_of(tmp_path, MINIMAL + fault + fault)[0]


def test_a_threshold_on_the_recapitulation_needs_its_table(tmp_path):
    threshold = '[[thresholds]]\nassert = "recapitulation.late_s < 12h"\n'
    (problem,) = problems_of(tmp_path, MINIMAL + threshold)
    assert problem.endswith('the threshold "recapitulation.late_s < 12h" needs the table [recapitulation]: add it')
    assert load_scenario(write(tmp_path, MINIMAL + threshold + "[recapitulation]\n")).recapitulation is not None


def test_a_warm_up_must_end_before_the_deadline(tmp_path):
    assert "warm_up" in problems_of(tmp_path, 'warm_up = "10s"\n' + MINIMAL)[0]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("client.retry.strategy=none", ("client", "retry", "strategy"), "none"),
        ("server.workers=3", ("server", "workers"), 3),
        ("client.timeout=2s", ("client", "timeout"), 2.0),
        ('client.timeout="2s"', ("client", "timeout"), 2.0),
        ("faults.brownout.factor=0.5", ("faults", 0, "factor"), 0.5),
        ("faults.0.factor=50%", ("faults", 0, "factor"), 0.5),
        ("thresholds.1.assert=pages.delivered > 0", ("thresholds", 1, "assertion"), "pages.delivered > 0"),
    ],
)
def test_any_key_can_be_overridden(override, path, value):
    overrides = ['client.retry={strategy="none"}', override] if "strategy" in override else [override]
    place: Any = load_scenario("kaliwates", overrides)
    for part in path:
        place = place[part] if isinstance(part, int) else getattr(place, part)
    assert place == value


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("server.wrokers=3", 'server.wrokers is not a known key; did you mean "workers"?'),
        ("server.workers", "KEY=VALUE"),
        ("faults.blackout.factor=1", '"blackout" is not in the list: brownout'),
        ("name.first=1", "name is 'kaliwates', not a table"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(override, said):
    with pytest.raises(ConfigurationError) as caught:
        load_scenario("kaliwates", [override])
    assert said in str(caught.value)


def test_an_unknown_scenario_gets_a_suggestion():
    with pytest.raises(UsageError, match='did you mean "kaliwates"'):
        load_scenario("kaliwate")


def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path):
    with pytest.raises(ConfigurationError, match="line 2"):
        load_scenario(write(tmp_path, 'name = "mine"\ndeadline 10s\n'))


def test_an_unknown_region_gets_a_suggestion(tmp_path):
    problems = problems_of(tmp_path, MINIMAL + '[stations]\nregion = "kalwates"\n')
    assert problems == ['stations.region = "kalwates" is not a region; did you mean "kaliwates"?']


def test_a_region_file_lies_beside_the_scenario(tmp_path):
    (tmp_path / "mine.csv").write_text("code,name,stations\n3509191001,MANGLI,5\n", "utf-8")
    scenario = load_scenario(
        write(tmp_path, MINIMAL + '[stations]\nregion = "mine.csv"\n[photos]\nsize = "2KB"\nbank = 1\n')
    )
    assert [station.code[-3:] for station in make_plan(scenario).stations] == ["001", "002", "003", "004", "005"]


REPLAY = (
    MINIMAL.replace('"surge"', '"replay"').replace('over = "1s"', 'run = "earlier"')
    + '[photos]\nsize = "2KB"\nbank = 1\n'
)


@pytest.mark.heavy
def test_a_replay_takes_the_earlier_run_s_times_into_the_scenario(tmp_path):
    """run.json alone tells the whole scenario: workers plan from it without the earlier run."""
    first = make_plan(load_scenario("kaliwates", ["photos.size=2KB", "photos.bank=1"]))
    folder = RunFolder(tmp_path / "earlier")
    folder.create()
    write_plan(folder.plan, first)
    scenario = load_scenario(write(tmp_path, REPLAY.replace("earlier", str(folder.path))), planned_due=read_planned_due)
    again = make_plan(parse_resolved(json.loads(json.dumps(scenario.resolved()))))
    assert (again.due_s == first.due_s).all()
    assert len(again.due_s) == 362


def test_a_run_that_is_not_there_can_t_be_replayed(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r'arrivals.run = "earlier" cannot be replayed: .*plan.parquet is missing'
    ):
        load_scenario(write(tmp_path, REPLAY), planned_due=read_planned_due)


@pytest.mark.parametrize("strategy", [get_args(table.model_fields["strategy"].annotation)[0] for table in get_args(RetryConfig)])  # fmt: skip
def test_every_strategy_reads_back_the_same_through_json(strategy):
    scenario = load_scenario("smoke", [f'client.retry={{strategy="{strategy}"}}'])
    assert scenario.client.retry.strategy == strategy
    assert parse_resolved(json.loads(json.dumps(scenario.resolved()))) == scenario


@pytest.mark.parametrize(
    "link",
    [
        '"phone"',
        '{upload="2Mbit/s", rtt={distribution="lognormal", median="50ms", sigma=0.6}}',
        '{upload="8Mbit/s", poor_share="5%", poor={upload="300kbit/s", outages={every="60s", lasting="10s"}}}',
    ],
)
def test_links_read_back_the_same_through_json(link):
    scenario = load_scenario("smoke", [f"client.link={link}"])
    assert scenario.client.link != "unlimited"
    assert parse_resolved(json.loads(json.dumps(scenario.resolved()))) == scenario


def test_a_link_that_is_no_link_gets_a_suggestion():
    with pytest.raises(ConfigurationError, match=r'client.link = "unlimted" is not one of .* did you mean "unlimited"'):
        load_scenario("smoke", ["client.link=unlimted"])


@pytest.mark.heavy
@pytest.mark.parametrize(
    "arrivals",
    [
        '{kind="ramp", over="3s", burst={cv=0.5, correlation="2s"}}',
        '{kind="steps", rates=[["0s", 1], ["2s", 3.5], ["4s", 0]]}',
        '{kind="deadline_rush", until="5s", cut_off="100ms"}',
    ],
)
def test_arrivals_read_back_the_same_through_json(arrivals):
    scenario = load_scenario("smoke", [f"arrivals={arrivals}"])
    assert parse_resolved(json.loads(json.dumps(scenario.resolved()))) == scenario
    assert len(make_plan(scenario).due_s) == 20


def test_the_template_is_a_valid_scenario(tmp_path):
    scenario = load_scenario(write(tmp_path, scenario_template("my-own")))
    assert scenario.name == "my-own"


def test_a_name_that_would_leave_the_folder_is_refused():
    with pytest.raises(UsageError, match="is not a valid name"):
        scenario_template("../evil")


def test_a_threshold_that_ends_a_run_early_may_wait_and_no_other_does(tmp_path):
    threshold = '[[thresholds]]\nassert = "count(attempts) < 9"\n'
    scenario = load_scenario(write(tmp_path, f'{MINIMAL}{threshold}abort = true\ngrace = "2s"\n'))
    assert (scenario.thresholds[0].abort, scenario.thresholds[0].grace) == (True, 2.0)
    assert parse_resolved(json.loads(json.dumps(scenario.resolved()))) == scenario
    (problem,) = problems_of(tmp_path, f'{MINIMAL}{threshold}grace = "2s"\n')
    assert "grace is how long abort = true waits: set abort too" in problem


def test_a_thresholds_file_gives_its_assertions_and_its_problems(tmp_path):
    good = tmp_path / "good.toml"
    good.write_text('[[thresholds]]\nassert = "pages.delivered > 0"\n', "utf-8")
    assert load_thresholds(good) == ["pages.delivered > 0"]
    bad = tmp_path / "bad.toml"
    bad.write_text('[[thresholds]]\nasert = "pages.delivered > 0"\n', "utf-8")
    with pytest.raises(ConfigurationError, match='did you mean "assert"'):
        load_thresholds(bad)


def test_a_scenario_is_frozen():
    scenario = load_scenario("smoke")
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 3  # type: ignore[misc]
    assert isinstance(scenario, Scenario)


@pytest.mark.parametrize(
    ("override", "place", "kind"),
    [
        ("client.retry.strategy=none", "retry", "none"),
        ("client.retry.strategy=fixed", "retry", "fixed"),
    ],
)
def test_another_strategy_needs_no_more_than_its_name(override, place, kind):
    assert getattr(load_scenario("kaliwates", [override]).client, place).strategy == kind


def test_a_value_that_another_strategy_does_not_allow_is_dropped_unless_it_was_set_by_hand():
    # an outbox always honours Retry-After, and has no greatest number of attempts
    attempts = "client.retry.max_attempts=3"
    retry = load_scenario("metastable", ["client.retry.strategy=outbox"]).client.retry
    assert (retry.strategy, retry.honour_retry_after) == ("outbox", True)
    with pytest.raises(ConfigurationError, match="max_attempts"):
        load_scenario("metastable", ["client.retry.strategy=outbox", attempts])


def test_another_kind_of_arrivals_drops_what_the_file_says_of_the_old_one():
    arrivals: Any = load_scenario("kaliwates", ["arrivals.kind=surge", "arrivals.over=2s"]).arrivals
    assert (arrivals.kind, arrivals.over) == ("surge", 2.0)


def test_another_distribution_too():
    size = load_scenario("kaliwates", ["photos.size.distribution=fixed", "photos.size.value=2KB"]).photos.size
    assert size.quantile(0.5) == 2000


def test_a_key_set_by_hand_that_does_not_fit_is_still_an_error():
    with pytest.raises(ConfigurationError, match=r"client\.retry\.cap is not a known key"):
        load_scenario("kaliwates", ["client.retry.strategy=none", "client.retry.cap=3s"])


def test_a_quantity_without_bounds_is_refused():
    with pytest.raises(ConfigurationError, match="too large for a duration"):
        load_scenario("kaliwates", ["deadline=1e400s"])


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL, "utf-8-sig")
    assert load_scenario(str(path)).name == "mine"


def test_a_directory_is_named_as_one(tmp_path):
    with pytest.raises(UsageError, match=r"is a directory, not a scenario: give a path to a \.toml file"):
        load_scenario(str(tmp_path))


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('deadline = "6s"', 'duplicate key "deadline" in line 3: give it once'),
        ("[server]\nworkers = 1\n[server]", "duplicate table [server] in line 5: put its keys into one"),
        ("photos = { bank = 1, bank = 2 }", 'duplicate key "bank" in line 3: give it once'),
    ],
)
def test_a_duplicate_key_is_named_with_its_line(tmp_path, more, problem):
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "mine"\ndeadline = "5s"\n{more}\n', "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_scenario(str(path))
    assert caught.value.problems[0].startswith(problem)
