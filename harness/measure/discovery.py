"""Tells a Prometheus where a run's exporters are: a file for its `file_sd`, there while the run lasts."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from harness.runfolder import write_json

_CONNECT_S = 0.2
JOBS = {"server": "mock_server"}
"""The label `job` of a target; every other target is the generator's."""
GENERATOR_JOB = "harness"


class Discovery:
    """The file of one run in a folder that a Prometheus watches."""

    def __init__(self, folder: Path, run: str) -> None:
        self._path = folder / f"harness-{run.replace('/', '_')}.json"

    def announce(self, targets: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Name the targets (as for the collector: name -> URL), all with these labels, `target` and `job`."""
        sweep(self._path.parent)
        write_json(self._path, [_group(name, url, labels) for name, url in targets.items()])

    def withdraw(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def target_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that a target's series carry, besides their own and `instance`."""
    return {"job": JOBS.get(name, GENERATOR_JOB), "target": name, **labels}


def sweep(folder: Path) -> None:
    """Remove files of runs that were killed: those at none of whose targets anybody listens.

    The next process on such a port would be scraped otherwise.
    """
    for path in folder.glob("harness-*.json"):
        try:
            addresses = [address for group in json.loads(path.read_bytes()) for address in group["targets"]]
        except (OSError, ValueError, LookupError, TypeError):
            continue  # not ours, or just being removed by its own run
        if not any(map(_listens, addresses)):
            path.unlink(missing_ok=True)


def _group(name: str, url: str, labels: Mapping[str, str]) -> dict[str, object]:
    parts = urlsplit(url)
    path = {} if parts.path == "/metrics" else {"__metrics_path__": parts.path or "/metrics"}
    return {"targets": [parts.netloc], "labels": {**target_labels(name, labels), **path}}


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            return True
    except OSError:
        return False
    except ValueError:
        return True  # no address of ours
