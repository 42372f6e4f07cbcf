"""Reading what the user's server stored: what can't be read is never taken for an empty store."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.base.address import Origin
from harness.runner.server import NO_STORE_ACCESS, collect_stored
from harness.scenario.target import TargetApi
from harness.target.external import ExternalTarget


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
