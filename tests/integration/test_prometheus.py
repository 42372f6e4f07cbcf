"""A real Prometheus beside a real run, with the configuration, the rules and the dashboards that ship."""

import json
import math
import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import promql_parser
import pytest

from harness.analysis.chart_data import load_chart_data
from harness.analysis.scraped_metrics import ATTEMPTS, DELIVERED, DUE, read_prometheus_series, read_run_series
from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode
from harness.measure.prometheus import PrometheusClient
from harness.run_folder import scrape_log
from harness.run_folder.layout import RunFolder
from tests.support.prometheus_server import DEPLOY, deployed, prometheus
from tests.support.real_runs import REPORT, run_to_end, told

pytestmark = pytest.mark.peers

RESTLESS = """
name = "restless"
title = "Everything that an exporter can count is counted"
seed = 5
deadline = "12s"
[stations]
count = 80
[photos]
size = "30KB"
bank = 2
[arrivals]
kind = "constant"
over = "3s"
[client]
timeout = "300ms"
retry = { strategy = "full_jitter", base = "100ms", cap = "1s" }
[server]
workers = 2
queue_capacity = 6
shed = "queue_full"
service_time = { distribution = "lognormal", median = "5ms", sigma = 0.3 }
[[faults]]
name = "brownout"
kind = "capacity"
start = "1s"
duration = "1s"
factor = 0.02
[[faults]]
name = "refusals"
kind = "abort"
start = "2s"
duration = "500ms"
[[thresholds]]
assert = "stations.completed_by_deadline_ratio >= 100%"
"""
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
RULES = DEPLOY / "rules" / "harness.yml"


