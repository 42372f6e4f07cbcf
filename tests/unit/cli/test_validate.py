"""The arithmetic that `harness validate` prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.cli.validate import validate
from tests.support.documents import ROOT

SMALL = [
    "photos.size=2KB", "photos.bank=1", "stations.count=100", 'arrivals={kind="constant", over="10s"}',
    'server.service_time="100ms"', 'faults=[{kind="capacity", factor=0.5, start="2s", duration="10s"}]',
]  # fmt: skip
pytestmark = pytest.mark.heavy


@pytest.fixture
def printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(source: str, *overrides: str) -> list[str]:
        validate(source, list(overrides))
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return run


def test_each_resource_is_shown_with_what_is_needed_what_there_is_and_the_share(printed):
    lines = printed("kaliwates", *SMALL, "deadline=12s", "server.workers=10", "server.max_connections=30")
    assert "of the server at least it has used" in lines
    assert "workers 5 10 50 % 30 s of work: 100 ms per page; 3 workers without the faults" in lines
    assert "connections 3 30 10 % open at once; 100 if the server hangs" in lines
    assert "Earliest finish: 10 s, 1.5 s before the deadline; workers bind." in lines
    assert "Necessary, not sufficient: retries, queues and refusals ask for more." in lines


def test_a_server_that_is_too_small_is_named_with_what_it_lacks(printed):
    lines = printed("kaliwates", *SMALL, "deadline=12s", "server.workers=2", "faults=[]")
    assert "Not enough workers: the plan needs at least 3, and the server has 2." in lines
    assert "Earliest finish: 15 s, 3 s after the deadline; workers bind." in lines
    assert "Fits this machine. Valid." in lines, "the scenario is valid all the same: it may be meant to fail"


def test_stations_that_are_too_late_for_any_server_are_named(printed):
    lines = printed("kaliwates", *SMALL, "deadline=5s", "faults=[]", "thresholds=[]")
    assert "52 stations arrive too late to be complete by the deadline, and are not counted." in lines


def test_of_an_external_server_only_the_rates_are_known(printed, tmp_path: Path, monkeypatch):
    shutil.copy(ROOT / "docs" / "targets" / "nginx.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = printed("nginx.toml", "photos.size=2KB", "photos.bank=1", 'arrivals={kind="constant", over="4s"}')
    assert not any(line.startswith("workers ") for line in lines)
    (commits,) = (line for line in lines if line.startswith("commits "))
    assert commits.endswith("/s not known sustained; 240 pages to store")
    assert any(line.endswith("; what the server has is not known.") for line in lines)
