"""Servers that no one here wrote, started for a test, and what has to be true after a run against them."""

import contextlib
import os
import socket
import subprocess
from pathlib import Path

import duckdb

from harness.analysis.summarise import load_summary
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder
from tests.support.real_runs import wait_for

TARGETS = Path(__file__).parents[2] / "docs" / "targets"


@contextlib.contextmanager
def serving(argv, port, cwd, **variables):
    """A server that listens on that port, for as long as the block lasts."""
    with (cwd / "server.log").open("ab") as log:
        process = subprocess.Popen(argv, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **variables})
    try:
        wait_for(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, (cwd / "server.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def delivered_and_stored(folder):
    """Every planned page was acknowledged, and what the server holds is what was planned, byte for byte."""
    summary = load_summary(RunFolder(folder))
    assert summary.pages.delivered == summary.pages.planned == summary.audit.ok
    assert load_verdict(RunFolder(folder)).safety is True
    query = "SELECT station, form, page, sha256 FROM '{}' ORDER BY ALL"
    planned = duckdb.execute(query.format(folder / "plan.parquet")).fetchall()
    assert duckdb.execute(query.format(folder / "stored.parquet")).fetchall() == planned
    return summary
