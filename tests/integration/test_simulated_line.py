"""The simulation of a shared line held against the mock server over sockets: one short scenario, run and simulated.

Tolerances are the goal of a simulation for times (10 %), of which runs on a busy machine needed 2 %. Bytes that come in are exact but for
heads, of which the simulation has an average; the lengths of results are modelled to 4 %, and a read more or less is 2 % of them.
"""

import pytest
from typer.testing import CliRunner

from harness.analysis.summarise import load_summary
from harness.cli.app import app
from harness.run_folder.layout import RunFolder
from harness.run_folder.scrape_log import read_scrapes
from tests.support.real_runs import TINY, assert_passed_or_late, in_time

pytestmark = pytest.mark.heavy
LINE = """
[readers]
rate = "30/s"
[server]
ingress = "300KB/s"
egress = "60KB/s"
"""


def last_value(folder, name):
    """The last value of one of the server's series."""
    texts = [scrape.text for scrape in read_scrapes(folder.scrapes, "server") if scrape.text]
    (line,) = (line for line in texts[-1].splitlines() if line.startswith(f"{name} "))
    return float(line.split()[1])


@pytest.mark.timed  # holds a simulation against a measured run, whose figures are those of a machine that keeps up
def test_the_same_scenario_over_sockets_and_simulated_has_the_same_figures(tmp_path):
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(TINY.replace("[server]", LINE), "utf-8")
    code, output, path = in_time("scenario.toml", cwd=tmp_path)
    assert_passed_or_late(code, path, output)
    done = CliRunner().invoke(app, ["simulate", str(scenario), "--out", str(tmp_path / "simulated")])
    assert done.exit_code == 0, done.output
    run, twin = RunFolder(path), RunFolder(tmp_path / "simulated")
    measured, predicted = load_summary(run), load_summary(twin)
    assert predicted.attempts.total == measured.attempts.total == 36
    assert predicted.delivery_seconds.p50 == pytest.approx(measured.delivery_seconds.p50, rel=0.1)
    assert predicted.completion_seconds.max == pytest.approx(measured.completion_seconds.max, rel=0.1)
    assert predicted.readers is not None
    assert measured.readers is not None
    assert predicted.readers.planned == pytest.approx(measured.readers.planned, rel=0.05)
    # A request of a reader waits for one turn of all uploads: what this is made of is 60 ms long at most.
    assert predicted.readers.reader_seconds.p50 == pytest.approx(measured.readers.reader_seconds.p50, rel=0.25)
    for name, tolerance in (("mock_server_ingress_bytes_total", 0.005), ("mock_server_egress_bytes_total", 0.1)):
        assert last_value(twin, name) == pytest.approx(last_value(run, name), rel=tolerance), name
    assert predicted.server.ingress_utilisation_max_ratio == pytest.approx(1.0, abs=0.02)
