"""What must not get out of a run or into its report: secrets, and words from outside that would be markup."""

import contextlib
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from harness.analysis.summarise import load_summary
from harness.base.errors import ExitCode, UsageError
from harness.cli.app import app
from harness.plan.plan import derive_pin
from harness.run_folder import scrape_log
from harness.run_folder.layout import RunFolder
from harness.runner.launch import LOCUSTFILE
from tests.support.real_runs import REPORT, assert_passed_or_late, environment, family_of, harness, wait_for
from tests.support.veth_network import SERVER

SECRETS = ["sesame-in-a-header", "sesame-in-a-part", "given-at-the-login"]
HOSTILE = "<script>alert(1)</script><b>$\\frac{1}$|[x](y)&"
SCENARIO = """
name = "guarded"
seed = 5
deadline = "8s"
[stations]
region = "villages.csv"
[photos]
size = "4KB"
bank = 2
[arrivals]
kind = "constant"
over = "2s"
[client]
timeout = "4s"
[target]
path = "/photos/{station}/{form}/{page}.jpg"
body = "multipart"
headers = { Authorization = "Bearer {token}", X-Api-Key = "${TARGET_KEY}" }
metrics = [{ name = "own", port = PORT }]
stored = { kind = "url", path = "/stored", format = "sha256sum", name = "/{station}/{form}/{page}.jpg" }
[target.login]
path = "/login"
body = '{"who": "{station}", "password": "${TARGET_PASSWORD}"}'
token = "/token"
[[target.parts]]
name = "note"
value = "${TARGET_NOTE}"
[[target.parts]]
name = "photo"
filename = "{page}.jpg"
[[thresholds]]
assert = "pages.delivered == 6"
"""


def spellings(path):
    """A file's bytes, and what it says once it is unpacked."""
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    if path.suffix == ".parquet":
        yield repr(duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()).encode()


def told(folder, output):
    """Everything that a run leaves behind, with where it stands."""
    yield "the terminal", output.encode()
    for path in folder.rglob("*"):
        if path.is_file():
            for content in spellings(path):
                yield str(path), content


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A finished run against a small server on loopback, with secrets in the environment and a hostile region file."""
    place = tmp_path_factory.mktemp("guarded")
    (place / "villages.csv").write_text(f'3509191001,"{HOSTILE}",1\n3509191002,PLAIN,1\n', "utf-8")
    far = place / "far"
    far.mkdir()
    server = subprocess.Popen([sys.executable, "-P", str(SERVER), "127.0.0.1", "0", str(far)], stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert server.stdout is not None
        port = server.stdout.readline().removeprefix("ready ").strip()
        (place / "guarded.toml").write_text(SCENARIO.replace("PORT", port), "utf-8")
        code, output = harness(
            "run", "guarded.toml", "--target", f"http://127.0.0.1:{port}", "--out", "run", cwd=place,
            TARGET_KEY=SECRETS[0], TARGET_NOTE=SECRETS[1], TARGET_PASSWORD="sesame-at-the-login", **REPORT,
        )  # fmt: skip
    finally:
        server.kill()
        server.communicate()
    sent = [json.loads(line) for line in (far / "requests").read_text().splitlines()]
    return place / "run", code, output, sent


def test_headers_reach_the_server_filled_in_and_the_run_folder_as_they_were_written(guarded):
    folder, code, output, sent = guarded
    assert code in {ExitCode.FAILED, ExitCode.INVALID, ExitCode.PASSED}, output
    uploads = [headers for _, method, _, headers in sent if method == "PUT"]
    assert len(uploads) == load_summary(RunFolder(folder)).pages.delivered == 6
    assert {headers["X-Api-Key"] for headers in uploads} == {SECRETS[0]}
    assert {headers["Authorization"] for headers in uploads} == {"Bearer given-at-the-login"}
    target = json.loads((folder / "run.json").read_text())["scenario"]["target"]
    assert target["headers"] == {"Authorization": "Bearer {token}", "X-Api-Key": "${TARGET_KEY}"}


def test_nothing_that_a_run_leaves_behind_has_a_value_from_the_environment_or_a_token(guarded):
    folder, _, output, _ = guarded
    places = list(told(folder, output))
    assert any(b"own_uploads_total" in content for _, content in places)  # unpacked scrapes are searched
    assert any(b"3509191002001" in content for where, content in places if where.endswith(".parquet"))
    for where, content in places:
        for secret in [*SECRETS, "sesame-at-the-login"]:
            assert secret.encode() not in content, where


def test_a_targets_own_metrics_have_their_own_file_and_are_never_taken_for_ours(guarded):
    folder, _, _, _ = guarded
    own = list(scrape_log.read_scrapes(RunFolder(folder).scrapes, "own"))
    assert any("own_uploads_total" in scrape.text for scrape in own)
    assert load_summary(RunFolder(folder)).generator.scraped["delivered"] == 6  # and not the 1e9 that the target claims


def test_a_name_that_is_markup_stays_text_in_every_report(guarded):
    folder, _, _, _ = guarded
    page = (folder / "report" / "index.html").read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    drawn = list((folder / "report").glob("*.svg"))
    assert drawn
    for path in [folder / "report" / "index.html", folder / "summary.md", folder / "junit.xml", *drawn]:
        text = path.read_text("utf-8")
        assert not re.search(r"<\s*script>alert|<b>\$", text, re.IGNORECASE), path
    assert any("alert(1)" in path.read_text("utf-8") for path in drawn)  # the chart names the village, as text


def secrets_of(folder):
    """The secret of the pins and the admin token, from the environment of the run's processes; None before all have begun."""
    variables: dict[str, str] = {}
    for pid in family_of(folder):
        with contextlib.suppress(OSError):
            pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
            variables.update({name: value for name, _, value in (pair.partition("=") for pair in pairs)})
    found = [variables.get(name) for name in ("HARNESS_PIN_SECRET", "MOCK_SERVER_ADMIN_TOKEN")]
    return found if all(found) else None


