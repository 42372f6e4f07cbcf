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


def write_own_stations(folder, email="nia@clinic.example", password="hunter2-long", short="k9"):  # noqa: S107 - made up
    """Two stations of one's own with accounts, whose columns the first step sends."""
    (folder / "stations.csv").write_text(f"code,email\nC1,{email}\nC2,x@clinic.example\n", "utf-8")
    (folder / "accounts.csv").write_text(f"code,password,door\nC1,{password},{short}\nC2,other-one,zz\n", "utf-8")
    (folder / "accounts.csv").chmod(0o600)
    listed = SCENARIO.replace("count = 6\n", 'file = "stations.csv"\naccounts = "accounts.csv"\n')
    headers = 'headers = { X-Email = "{station.email}", X-Pw = "{account.password}", X-Door = "{account.door}" }\n'
    listed = listed.replace('path = "/session"\n', f'path = "/session"\n{headers}')
    body = '"who": "{station}", "w": "{account.password}", "d": "{account.door}"'
    (folder / "clinics.toml").write_text(listed.replace('"who": "{station}"', body), "utf-8")


def test_columns_of_own_stations_are_sent_and_of_their_accounts_nothing_is_printed(server, tmp_path):
    write_own_stations(tmp_path)
    arguments = ["try", "clinics.toml", "--target", server.url, "--also-target", server.files_url]
    code, output = harness(*arguments, cwd=tmp_path)
    assert code == ExitCode.PASSED, output
    assert "  > X-Email: nia@clinic.example\n" in output
    assert "  > X-Pw: •••\n  > X-Door: •••\n" in output
    assert '  > {"who": "C1", "w": "•••", "d": "•••"}' in output
    assert "hunter2" not in output
    assert "k9" not in output


def test_a_column_that_the_list_does_not_have_is_refused_before_anything_is_sent(server, tmp_path):
    write_own_stations(tmp_path)
    arguments = ["try", "clinics.toml", "--target", server.url, "--also-target", server.files_url]
    code, output = harness(*arguments, "--set", 'target.steps.session.headers={X-A="{station.mail}"}', cwd=tmp_path)
    assert (code, "there is no column for {station.mail}; there are {station.email}," in output) == (2, True), output
    assert server.requests == []


OWN_CLIENT = """
import json

from harness.protocol import Outcome


class Delivery:
    def __init__(self, photo):
        self.photo = photo

    def attempt(self, sender):
        print("a line of its own")
        cookie = sender.memory.get("session")
        if cookie is None:
            who = json.dumps({"who": self.photo.station, "note": sender.variables["TARGET_NOTE"]}).encode()
            answer = sender.request("POST", "/session", body=who)
            cookie = sender.memory["session"] = answer.headers["set-cookie"].partition(";")[0]
        name = f"{self.photo.station}-{self.photo.form}-{self.photo.page}.jpg"
        made = sender.request("POST", "/uploads", headers={"Cookie": cookie, "X-Copy": cookie}, body=json.dumps({"name": name}).encode())
        return Outcome.ACCEPTED if made.status == 201 else Outcome.REJECTED
"""


@pytest.fixture
def own(tmp_path):
    """A folder with a scenario of an own client, whose server keeps nothing that it acknowledges."""
    flow = SCENARIO[SCENARIO.index("[[target.steps]]") : SCENARIO.index("[[thresholds]]")]
    text = SCENARIO.replace(flow, "").replace("[client]\n", '[client]\nprotocol = "my_upload:Delivery"\n')
    (tmp_path / "own.toml").write_text(text, "utf-8")
    (tmp_path / "my_upload.py").write_text(OWN_CLIENT, "utf-8")
    return tmp_path


def test_an_own_client_is_tried_too_if_its_code_is_allowed(server, own):
    code, output = harness("try", "own.toml", "--target", server.url, cwd=own)
    assert (code, "my_upload.py; if you trust it, add --allow-code" in output) == (ExitCode.USAGE, True), output
    assert server.requests == []
    code, output = harness(
        "try", "own.toml", "--target", server.url, "--allow-code", cwd=own, TARGET_NOTE="sesame-open"
    )
    assert code == ExitCode.FAILED, output
    assert "3 of 3 pages acknowledged." in output
    assert "Stored as sent: 0 of 3 pages" in output
    assert 'request: POST /session\n  > {"who": "3509191001001", "note": "•••"}\n' in output
    assert output.count("  = goes on\n") == 1  # the session's; each other request decided
    assert output.count("  = accepted: the page is acknowledged") == 3
    assert (SECRET in output, "sesame-open" in output) == (False, False)


def test_a_bug_of_an_own_client_is_told_as_its_own_and_ends_the_try(server, own):
    (own / "my_upload.py").write_text(OWN_CLIENT.replace("made.status == 201", "made.state == 201"), "utf-8")
    code, output = harness("try", "own.toml", "--target", server.url, "--allow-code", cwd=own, TARGET_NOTE="x")
    assert code == ExitCode.FAILED, output
    assert "not acknowledged: a bug in the scenario's own client: AttributeError: 'Response' object has no" in output
    assert [path for _, _, path in server.requests].count("/uploads") == 1


def test_pages_of_an_earlier_try_do_not_count_and_another_seed_or_removing_them_helps(server, tmp_path):
    more = ["--also-target", server.files_url, "--set", "client.timeout=3s"]
    arguments = ["steps.toml", "--target", server.url, *more]
    code, output = harness("try", *arguments, cwd=tmp_path)
    assert (code, "Stored as sent: 3 of 3 pages; 0 other photos" in output) == (ExitCode.PASSED, True), output
    given = " ".join(arguments)
    assert output.splitlines()[-4:] == [
        "They stay in the store: remove them, because a run that finds photos of its own plan there is refused.",
        f"Next: harness run {given}",
        "Or leave them there and send other photos, if the server takes these under the same names:",
        f"      harness run {given} --seed 6",
    ]
    code, output = harness("try", *arguments, cwd=tmp_path)
    assert code == ExitCode.INVALID, output
    assert (
        "Stored as sent: 0 of 3 pages, 3 stored before this try, which may not have stored them again; 0 oth" in output
    )
    assert f"\nNext: harness try {given}\n" in output
    code, output = harness("try", *arguments, "--seed", "6", cwd=tmp_path)  # as suggested
    assert (code, "Stored as sent: 3 of 3 pages; 0 other photos" in output) == (ExitCode.PASSED, True), output
    assert f"\nNext: harness run {given} --seed 6\n" in output
    assert output.endswith(f"      harness run {given} --seed 7\n")
    server.stored.clear()
    code, output = harness("try", *arguments, cwd=tmp_path)
    assert code == ExitCode.PASSED, output


def test_of_photos_of_ones_own_no_other_seed_is_suggested(server, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.txt").write_bytes(b"a form in plain text" * 40)
    (tmp_path / "steps.toml").write_text(SCENARIO.replace('size = "20KB"\nbank = 2\n', 'folder = "photos"\n'), "utf-8")
    arguments = ["steps.toml", "--target", server.url, "--also-target", server.files_url]
    code, output = harness("try", *arguments, cwd=tmp_path)
    assert code == ExitCode.PASSED, output
    assert "--seed" not in output
    assert output.endswith(f"Next: harness run {' '.join(arguments)}\n")
