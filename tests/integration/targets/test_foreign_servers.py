"""Upload servers that no one here wrote, each driven by its scenario in docs/targets: nginx, moto's S3, @tus/server."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.judge.verdict import load_verdict
from harness.run_folder.layout import RunFolder
from tests.support.free_port import free_port
from tests.support.real_runs import PATIENCE_S, harness, wait_for

pytestmark = pytest.mark.peers

TARGETS = Path(__file__).parents[3] / "docs" / "targets"
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKIASESAME/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=sesame"
)


@contextlib.contextmanager
def serving(argv, port, cwd):
    """A server that listens on that port, for as long as the block lasts."""
    with (cwd / "server.log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=cwd, stdout=log, stderr=subprocess.STDOUT)
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


@pytest.fixture
def nginx(tmp_path):
    if shutil.which("nginx") is None:
        pytest.fail("nginx is needed: apt-get install nginx")
    (tmp_path / "site" / "photos").mkdir(parents=True)
    (tmp_path / "site" / "partial").mkdir()
    port = free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text((TARGETS / "nginx.conf").read_text("utf-8").replace("18080", str(port)), "utf-8")
    if os.geteuid() == 0:  # as root nginx gives its workers to nobody, who may not write here
        conf.write_text("user root;\n" + conf.read_text("utf-8"), "utf-8")
    with serving(["nginx", "-p", str(tmp_path / "site"), "-c", str(conf)], port, tmp_path) as url:
        yield url


def test_nginx_takes_every_photo_although_it_refuses_some_at_first(nginx, tmp_path):
    arguments = ["run", TARGETS / "nginx.toml", "--target", nginx, "--out", "run"]
    code, output = harness(*arguments, cwd=tmp_path, TARGET_ROOT=str(tmp_path / "site"))
    assert (code, "--allow-command" in output) == (ExitCode.USAGE, True), output
    code, output = harness(*arguments, "--allow-command", cwd=tmp_path, TARGET_ROOT=str(tmp_path / "site"))
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output  # INVALID on a machine that is too busy to be on time
    summary = delivered_and_stored(tmp_path / "run")
    assert summary.attempts.by_outcome["throttled"] > 20
    assert summary.attempts.by_outcome["accepted"] == 240


def test_the_rate_at_which_nginx_limits_requests_is_found(nginx, tmp_path):
    """30 a second, by limit_req; the plan asks 60."""
    code, output = harness("capacity", TARGETS / "nginx.toml", "--target", nginx, "--out", "found", cwd=tmp_path)
    assert code in {ExitCode.FAILED, ExitCode.INVALID}, output  # INVALID on a machine that is too busy to be on time
    if code == ExitCode.FAILED:
        found = json.loads((tmp_path / "found" / "sustained.json").read_text())
        assert found["bears_per_s"] <= 30 * 1.03
        assert found["fails_per_s"] >= 30 * 0.97
        assert "your plan's busiest 4 s asks 6" in output


def test_a_photo_that_nginx_lost_after_its_answer_fails_the_run(nginx, tmp_path):
    """A saboteur removes two files and spoils a third as soon as they are whole."""
    site = tmp_path / "site" / "photos"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "harness", "run", str(TARGETS / "nginx.toml"), "--target", nginx, "--out", "run", "--allow-command"],
        cwd=tmp_path, env={**os.environ, "TARGET_ROOT": str(tmp_path / "site")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: len(list(site.rglob("*.jpg"))) > 150)
    first, second, third = sorted(site.rglob("*.jpg"), key=lambda path: path.stat().st_mtime)[:3]
    first.unlink()
    second.unlink()
    third.write_bytes(third.read_bytes()[:-1] + b"!")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.FAILED, output
    counts = load_summary(RunFolder(tmp_path / "run")).audit
    assert (counts.lost, counts.corrupted, counts.unsafe) == (2, 1, 3)


def test_an_s3_like_server_takes_every_photo_and_gives_it_back(tmp_path):
    port = free_port()
    with serving([str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)], port, tmp_path) as url:  # fmt: skip
        bucket = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        bucket.request("PUT", "/photos", headers={"Authorization": AUTHORIZATION})
        assert bucket.getresponse().status == 200
        bucket.close()
        code, output = harness(
            "run", TARGETS / "s3.toml", "--target", url, "--out", "run", cwd=tmp_path, TARGET_AUTHORIZATION=AUTHORIZATION
        )  # fmt: skip
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    delivered_and_stored(tmp_path / "run")
    headers = json.loads((tmp_path / "run" / "run.json").read_text())["scenario"]["target"]["headers"]
    assert headers["Authorization"] == "${TARGET_AUTHORIZATION}"
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"AKIASESAME" not in path.read_bytes(), path


def test_a_tus_server_is_resumed_over_lines_that_break_and_every_photo_is_whole(tmp_path, npm):
    (tmp_path / "node_modules").symlink_to(npm("tus-server") / "node_modules")
    shutil.copy(TARGETS / "tus-server.mjs", tmp_path / "tus-server.mjs")
    files = tmp_path / "files"
    files.mkdir()
    port = free_port()
    with serving(["node", "tus-server.mjs", str(port), str(files)], port, tmp_path) as url:
        code, output = harness(
            "run", TARGETS / "tus.toml", "--target", url, "--out", "run", "--allow-command",
            cwd=tmp_path, TARGET_ROOT=str(files), TARGET_LISTER=str(TARGETS / "tus-stored.mjs"),
        )  # fmt: skip
    assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
    summary = delivered_and_stored(tmp_path / "run")
    assert summary.attempts.total > summary.pages.planned  # the line broke, and it went on
