"""--also-target: which servers besides the target steps may send to, and what is asked of them."""

from types import SimpleNamespace
from typing import Any

import pytest

from harness.base.address import Origin
from harness.base.errors import UsageError
from harness.cli.options import external_target_of
from harness.plan import make_plan
from harness.scenario.loader import load_scenario
from harness.target.consent import ConsentError
from harness.target.external import OtherServer, poll_consent, requests_at_peak
from tests.support.step_server import step_server

HEAD = """
name = "a"
deadline = "9s"
stations = { count = 10 }
photos = { size = "20KB", bank = 1 }
arrivals = { kind = "constant", over = "1s" }
"""
FLAT = '[target]\npath = "/x"\n'
STEPS = """
[[target.steps]]
name = "login"
once = "station"
path = "/login"
[[target.steps]]
name = "create"
path = "/x"
take = { url = "/url" }
[[target.steps]]
name = "part"
url = "{url}?{part}"
body = "raw"
part_size = "8KB"
[[target.steps]]
name = "done"
path = "/y"
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text):
        (tmp_path / "a.toml").write_text(HEAD + text, "utf-8")
        loaded = load_scenario(str(tmp_path / "a.toml"))
        return loaded, make_plan(loaded)

    return load_text


def admitted(loaded, plan, url, *also):
    return external_target_of(url, "a.toml", loaded, plan, 1, allow_command=False, also=also)


@pytest.mark.parametrize(
    ("also", "word"),
    [
        (["ftp://x"], '--also-target "ftp://x" should be an address'),
        (["http://127.0.0.1:9/path"], "should be an address"),
        (["http://127.0.0.1:8"], "is named twice"),
        (["http://127.0.0.1:9", "http://127.0.0.1:9/"], "is named twice"),
    ],
)
def test_another_server_that_is_none_or_is_named_twice_is_refused(load, also, word):
    with pytest.raises(UsageError) as refused:
        admitted(*load(STEPS), "http://127.0.0.1:8", *also)
    assert word in str(refused.value)


def test_a_server_that_nothing_would_be_sent_to_is_refused(load):
    with pytest.raises(UsageError, match="no step of the scenario has a url"):
        admitted(*load(FLAT), "http://127.0.0.1:8", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="needs --target"):
        admitted(*load(""), None, "http://127.0.0.1:9")


def test_a_server_on_another_machine_must_consent_as_the_target_does(load, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("harness.target.external.resolve_address", lambda origin: "203.0.113.7" if origin.host == "files" else "127.0.0.1")  # fmt: skip

    def refuse(*_):
        message = "HTTP status 404"

        raise ConsentError(message)

    monkeypatch.setattr("harness.target.external.read_consent", refuse)
    with pytest.raises(UsageError) as refused:
        admitted(*load(STEPS), "http://127.0.0.1:8", "http://files:9")
    assert "--also-target http://files:9 (203.0.113.7) is not on this machine" in str(refused.value)


def test_the_admitted_servers_are_what_the_run_records(load):
    with step_server() as server:
        external = admitted(*load(STEPS), server.url, server.files_url)
    assert external is not None
    assert [record.model_dump() for record in external.also_records()] == [
        {"url": server.files_url, "address": "127.0.0.1"}
    ]


def test_the_requests_of_every_step_count_against_what_is_consented_to(load):
    flat = requests_at_peak(*load(FLAT))
    steps = requests_at_peak(*load(STEPS))
    # per page: create, three parts of 8 KB, done; per station of three pages one login
    assert steps.target == pytest.approx(flat.target * (5 + 1 / 3))
    assert steps.elsewhere == pytest.approx(flat.target * 3)
    assert flat.elsewhere == 0


def test_the_consent_of_every_server_is_read_again_during_the_run(monkeypatch):
    origins = [Origin("http", name, 80) for name in ("target", "files", "loopback")]
    given: dict[Origin, Any] = {origin: SimpleNamespace(name=origin.host) for origin in origins[:2]}
    also = tuple(OtherServer(origin, "10.0.0.2", "token", given.get(origin)) for origin in origins[1:])
    target: Any = SimpleNamespace(
        origin=origins[0], address="10.0.0.1", token="token", consent=given[origins[0]], context=None, also=also
    )
    monkeypatch.setattr("harness.target.external.read_consent", lambda origin, *_: given[origin])
    polled: list[Any] = []
    monkeypatch.setattr("harness.target.external.ConsentPoller", polled.extend)
    poll_consent(target)
    assert [(granted.name, read().name) for granted, read in polled] == [("target", "target"), ("files", "files")]
