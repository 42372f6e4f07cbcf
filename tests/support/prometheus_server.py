"""A real Prometheus on loopback, with the configuration that ships."""

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

from harness.measure.prometheus import PrometheusClient, PrometheusError
from tests.support.free_port import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def deployed(folder):
    """A copy of deploy/'s configuration, so that tests share no folder of targets; the path of its prometheus.yml."""
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("harness-*.json"))
    return folder / "prometheus.yml"


@contextlib.contextmanager
def prometheus(config, data, *options):
    """A Prometheus that is ready to answer, and its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    log = data.with_suffix(".log")
    argv = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}",
        f"--web.listen-address={url.removeprefix('http://')}", *options,
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        wait_until_ready(process, url, log)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(process, url, log):
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(PrometheusError):
            PrometheusClient(url).now()
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text("utf-8"))
