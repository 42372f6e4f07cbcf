"""nginx, driven by its scenario in docs/targets."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.run_folder.layout import RunFolder
from tests.support.foreign_servers import TARGETS, delivered_and_stored, serving
from tests.support.free_port import free_port
from tests.support.real_runs import PATIENCE_S, harness, wait_for

pytestmark = pytest.mark.peers


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
    """30 a second, by limit_req; the plan asks 80, so 20 and 40 are tried. `make bench PART=capacity` finds it within 5 %."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", "capacity", str(TARGETS / "nginx.toml"), "--target", nginx, "--out", "found",
         "--set", "stations.count=107", "--width", "100%"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode in {ExitCode.FAILED, ExitCode.INVALID}, (
        done.stdout + done.stderr
    )  # INVALID: too busy to be on time
    found = json.loads((tmp_path / "found" / "sustained.json").read_text())
    assert found["asks_per_s"] == pytest.approx(80, rel=0.02)
    if done.returncode == ExitCode.FAILED:
        assert found["bears_per_s"] is None or found["bears_per_s"] <= 31
        assert found["fails_per_s"] <= 41


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