def test_no_token_and_no_pin_of_a_run_with_the_mock_is_left_behind(start, tiny):
    run = start(tiny)
    secret, token = wait_for(lambda: secrets_of(run.folder))
    assert len(secret) == 32
    assert len(token) > 32
    code, output = run.end()
    assert_passed_or_late(code, run.folder, output)
    for where, content in told(run.folder, output):
        assert secret.encode() not in content, where
        assert token.encode() not in content, where
        assert b"Bearer " not in content, where
    stations = duckdb.execute(
        "SELECT DISTINCT station FROM read_parquet(?)", [str(run.folder / "plan.parquet")]
    ).fetchall()
    pins = "|".join(derive_pin(station, secret) for (station,) in stations)
    for path in [run.folder / "run.json", *run.folder.glob("logs/*"), *run.folder.glob("server/*.json*")]:
        assert not re.search(rf'"(?:{pins})"|\b(?:pin|PIN)\W+(?:{pins})\b', path.read_text("utf-8")), path


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--name", "../x"], "--name"),
        (["--name", "a/b"], "--name"),
        (["--name", "é"], "--name"),
        (["--name", "-x"], "--name"),
        (["--out", "linked"], "is a symbolic link"),
        (["--out", "a\x1b[2Jb"], "control characters"),
        (["--out", "full"], "is not an empty folder"),
        (["--set", "stations.region=../../x.tar.gz"], "is not a region"),
    ],
)
def test_a_path_that_is_a_trick_is_refused_before_anything_is_written(tmp_path, monkeypatch, tiny, arguments, word):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run", str(tiny), *arguments])
    assert isinstance(result.exception, UsageError), result.output
    assert word in str(result.exception)
    assert not (tmp_path / "runs").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_message_can_not_steer_the_terminal(tmp_path):
    (tmp_path / "evil.toml").write_text('name = "\\u001b[2Jx"\n', "utf-8")
    code, output = harness("validate", "evil.toml", cwd=tmp_path)
    assert code == ExitCode.USAGE
    assert "\x1b" not in output
    assert "\\x1b[2Jx" in output


@pytest.mark.parametrize(
    ("arguments", "address"),
    [([], "0100007F"), pytest.param(["--master-bind-host", "127.0.0.9"], "0900007F", marks=pytest.mark.slow)],
)
def test_locusts_master_listens_on_loopback_unless_told_otherwise(tmp_path, arguments, address):
    argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--master", "--master-bind-port", "0", *arguments]  # fmt: skip
    master: Any = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, text=True,
        env=environment(HARNESS_RUN=str(tmp_path)),
    )  # fmt: skip
    try:
        said = next(json.loads(line) for line in master.stdout if line.startswith('{"event"'))
        assert said["event"] == "listening"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = {row[1] for row in rows if row[3] == "0A"}
        assert f"{address}:{said['port']:04X}" in listening
        assert f"00000000:{said['port']:04X}" not in listening
    finally:
        master.kill()
        master.communicate()
