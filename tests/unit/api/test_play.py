"""Simulating and running from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
import harness.simulate.clock  # sets the package as an attribute: it must still be callable
from docs._generate.notebook import PATH, notebook_text
from harness.base.errors import UsageError

SMALL: dict[str, Any] = {"stations.count": 3, "photos.size": "4KB", "photos.bank": 1}


def test_a_simulation_is_judged_and_opened(tmp_path: Path) -> None:
    run = harness.simulate("smoke", out=tmp_path / "run", seed=7, server__workers=2, **SMALL)
    assert run.record.simulated
    assert run.record.seed == 7
    assert run.record.scenario["server"]["workers"] == 2
    assert (len(run.pages), run.verdict.simulated) == (9, True)
    assert run.summary.pages.planned == 9


def test_without_out_it_is_a_new_folder_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (harness.simulate("smoke", **SMALL) for _ in range(2))
    assert first.path != second.path
    assert {first.path.parent, second.path.parent} == {tmp_path / "runs"}


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="nothing is overwritten"):
        harness.simulate("smoke", out=tmp_path)


def test_wrong_changes_are_named_with_their_key(tmp_path: Path) -> None:
    with pytest.raises(harness.ConfigurationError, match=r'server\.worker is not a known key; did you mean "workers"'):
        harness.simulate("smoke", out=tmp_path / "run", server__worker=2)
    assert not (tmp_path / "run").exists()


def test_a_threshold_that_nothing_can_fail_is_refused_as_on_the_command_line(tmp_path: Path) -> None:
    scenario = tmp_path / "mine.toml"
    scenario.write_text(
        'name = "mine"\ndeadline = "9s"\narrivals = { kind = "constant", over = "1s" }\n[[thresholds]]\nassert = "attempts.total >= 0"\n',
        "utf-8",
    )
    with pytest.raises(harness.ConfigurationError, match=r"attempts\.total"):
        harness.simulate(scenario, out=tmp_path / "run")


@pytest.mark.heavy
def test_a_run_that_cannot_begin_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        harness.RunFailedError, match=r'server\.worker is not a known key; did you mean "workers"'
    ) as failed:
        harness.run("smoke", out=tmp_path / "run", server__worker=2)
    assert failed.value.code == 2


@pytest.mark.heavy
def test_the_notebook_of_the_docs_gives_what_it_shows() -> None:
    assert json.loads(notebook_text()) == json.loads(PATH.read_text("utf-8")), "make docs executes it anew"
