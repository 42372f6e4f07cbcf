"""The audit, proved: planted faults against the server's own log of what it did, page by page. No miss, no false alarm."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import duckdb
import pytest

from harness.analysis.page_status import load_page_statuses
from harness.analysis.rows import load_rows
from harness.base.errors import ExitCode
from harness.base.model import ALL_STATUSES, UNSAFE_STATUSES, PageStatus
from harness.base.signals import SignalHandler
from harness.judge.audit import load_audit
from harness.judge.verdict import judge_run
from harness.plan import make_plan
from harness.run_folder.layout import RunFolder
from harness.runner.run import Run
from harness.runner.run_spec import RunSpec
from harness.scenario.scenario import Scenario
from reports.ci import SAFETY
from reports.live_view import QuietView
from tests.support.fault_runs import CATCHES, DEDUPES, SPOKEN
from tests.support.real_runs import REPORT, run_to_end, told

BASE = {
    "name": "planted", "seed": 7, "deadline": "12s", "stations": {"count": 100}, "photos": {"size": "4KB", "bank": 2},
    "arrivals": {"kind": "constant", "over": "2s"},
    "client": {"timeout": "5s", "retry": {"strategy": "full_jitter", "base": "50ms", "cap": "300ms"}},
    "server": {"workers": 8, "service_time": "4ms"},
}  # fmt: skip


def driven(path, dedupe, faults, settings=()):
    """A real run, judged: its folder and verdict."""
    content = json.loads(json.dumps({**BASE, "faults": faults}))
    for key, value in {"server.dedupe": dedupe, **dict(settings)}.items():
        *tables, last = key.split(".")
        table = content
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    scenario = Scenario.model_validate(content)
    order = RunSpec(scenario, make_plan(scenario), RunFolder(path), "planted", ["pytest"], [])
    with SignalHandler() as signals:
        Run(order, QuietView("planted"), signals).execute()
    return order.folder, judge_run(order.folder, []).verdict


def struck(folder, *faults):
    """Pages that the server says it struck, by the name of the fault; all faults if none is named."""
    lines = [json.loads(line) for line in (folder.server / "injections.jsonl").read_text().splitlines()]
    return {(line["station"], line["form"], line["page"]) for line in lines if not faults or line["fault"] in faults}


def by_category(folder):
    """Pages of every category that occurred, and None -> how many copies belong to no page."""
    rows = load_rows(folder)
    fates = load_page_statuses(folder, rows)
    keys = rows_of("SELECT station, form, page FROM {}", folder.plan)
    found: dict[PageStatus, set[tuple[str, str, int]]] = {}
    for key, number in zip(keys, fates.status_number.tolist(), strict=True):
        found.setdefault(ALL_STATUSES[number], set()).add(key)
    assert len(fates.unexpected) == 0
    return found


def tried_again(folder):
    query = "SELECT station, form, page FROM {} WHERE outcome <> 'withheld' GROUP BY ALL HAVING count(*) > 1"
    return set(rows_of(query, folder.attempts))


def rows_of(query, path):
    return duckdb.execute(query.format(f"'{path}'")).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("dedupe", DEDUPES)
@pytest.mark.parametrize("planted", CATCHES, ids=lambda planted: planted.name)
def test_each_fault_has_its_category_on_the_pages_it_hit_and_on_no_other(tmp_path, planted, dedupe):
    folder, verdict = driven(tmp_path / "run", dedupe, [planted.fault], planted.settings)
    hit, found, becomes = struck(folder), by_category(folder), planted.becomes[dedupe]
    pages = sum(map(len, found.values()))
    assert 1 <= len(hit) <= 0.12 * pages
    if becomes is PageStatus.OK:
        assert found.keys() == {PageStatus.OK}
    else:
        assert found[becomes] == hit
        assert found.keys() == {becomes, PageStatus.OK}
    if "ack_lost" in planted.name or "crash" in planted.name:
        again = set() if becomes is PageStatus.RECOVERED else hit
        assert again <= tried_again(folder) if "crash" in planted.name else again == tried_again(folder)
    assert verdict.safety is (becomes not in UNSAFE_STATUSES)
    assert (verdict.exit_code == ExitCode.FAILED) is (becomes in UNSAFE_STATUSES)
    audit = load_audit(folder)
    assert audit is not None
    listed = {(page.station, page.form, page.page) for of in audit.pages.values() for page in of}
    assert listed == (hit if becomes in UNSAFE_STATUSES else set())


@pytest.mark.slow
@pytest.mark.parametrize("protocol", sorted(SPOKEN))
@pytest.mark.parametrize("dedupe", DEDUPES)
def test_a_clean_twin_stays_green_through_a_kill(tmp_path, dedupe, protocol):
    settings = {"client.protocol": protocol, "audit.kill_server": True}
    folder, verdict = driven(tmp_path / "run", dedupe, [], settings)
    assert by_category(folder).keys() == {PageStatus.OK}
    assert (verdict.safety, verdict.liveness) == (True, True)
    assert verdict.exit_code in {ExitCode.PASSED, ExitCode.INVALID}  # a busy machine may spoil the measurement


SEVERAL = """
name = "several"
seed = 11
deadline = "8s"
[stations]
count = 60
[photos]
size = "4KB"
bank = 2
[arrivals]
kind = "constant"
over = "1500ms"
[client]
timeout = "5s"
retry = { strategy = "full_jitter", base = "50ms", cap = "300ms" }
[server]
workers = 8
service_time = "4ms"
[audit]
kill_server = true
"""
PLANTED = {
    "false_ack": ("3509191001", PageStatus.LOST),
    "duplicate_store": ("3509191004", PageStatus.DUPLICATED),
    "misread": ("3509191005", PageStatus.ALTERED),
    "misfile": ("3509191007", PageStatus.MISFILED),
}
"""Each in a kelurahan of its own, so that they don't meet."""


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """One run with four faults, whose server was killed and started again before it was read: folder, exit code, output."""
    place = tmp_path_factory.mktemp("several")
    faults = [
        f'[[faults]]\nkind = "{kind}"\nprobability = 0.4\nmatch = {{ station = "{where}" }}\n'
        for kind, (where, _) in PLANTED.items()
    ]
    return run_to_end(place, SEVERAL + "".join(faults), **REPORT)


