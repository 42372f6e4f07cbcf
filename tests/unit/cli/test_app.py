"""The `harness` command itself: quick help, every option from the environment too, completion, version."""

import json
import subprocess
import sys

import pytest
from typer.core import TyperOption
from typer.testing import CliRunner

from harness import __version__
from harness.cli.app import COMMANDS, app, load_command, variable_of

HEAVY = ("numpy", "duckdb", "matplotlib", "pydantic", "aiohttp", "scipy", "rich.console")
IMPORTED = """
import json, sys
from harness.cli.app import main
sys.argv = ["harness", *sys.argv[1:]]
try:
    main()
finally:
    sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.heavy
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_needs_no_command_imports_none_of_the_heavy_packages(option):
    done = subprocess.run([sys.executable, "-c", IMPORTED, option], capture_output=True, text=True, check=True)
    assert done.stdout
    imported = set(json.loads(done.stderr))
    assert imported.isdisjoint(HEAVY)
    assert not any(name.startswith("harness.cli.") and name != "harness.cli.app" for name in imported)


@pytest.mark.heavy
def test_a_list_of_runs_imports_nothing_that_analyses_or_draws(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "list", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("No runs yet.")
    imported = set(json.loads(done.stderr))
    assert imported.isdisjoint({"numpy", "duckdb", "matplotlib", "aiohttp", "scipy", "harness.scenario.scenario"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_stand_in_is_the_command_s_own(name):
    assert (load_command(name).help or "").partition("\n\n")[0] == COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_read_from_the_environment_too(name):
    options = [one for one in load_command(name).params if isinstance(one, TyperOption) and one.name != "help"]
    for option in options:
        assert option.envvar is not None
        assert variable_of(name, option.opts) in option.envvar


def test_variables_are_named_after_the_option_and_not_after_its_parameter():
    variables = {one.opts[0]: one.envvar for one in load_command("run").params if isinstance(one, TyperOption)}
    assert variables["--set"] == ["HARNESS_RUN_SET"]
    assert variables["--metrics-port"] == ["HARNESS_RUN_METRICS_PORT"]
    assert variables["--prometheus-sd"] == ["HARNESS_RUN_PROMETHEUS_SD", "HARNESS_PROMETHEUS_SD"]


def validate(*options, **environment):
    done = CliRunner().invoke(app, ["validate", "smoke", *options], env={"COLUMNS": "200", **environment})
    return done.exit_code, done.stdout


@pytest.mark.heavy
def test_a_variable_does_what_the_option_does_and_the_option_wins():
    code, printed = validate(HARNESS_VALIDATE_SET="stations.count=30 deadline=55s")
    assert (code, "55 s" in printed) == (0, True), printed
    code, printed = validate("--set", "deadline=54s", HARNESS_VALIDATE_SET="deadline=55s")
    assert (code, "54 s" in printed, "55 s" in printed) == (0, True, False), printed


def test_version_prints_the_package_s_version():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"harness {__version__}\n")


def complete(line):
    environment = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return CliRunner().invoke(app, [], env=environment, prog_name="harness").stdout.split()


def test_completion_knows_commands_and_their_options():
    assert complete("harness ca") == ["capacity", "calibrate"]
    assert {"--set", "--seed", "--workers"} <= set(complete("harness run --"))


def test_a_mistyped_command_is_told_the_nearest_one():
    done = CliRunner().invoke(app, ["valdate"])
    assert done.exit_code == 2
    assert "Did you mean 'validate'" in done.output
