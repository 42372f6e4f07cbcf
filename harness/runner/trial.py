"""Starts the process that sends one station's pages for `harness try`, and hands on what it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.base.errors import ProcessFailedError, UsageError
from harness.runner.launch import trial_environment
from harness.scenario.scenario import Scenario
from harness.target.external import ExternalTarget


def send_one_station(scenario: Scenario, external: ExternalTarget) -> Iterator[dict[str, Any]]:
    """What happened, one mapping per request (event `request`) and per page (`page`); secrets are masked in it.

    `scenario` has one station. Raises UsageError if the target does not consent, ProcessFailedError for a bug.
    """
    authority = scenario.client.tls.authority
    order = {
        "scenario": scenario.resolved(),
        "target": str(external.origin),
        "address": external.address,
        "also": [[str(other.origin), other.address] for other in external.also],
        "authority": None if authority is None else Path(authority).read_text("utf-8", "replace"),
    }
    command = [sys.executable, "-P", "-m", "harness.drive.trial"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=trial_environment(external)
    )
    try:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.close()
        for line in process.stdout:
            content = json.loads(line)
            if content["event"] == "refused":
                raise UsageError(content["reason"])
            yield content
        code = process.wait()
        if code:
            message = f"the process that sends ended with code {code}"
            raise ProcessFailedError(message)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