def test_four_faults_at_once_are_told_apart_page_by_page_through_a_kill(several):
    folder, code, output = several
    assert code == ExitCode.FAILED, output
    found = by_category(folder)
    for kind, (_, category) in PLANTED.items():
        hit = struck(folder, kind)
        assert len(hit) > 1
        assert found[category] == hit, kind
    assert found.keys() == {category for _, category in PLANTED.values()} | {PageStatus.OK}


def test_the_server_was_killed_before_it_was_read(several):
    folder, _, _ = several
    record = folder.read_run()
    assert record.stock is not None
    assert (record.stock.after_kill, record.stock.reason, record.problems) == (True, "", [])
    assert (folder.logs / "server-restarted.log").exists()
    assert "drained" in (folder.logs / "server.log").read_text(), "only after its drain"


def test_every_unsafe_page_is_listed_with_what_was_expected_and_found(several):
    folder, _, _ = several
    audit = load_audit(folder)
    assert audit is not None
    assert (audit.safety, audit.liveness) == (False, False)
    lost, misfiled = audit.pages["lost"], audit.pages["misfiled"]
    assert all(page.found == [] and page.acknowledged_s is not None for page in lost)
    for page in misfiled:
        (copy,) = page.found
        assert page.expected is not None
        assert (copy.station[10:], copy.sha256) == ("000", page.expected.sha256)
    for page in audit.pages["altered"]:
        assert page.expected is not None
        assert page.found[0].reading != page.expected.reading


def test_the_audit_is_in_the_report_for_people_and_for_ci(several):
    folder, _, output = several
    audit = load_audit(folder)
    assert audit is not None
    page = audit.pages["lost"][0]
    html, markdown = folder.page.read_text(), folder.markdown.read_text()
    assert f"{audit.counts.lost} lost" in html
    assert f"{page.station} {page.form} {page.page}" in html
    assert f"{page.station} {page.form} {page.page}" in markdown
    assert "The server is not safe" in output
    cases = ET.parse(folder.junit).iter("testcase")  # noqa: S314 - our own
    (case,) = [case for case in cases if case.get("name") == SAFETY]
    failure = case.find("failure")
    assert failure is not None
    assert page.station in str(failure.text)


def test_audit_prints_the_table_again_and_exits_99(several):
    folder, _, _ = several
    before = folder.audit.read_text()
    folder.audit.unlink()
    code, output = told("audit", folder.path, cwd=folder.path)
    assert code == ExitCode.FAILED
    assert folder.audit.read_text() == before
    assert output.startswith("Not safe: ")
    assert "chart." in output, "an altered reading is shown by the figures that differ"
