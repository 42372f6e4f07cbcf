"""Tells a Prometheus where a run's exporters are: a file for its `file_sd`, there while the run lasts."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from harness.base.address import is_loopback
from harness.run_folder.layout import write_json

_CONNECT_S = 0.2
EXTERNAL_TARGET_JOB = "target"
"""The label `job` of what an upload server of the user's publishes itself."""


class ServiceDiscoveryFile:
    """The file of one run in a folder that a Prometheus watches."""

    def __init__(self, folder: Path, run: str) -> None:
        self._path = folder / f"harness-{run.replace('/', '_')}.json"

    def announce(self, targets: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Name the targets (as for the collector: name -> URL), all with these labels, `target` and `job`.

        What a server on another machine publishes is left out: it has consented to us, not to a Prometheus as well.
        """
        remove_stale_files(self._path.parent)
        named = {name: url for name, url in targets.items() if _job(name) != EXTERNAL_TARGET_JOB or _is_local(url)}
        write_json(self._path, [_group(name, url, labels) for name, url in named.items()])

    def withdraw(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def target_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that a target's series carry, besides their own and `instance`."""
    return {"job": _job(name), "target": name, **labels}


def remove_stale_files(folder: Path) -> None:
    """Remove files of runs that were killed: those at none of whose targets anybody listens.

    The next process on such a port would be scraped otherwise.
    """
    for path in folder.glob("harness-*.json"):
        try:
            addresses = [address for group in json.loads(path.read_bytes()) for address in group["targets"]]
        except (OSError, ValueError, LookupError, TypeError):
            continue  # not ours, or just being removed by its own run
        if not any(map(_accepts_connections, addresses)):
            path.unlink(missing_ok=True)


def _job(name: str) -> str:
    if name.startswith("worker-"):
        return "harness"
    return "mock_server" if name == "server" else EXTERNAL_TARGET_JOB


def _is_local(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _group(name: str, url: str, labels: Mapping[str, str]) -> dict[str, object]:
    parts = urlsplit(url)
    path = {} if parts.path == "/metrics" else {"__metrics_path__": parts.path or "/metrics"}
    if parts.scheme == "https":
        path["__scheme__"] = "https"
    return {"targets": [parts.netloc], "labels": {**target_labels(name, labels), **path}}


def _accepts_connections(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S):
            return True
    except OSError:
        return False
    except ValueError:
        return True  # no address of ours