def promtool(*arguments, **options):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A finished run of two workers that a Prometheus has watched, and that Prometheus, still there."""
    place = tmp_path_factory.mktemp("watched")
    config = deployed(place / "deploy")
    targets = config.parent / "targets"
    with prometheus(config, place / "data") as url:
        by_prometheus = ["--prometheus", url, "--prometheus-sd", targets]
        folder, code, output = run_to_end(place, RESTLESS, "--workers", "2", *by_prometheus, **REPORT)
        # a starved machine makes the run INVALID; what was scraped of it is as good
        assert code in {ExitCode.PASSED, ExitCode.INVALID}, output
        yield SimpleNamespace(
            place=place,
            folder=folder,
            url=url,
            prometheus=PrometheusClient(url),
            targets=targets,
            run=folder.read_run(),
        )


def rates_of(folder):
    rates = load_chart_data(folder).rates
    return {line.label: line for line in (rates.offered, rates.goodput, rates.throughput, *rates.outcomes)}


def remote_of(folder) -> Any:
    return read_prometheus_series(folder.prometheus)


def assert_adds_up_to(line, number):
    """Rates are by the second, the last one by as much as there is. A starved machine leaves gaps: less is known then."""
    edges = np.append(np.floor(line.t_s), 2 * line.t_s[-1] - np.floor(line.t_s[-1]))
    found = float(np.nansum(line.value * np.diff(edges)))
    assert found <= number + 1e-6 if np.isnan(line.value).any() else found == pytest.approx(number), line.label


def test_every_count_that_prometheus_scraped_lies_between_our_scrapes_around_it(watched):
    own, remote = read_run_series(watched.folder.scrapes).workers, remote_of(watched.folder)
    ours: Any
    assert remote.record.url == watched.url
    assert [curves.target for curves in remote.workers] == [curves.target for curves in own] == ["worker-0", "worker-1"]
    for ours, theirs in zip(own, remote.workers, strict=True):
        assert len(theirs.t_s) >= 4
        for name in (DUE, DELIVERED, ATTEMPTS):
            known, seen = ours.counter(name), theirs.counter(name)
            assert known[-1] == seen[-1] > 0
            for t_s, value in zip(theirs.t_s, seen, strict=True):
                before, after = known[ours.t_s < t_s - 0.5], known[ours.t_s > t_s + 0.5]
                assert (before[-1] if len(before) else 0) <= value <= (after[0] if len(after) else known[-1])


def test_throughput_and_failures_are_drawn_from_prometheus_and_add_up_to_the_rows(watched, tmp_path):
    summary = load_summary(watched.folder)
    assert f"drawn from the scrapes of {watched.url}" in " ".join(load_chart_data(watched.folder).notes)
    assert watched.url in watched.folder.page.read_text("utf-8")
    lines = rates_of(watched.folder)
    shutil.copytree(watched.folder.path, tmp_path / "own")
    shutil.rmtree(tmp_path / "own" / "prometheus")
    own = rates_of(RunFolder(tmp_path / "own"))
    assert list(own["offered"].value) != list(lines["offered"].value)
    assert summary.attempts.by_outcome["unavailable"] > 10
    for drawn in (lines, own):
        assert_adds_up_to(drawn["offered"], summary.pages.planned)
        assert_adds_up_to(drawn["goodput"], summary.pages.delivered)
        for outcome, number in summary.attempts.by_outcome.items():
            if number:
                assert_adds_up_to(drawn[outcome], number)


def test_the_targets_file_is_gone_and_all_targets_were_scraped(watched):
    assert not list(watched.targets.glob("harness-*"))
    found = watched.prometheus.query(f'max_over_time(up{{run="{watched.run.id}"}}[5m])')
    assert {(one.labels["job"], one.labels["target"], one.value) for one in found} == {
        ("harness", "worker-0", 1.0), ("harness", "worker-1", 1.0), ("mock_server", "server", 1.0),
    }  # fmt: skip


def test_an_export_becomes_blocks_that_give_the_same_charts(watched, tmp_path):
    shutil.copytree(watched.folder.path, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    shutil.rmtree(folder.prometheus)
    own = rates_of(folder)
    code, text = told("export", folder.path, "--openmetrics", cwd=tmp_path)
    assert code == 0
    assert told("export", folder.path, "--openmetrics", "--out", "run.om", cwd=tmp_path) == (0, "")
    assert (tmp_path / "run.om").read_text("utf-8") == text
    code, output = promtool("tsdb", "create-blocks-from", "openmetrics", tmp_path / "run.om", tmp_path / "blocks")
    assert code == 0, output
    with prometheus("/dev/null", tmp_path / "blocks", "--storage.tsdb.retention.time=10y") as url:
        code, output = told("report", folder.path, "--prometheus", url, cwd=tmp_path)
        assert code == 0, output
        (up,) = PrometheusClient(url).query(f'sum(count_over_time(up{{run="{watched.run.id}"}}[1h]))')
    scraped = sum(
        len(list(scrape_log.read_scrapes(folder.scrapes, target))) for target in scrape_log.list_targets(folder.scrapes)
    )
    assert up.value == scraped
    again = rates_of(folder)
    assert again.keys() == own.keys()
    for label, line in again.items():  # times are kept to the millisecond
        np.testing.assert_allclose(line.t_s, own[label].t_s, atol=0.002, err_msg=label)
        np.testing.assert_allclose(np.cumsum(line.value), np.cumsum(own[label].value), atol=2, err_msg=label)


@pytest.mark.parametrize("target", ["worker-0", "server"])
def test_promtool_has_nothing_to_say_about_an_exporter(watched, target):
    *_, last = scrape_log.read_scrapes(watched.folder.scrapes, target)
    code, output = promtool("check", "metrics", input=last.text)
    assert (code, output) == (0, "")


def test_the_configuration_is_valid_and_the_rules_do_what_they_say():
    for arguments in [
        ("check", "config", DEPLOY / "prometheus.yml"),
        ("test", "rules", DEPLOY / "rules" / "tests" / "harness_test.yml"),
    ]:
        code, output = promtool(*arguments)
        assert code == 0, output


def test_every_rule_has_evaluated_without_an_error(watched):
    groups = watched.prometheus.rules()
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == set(written_rules())
    assert [(rule["health"], rule.get("lastError", "")) for rule in rules] == [("ok", "")] * len(rules)


def written_rules():
    return re.findall(r"^ +- (?:alert|record): (\S+)$", RULES.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("rule", written_rules())
def test_every_rule_has_a_test_in_which_it_gives_something(rule):
    tests = (RULES.parent / "tests" / "harness_test.yml").read_text("utf-8")
    recorded = rf"- expr: {rule}\n +eval_time: \S+\n +exp_samples:\n +-"
    fired = rf"- alertname: {rule}\n +eval_time: \S+\n +exp_alerts:\n +-"
    assert re.search(recorded, tests) or re.search(fired, tests)


def expressions(path):
    board = json.loads(path.read_text("utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} ({target['refId']})", target["expr"]
    for annotation in board["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]


def filled_in(expression, run):
    """An expression as Grafana sends it, for a minute around the run."""
    return expression.replace("$run", run).replace("$__rate_interval", "4s")


def series_in(node):
    """Names of the series that an expression selects, from its syntax tree."""
    if isinstance(node, promql_parser.VectorSelector):
        return {node.name}
    parts = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    parts += getattr(node, "args", None) or []
    return set().union(*(series_in(part) for part in parts if part is not None and not isinstance(part, str)))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_expression_of_a_dashboard_gives_values_of_a_real_run(watched, path):
    t0 = watched.run.t0_epoch
    end = t0 + watched.run.ended.at_s
    asked = 0
    for name, expression in expressions(path):
        text = filled_in(expression, watched.run.id)
        found = watched.prometheus.query_range(text, t0 - 1, end + 3, 1)
        told = [sample for sample in found if not math.isnan(sample.value)]
        assert told or "ALERTS" in expression, f"{name}: {text}"  # no alert need have fired
        asked += 1
    assert asked >= 13


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_names_only_series_that_exporters_show(watched, path):
    shown = {"up", "ALERTS"}
    for target in ("worker-0", "server"):
        *_, last = scrape_log.read_scrapes(watched.folder.scrapes, target)
        shown |= {line.split("{")[0].split(" ")[0] for line in last.text.splitlines() if not line.startswith("#")}
    named = set().union(*(series_in(promql_parser.parse(filled_in(text, "x"))) for _, text in expressions(path)))
    assert named - shown == set()
    assert len(named) > 8
