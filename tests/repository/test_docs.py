"""The repository tests itself: everything that users can name is documented, and what is documented is there."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from harness.analysis.capacity import (
    CapacityBracket,
    CapacityCondition,
    CapacityFigures,
    CapacityLevel,
    LoadConfirmation,
    LoadDemand,
    PlayedSeed,
    VariedResource,
)
from harness.analysis.capacity_map import MapAxis, MapCell, MapFigures
from harness.analysis.comparable import COMPARABLE_FIGURES, JUDGED_FIGURES, SHOWN_FIGURES
from harness.analysis.durations import DURATION_METRICS
from harness.analysis.sustained import SustainedFigures, SustainedLevel
from harness.base.errors import ExitCode
from harness.base.model import ALL_STATUSES, OUTCOMES, UNSAFE_STATUSES
from harness.drive.locust_mode.test import MOCK, add_options
from harness.judge.compare.results import Comparison, FigureComparison, RelativeChange, RunFacts
from harness.judge.results import Audit, AuditSets
from harness.judge.validity import VALIDITY_RULES
from harness.measure.metrics import BUCKETS_S, WorkerMetrics
from harness.run_folder.layout import RunFolder
from harness.scenario import flow, request, scenario
from harness.scenario import target as scenario_target
from harness.scenario.arrivals import Arrivals, BurstOptions
from harness.scenario.capacity_file import CapacityFile
from harness.scenario.client import ClientOptions, Link, LinkQuality, Outages, TlsOptions, TusOptions
from harness.scenario.experiment import Experiment, Variant, load_experiment
from harness.scenario.loader import load_scenario, shipped_scenarios
from harness.scenario.retry import Retry
from harness.scenario.stations import StationOptions
from harness.target import consent
from reports.charts import CHARTS
from tests.support.documents import DOCUMENTS, ROOT, anchors, codes, links
from tests.support.fault_runs import CATCHES, DEDUPES

TABLES: dict[str, type[BaseModel]] = {
    "": scenario.Scenario,
    "stations.": StationOptions,
    "photos.": scenario.PhotoOptions,
    "client.": ClientOptions,
    "client.link.": Link,
    "target.": scenario_target.TargetApi,
    "client.tls.": TlsOptions,
    "client.tus.": TusOptions,
    "audit.": scenario.AuditOptions,
}


def doc(name):
    (path,) = (ROOT / "docs").rglob(f"{name}.md")
    return path.read_text("utf-8")


@pytest.mark.parametrize("prefix", list(TABLES))
def test_every_key_of_a_scenario_is_documented(prefix):
    named = codes(doc("scenario-keys") + doc("target-keys"))
    for key, field in TABLES[prefix].model_fields.items():
        if f"{prefix}{key}." not in TABLES and key != "arrivals":  # a table has keys of its own
            assert f"{prefix}{field.alias or key}" in named, key


def test_every_rule_under_which_a_run_is_invalid_is_documented_and_none_that_is_not():
    section = doc("measuring").partition("\n## INVALID\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(VALIDITY_RULES)


def test_every_key_of_an_experiment_is_documented():
    named = codes(doc("experiment-keys"))
    assert set(Experiment.model_fields) | set(Variant.model_fields) <= named


def test_every_key_of_a_capacity_file_is_documented():
    assert set(CapacityFile.model_fields) <= codes(doc("capacity-file"))


def kinds_of(annotation, key):
    models: list[type[BaseModel]] = list(annotation.__origin__.__args__)
    return {get_args(kind.model_fields[key].annotation)[0]: kind for kind in models}


@pytest.mark.parametrize(("annotation", "key", "prefix", "count"), [(Arrivals, "kind", "arrivals.", 10), (Retry, "strategy", "client.retry.", 12)])  # fmt: skip
def test_every_kind_of_arrival_and_every_strategy_is_documented_with_its_keys(annotation, key, prefix, count):
    named = codes(doc("arrivals") + doc("strategies"))
    headings = anchors(doc("arrivals") + doc("strategies"))
    kinds = kinds_of(annotation, key)
    assert len(kinds) == count
    for kind, model in kinds.items():
        assert kind in headings
        for name in set(model.model_fields) - {key}:  # the kind itself is the section's heading
            assert f"{prefix}{name}" in named, name


INNER = [
    BurstOptions, Outages, LinkQuality, request.MultipartPart, request.LoginRequest, request.StatusMeanings, flow.Step, flow.Success, scenario_target.StoredUrl, scenario_target.ListedFields,
    scenario_target.StoredCommand, scenario_target.StoredFetch, scenario_target.MetricsEndpoint,
]  # fmt: skip


@pytest.mark.parametrize("table", INNER)
def test_every_key_of_an_inner_table_is_documented(table):
    named = codes(doc("scenario-keys") + doc("arrivals") + doc("target-keys"))
    assert {key.rpartition(".")[2] for key in named} >= set(table.model_fields)


def test_every_option_that_we_add_to_locust_is_documented_with_its_default():
    seen: dict[str, object] = {}

    class Options:
        def add_argument(self, name, *, default, **_):
            seen[name] = default

        def set_defaults(self, **defaults):
            seen.update({f"--{name.replace('_', '-')}": value for name, value in defaults.items()})

    add_options(Options())
    documented = dict(re.findall(r"^\| `(--[\w-]+)` \| `([^`]+)` \|", doc("locust"), re.MULTILINE))
    assert documented == {**seen, "--host": MOCK}


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "targets").glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_for_a_foreign_server_is_valid_and_documented(path):
    assert load_scenario(str(path)).target is not None
    assert path.name in codes(doc("targets/README"))


def test_the_documented_consent_is_one():
    (written,) = re.findall(r"^(\{.*\})$", doc("consent"), re.MULTILINE)
    assert set(json.loads(written)) == set(consent.Consent.model_fields)
    assert f"GET {consent.CONSENT_PATH}" in doc("consent")


def test_every_shipped_scenario_is_documented():
    assert set(shipped_scenarios()) <= codes(doc("scenario"))


def test_every_outcome_is_documented():
    assert {str(outcome) for outcome in OUTCOMES} <= codes(doc("measuring"))


def test_every_chart_is_documented_and_no_other():
    documented = set(re.findall(r"^\| `(\w+)` \|", doc("charts"), re.MULTILINE))
    assert documented == {chart.name for chart in CHARTS}


def test_every_sample_of_a_threshold_is_documented():
    assert set(DURATION_METRICS) <= codes(doc("thresholds"))


def test_every_figure_that_can_be_compared_is_documented():
    named = codes(doc("compare"))
    assert set(JUDGED_FIGURES) | set(SHOWN_FIGURES) <= named
    for key in COMPARABLE_FIGURES:
        assert key in named or set(key.split(".")) <= named, key


def test_every_field_of_a_comparison_is_documented():
    named = codes(doc("compare"))
    for record in (Comparison, FigureComparison, RelativeChange, RunFacts):
        assert set(record.model_fields) <= named, record


def test_every_exit_code_is_documented_and_no_other():
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", doc("thresholds"), re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


def test_every_metric_of_the_generator_is_documented_with_its_labels_and_no_other():
    telemetry = WorkerMetrics([], {"run": "", "scenario": "", "worker": ""})
    there = set()
    for family in telemetry.registry.collect():
        if family.name.startswith("harness_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ",".join(family.samples[0].labels) if family.samples and family.type != "histogram" else ""
            labels = labels or ("reason" if "retries" in name else "")
            there.add(f"{name}{{{labels}}}" if labels else name)
    documented = set(re.findall(r"^\| `(harness_[^`]+)` \|", doc("metrics"), re.MULTILINE))
    assert documented == there


def test_the_documented_buckets_are_the_buckets():
    text = doc("metrics")
    listed = text[text.index("Buckets, in seconds:") :].split(",")[1].split(":")[1].split()
    assert [float(bound) for bound in listed] == list(BUCKETS_S)


def test_every_file_of_the_run_folder_is_documented():
    named = codes(doc("run-folder"))
    folder = RunFolder(Path("run"))
    for name, path in vars(folder).items():
        if name in {"path", "report"}:
            continue
        relative = str(path.relative_to("run"))
        assert {relative, f"{relative}/"} & named, name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_of_it(path):
    for file, anchor in links(path.read_text("utf-8")):
        target = path.parent / file if file else path
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{file}#{anchor}"


def test_every_target_of_the_makefile_is_listed_by_help():
    text = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    listed = re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)
    assert sorted(phony.split()) == sorted(listed)


@pytest.mark.parametrize("path", sorted((ROOT / "harness" / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_that_ships_is_valid_in_every_cell_and_documented(path):
    experiment, cells = load_experiment(str(path))
    assert len(cells) == len(experiment.variants) * len(experiment.seeds)
    assert f"`harness experiment {path.stem}`" in doc("experiments")


def test_the_table_of_what_the_audit_catches_is_the_one_that_is_proved():
    rows = re.findall(r"^\| (.+) \| (\S+) \| (\S+) \| (\S+) \|$", doc("what-the-audit-catches"), re.MULTILINE)
    header, _, *cells = [[cell.replace("`", "") for cell in row] for row in rows]
    assert header == ["planted", *DEDUPES]
    proved = [[planted.name, *map(shown, planted.becomes.values())] for planted in CATCHES]
    assert cells == proved


def shown(category):
    return f"**{category}**" if category in UNSAFE_STATUSES else str(category)


def test_every_category_of_the_audit_and_every_key_of_its_file_is_documented():
    named = codes(doc("run-folder"))
    assert set(ALL_STATUSES) | set(Audit.model_fields) | set(AuditSets.model_fields) <= named


def test_every_key_of_a_capacity_search_is_documented():
    named = {
        part
        for code in codes((ROOT / "docs/reference/capacity.md").read_text("utf-8"))
        for part in re.split(r"\W+", code)
    }
    models = (
        CapacityFigures,
        CapacityCondition,
        LoadDemand,
        CapacityBracket,
        CapacityLevel,
        LoadConfirmation,
        PlayedSeed,
        VariedResource,
        MapFigures,
        MapAxis,
        MapCell,
        SustainedFigures,
        SustainedLevel,
    )
    assert {key for model in models for key in model.model_fields} <= named
