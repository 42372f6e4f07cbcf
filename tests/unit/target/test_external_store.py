"""Reading what the user's server stored: what can't be read is never taken for an empty store."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from harness.base.address import Origin
from harness.plan import make_plan
from harness.run_folder.tables import read_stored
from harness.runner.server import NO_STORE_ACCESS, collect_stored, read_store_before
from harness.scenario.loader import load_scenario
from harness.scenario.target import TargetApi
from harness.target.external import ExternalTarget
from tests.unit.target.test_stored_pages import door


def stock(tmp_path, halted="", **table):
    api = TargetApi.model_validate({"path": "/x", **table}) if table else None
    foreign = ExternalTarget(Origin("http", "127.0.0.1", 9), "127.0.0.1", api)
    spec: Any = SimpleNamespace(external=foreign, plan=None, folder=SimpleNamespace(stored=tmp_path / "stored.parquet"))
    nobody: Any = None
    record = collect_stored(nobody, spec, None, lambda: halted)
    assert not (tmp_path / "stored.parquet").exists()
    return record


@pytest.mark.parametrize("accepted", [False, True])
def test_a_store_that_there_is_no_way_into_is_unread_and_the_scenario_says_if_that_is_accepted(tmp_path, accepted):
    record = stock(tmp_path, accept_unknown_safety=accepted)
    assert (record.reason, record.accepted) == (NO_STORE_ACCESS, accepted)


def test_a_target_without_a_table_is_unread_and_that_is_not_accepted(tmp_path):
    record = stock(tmp_path)
    assert (record.reason, record.accepted) == (NO_STORE_ACCESS, False)


def test_a_way_in_that_fails_is_not_accepted_whatever_the_scenario_says(tmp_path):
    record = stock(tmp_path, stored={"kind": "url", "path": "/stored"}, accept_unknown_safety=True)
    assert "Refused" in record.reason
    assert not record.accepted


def test_a_target_that_does_not_consent_any_more_is_not_asked(tmp_path):
    record = stock(tmp_path, halted="HTTP status 404", stored={"kind": "url", "path": "/stored"})
    assert record.reason == "the target must not be asked any more: HTTP status 404"


@pytest.mark.parametrize(
    ("source", "unseen"),
    [
        ({"kind": "fetch", "path": "/{station}/{form}/{page}"}, ["unexpected"]),
        ({"kind": "url", "path": "/list", "format": "digests"}, ["misfiled"]),
        ({"kind": "command", "command": ["true"], "format": "digests"}, ["misfiled"]),
        ({"kind": "url", "path": "/list", "format": "sha256sum"}, []),
        ({"kind": "none"}, []),
    ],
)
def test_what_a_way_in_cannot_see_is_known_beforehand(source, unseen):
    api = TargetApi.model_validate({"path": "/x", "stored": source})
    assert ExternalTarget(Origin("http", "127.0.0.1", 9), "127.0.0.1", api).unseen == unseen


def collected(tmp_path, before, after, **source):
    """The record and the rows of a store that listed `before`, and `after` at the end of the run."""
    plan = make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1", "stations.count=2"]))
    listed = {"lines": before(plan)}

    def answer(_):
        return 200, "".join(json.dumps(line) + "\n" for line in listed["lines"]).encode(), None

    with door(answer) as client:
        api = TargetApi.model_validate({"path": "/x", "stored": {"kind": "url", "path": "/stored", **source}})
        target = ExternalTarget(client.origin, "127.0.0.1", api)
        spec: Any = SimpleNamespace(
            external=target, plan=plan, folder=SimpleNamespace(stored=tmp_path / "stored.parquet")
        )
        logged: list[str] = []
        earlier = read_store_before(spec, logged.append)
        listed["lines"] = [*listed["lines"], *after(plan)]
        nobody: Any = None
        return collect_stored(nobody, spec, None, earlier=earlier), read_stored(spec.folder.stored), logged


def entry(page, **more):
    return {"station": page.station, "form": page.form, "page": page.page, **more}


def test_what_an_earlier_run_left_is_no_part_of_this_ones_store(tmp_path):
    old = {"station": "1", "form": "old", "page": 1, "sha256": "a" * 64}
    record, rows, _ = collected(
        tmp_path, lambda _: [old], lambda plan: [entry(plan.page(0), sha256=plan.page(0).sha256)]
    )
    assert (record.earlier, record.reason, record.by_size) == (1, "", 0)
    assert rows is not None
    assert rows["form"].tolist() == ["ppwp"]


def test_pages_without_a_digest_are_counted_and_what_they_cannot_show_is_unseen(tmp_path):
    record, rows, _ = collected(
        tmp_path, lambda _: [], lambda plan: [entry(plan.page(0), size_bytes=plan.page(0).size_bytes)]
    )
    assert (record.by_size, record.unseen, record.earlier) == (1, ["corrupted", "misfiled"], 0)
    assert rows is not None
    assert len(rows["sha256"][0]) == 64


def test_a_store_that_cannot_be_read_before_the_run_is_taken_for_empty_and_that_is_logged(tmp_path):
    api = TargetApi.model_validate({"path": "/x", "stored": {"kind": "url", "path": "/stored"}})
    target = ExternalTarget(Origin("http", "127.0.0.1", 9), "127.0.0.1", api)
    spec: Any = SimpleNamespace(
        external=target, plan=make_plan(load_scenario("smoke", ["photos.size=2KB", "photos.bank=1"]))
    )
    logged: list[str] = []
    assert read_store_before(spec, logged.append).copies == 0
    assert "taken for empty" in logged[-1]
