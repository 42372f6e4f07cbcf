"""What a Prometheus is told of a run's targets."""

import json
import socket

import pytest

from harness.measure.prometheus_sd import ServiceDiscoveryFile, remove_stale_files


@pytest.fixture
def listener():
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def write(folder, name, *addresses):
    (folder / name).write_text(json.dumps([{"targets": list(addresses), "labels": {}}]), "utf-8")


def test_every_target_has_its_job_its_name_and_the_runs_labels(tmp_path):
    discovery = ServiceDiscoveryFile(tmp_path, "2026-smoke")
    discovery.announce(
        {"worker-0": "http://127.0.0.1:1234/metrics", "server": "http://127.0.0.1:5678/other"}, {"run": "2026-smoke"}
    )
    (path,) = tmp_path.iterdir()
    assert path.name == "harness-2026-smoke.json"
    assert json.loads(path.read_text("utf-8")) == [
        {"targets": ["127.0.0.1:1234"], "labels": {"job": "harness", "target": "worker-0", "run": "2026-smoke"}},
        {
            "targets": ["127.0.0.1:5678"],
            "labels": {
                "job": "mock_server", "target": "server", "run": "2026-smoke", "__metrics_path__": "/other",
            },
        },
    ]  # fmt: skip
    discovery.withdraw()
    discovery.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_a_server_on_another_machine_is_not_given_to_a_prometheus(tmp_path):
    own = {"worker-0": "http://10.0.0.7:1/metrics", "nginx": "http://127.0.0.1:2/metrics"}
    ServiceDiscoveryFile(tmp_path, "run").announce({**own, "app": "http://10.0.0.9:3/metrics"}, {})
    (path,) = tmp_path.iterdir()
    found = [(group["labels"]["job"], group["targets"]) for group in json.loads(path.read_text("utf-8"))]
    assert found == [("harness", ["10.0.0.7:1"]), ("target", ["127.0.0.1:2"])]


def test_what_a_killed_run_left_is_swept_away_and_nothing_else(tmp_path, listener):
    with socket.socket() as bound:  # so that nobody listens there
        bound.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{bound.getsockname()[1]}"
        write(tmp_path, "harness-killed.json", gone)
        write(tmp_path, "harness-alive.json", gone, listener)
        write(tmp_path, "mine.json", gone)
        (tmp_path / "harness-broken.json").write_text("{", "utf-8")
        remove_stale_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"harness-alive.json", "mine.json", "harness-broken.json"}
