"""`harness try`: what it prints of each request and answer, and what it never prints."""

import io
import json

import pytest

from harness.base.errors import ExitCode
from harness.drive.trial import run_trial
from harness.scenario.loader import load_scenario
from tests.integration.targets.test_steps import SCENARIO
from tests.support.real_runs import harness
from tests.support.step_server import SECRET, step_server


@pytest.fixture
def server(tmp_path):
    (tmp_path / "steps.toml").write_text(SCENARIO, "utf-8")
    with step_server() as found:
        yield found


@pytest.fixture
def send(server, tmp_path):
    """Sends the first station's pages within this process: what happened, and all of it as text."""

    def run(*overrides, also=True, **environment):
        scenario = load_scenario(str(tmp_path / "steps.toml"), ["stations.count=1", *overrides])
        others = [[server.files_url, "127.0.0.1"]] if also else []
        order = {"scenario": scenario.resolved(), "target": server.url, "address": "127.0.0.1", "also": others, "authority": None}  # fmt: skip
        output = io.StringIO()
        run_trial(order, output, environment)
        return [json.loads(line) for line in output.getvalue().splitlines()], output.getvalue()

    return run


def test_every_request_of_a_page_is_named_with_what_its_answer_gave(send):
    happened, text = send()
    assert [it.get("name", "page") for it in happened[:5]] == ["session", "create", "put", "confirm", "page"]
    assert [it.get("name", "page") for it in happened[5:9]] == ["create", "put", "confirm", "page"]  # no second session
    session, create, put, confirm, page = happened[:5]
    assert (create["line"], create["status"], create["takes"]) == ("POST /uploads", 201, ["upload_url", "id"])
    assert (put["photo_bytes"], put["outcome"], confirm["outcome"]) == (20_000, "", "accepted")
    assert "Cookie: sid=•••" in create["headers"]
    assert "Set-Cookie: sid=•••; Path=/; HttpOnly" in session["answer_headers"]
    assert SECRET not in text
    assert "key=1" not in text  # of the address that was handed out
    assert page["outcome"] == "accepted"


def test_an_answer_that_says_no_is_told_with_what_was_expected(server, send):
    server.confirm = lambda _: False
    page = next(it for it in send()[0] if it["event"] == "page")
    assert (page["outcome"], page["detail"]) == (
        "unavailable",
        "confirm answered 200, and /ok is not true; its keys: ok",
    )


def test_an_address_elsewhere_is_named_with_the_option_that_allows_it(server, send):
    happened, _ = send(also=False)
    assert [it["event"] for it in happened[:3]] == ["request", "request", "page"]
    assert f"name it with --also-target {server.files_url}" in happened[2]["detail"]


def test_values_of_the_environment_are_masked_wherever_they_are_sent(send):
    override = 'target.steps.create.headers={X-Note="${TARGET_NOTE}", Authorization="Bearer ${TARGET_NOTE}"}'
    happened, text = send(override, TARGET_NOTE="sesame-open")
    assert "sesame-open" not in text
    assert {"X-Note: •••", "Authorization: Bearer •••"} <= set(happened[1]["headers"])


def test_the_command_prints_it_and_says_what_is_stored(server, tmp_path):
    server.keep = lambda name: not name.endswith("-3.jpg")
    arguments = ["try", "steps.toml", "--target", server.url, "--also-target", server.files_url]
    code, output = harness(*arguments, cwd=tmp_path)
    assert code == ExitCode.FAILED, output
    assert "Stored as sent: 2 of 3 pages; 0 other photos are in the store." in output
    assert "3 of 3 pages acknowledged." in output
    assert "create: POST /uploads\n" in output
    assert '  > {"name": "3509191001001-ppwp-1.jpg"}' in output
    assert "put: PUT /3509191001001-ppwp-1.jpg?key=•••  + 20,000 bytes of the photo" in output
    assert "  = goes on; takes upload_url, id" in output
    assert "  = accepted: the page is acknowledged" in output
