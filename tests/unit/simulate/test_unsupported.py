"""What a simulation cannot play is refused by name, all of it at once, with what to do."""

import pytest

from harness.base.errors import ConfigurationError
from harness.runner.simulated_run import make_simulated_plan
from harness.scenario.loader import load_scenario
from harness.simulate.unsupported import check_can_simulate, find_unsupported
from tests.support.simulations import scenario


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ({"server": {"tls": True}}, "server.tls"),
        ({"server": {"handler_timeout": "5s"}}, "server.handler_timeout"),
        ({"readers": {"rate": "1/s", "cached": False}}, "readers.cached = false"),
        ({"readers": {"rate": "1/s", "paths": ["/x"]}}, "readers.paths"),
        ({"server": {"min_upload_rate": "10KB/s"}}, "server.min_upload_rate"),
    ],
)
def test_a_key_that_is_not_simulated_is_named_with_what_to_do(tables, named):
    (line,) = find_unsupported(scenario(**tables))
    assert line.startswith(f"{named} is not simulated: ")
    assert "harness run" in line


@pytest.mark.parametrize(("size", "max_body", "fits"), [("500KB", "502KB", True), ("500KB", "501KB", False)])
def test_a_photo_that_the_server_would_refuse_for_its_length_is_named(size, max_body, fits):
    loaded = scenario(photos={"size": size}, server={"max_body": max_body})
    if fits:
        assert make_simulated_plan(loaded).total_bytes
        return
    with pytest.raises(ConfigurationError) as caught:
        make_simulated_plan(loaded)
    (problem,) = caught.value.problems
    assert problem.startswith("the largest photo has 500,000 bytes, server.max_body leaves 499,000: ")


def test_an_external_target_has_no_model(tmp_path):
    path = tmp_path / "mine.toml"
    head = 'name = "a"\ndeadline = "9s"\n[arrivals]\nkind = "surge"\nover = "1s"\n'
    path.write_text(f'{head}[target]\npath = "/{{station}}/{{form}}/{{page}}"\n', "utf-8")
    (line,) = find_unsupported(load_scenario(str(path)))
    assert line.startswith("[target]: only the mock server has a model")


def test_all_problems_are_reported_together_under_the_scenarios_name():
    with pytest.raises(ConfigurationError) as caught:
        check_can_simulate("mine.toml", scenario(server={"tls": True, "handler_timeout": "5s"}))
    assert str(caught.value).splitlines()[0] == "mine.toml can't be simulated:"
    assert len(caught.value.problems) == 2


def test_a_scenario_without_them_can_be_simulated():
    assert find_unsupported(scenario()) == []
    lines = {"ingress": "1Gbit/s", "egress": "1Gbit/s"}
    assert find_unsupported(scenario(server=lines, readers={"rate": "1/s", "conditional": True})) == []
