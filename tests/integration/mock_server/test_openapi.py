"""The API's description against the routes and against what the server really answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mock_server.api.openapi import openapi_document
from tests.support.mock_in_process import STATION, form, head, path_of, photo, running
from tests.support.mock_process import process

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}


async def test_every_route_is_described_and_every_description_is_a_route(tmp_path):
    async with running(tmp_path) as mock:
        routes = {
            (route.method.lower(), resource.canonical)
            for resource in mock.server._runners[0].app.router.resources()
            for route in resource
        }
        described = {
            (method, path)
            for path, item in openapi_document()["paths"].items()
            for method in item
            if method in _METHODS
        }
        automatic = {("head", path) for method, path in described if method == "get"} - described
        assert routes - automatic == described - (automatic - routes)
        assert (await mock.ask("GET", "/openapi.json")).json == openapi_document()


async def test_the_answers_of_an_upload_are_all_described(tmp_path):
    operation = openapi_document()["paths"]["/v1/stations/{code}/forms/{form}/pages/{page}"]["post"]
    described = set(operation["responses"])
    async with running(tmp_path, workers=1, queue_capacity=0) as mock:
        seen = {str((await mock.upload(page=page)).status) for page in (1, 1, 9)}
        headers = await mock.form_headers()
        for changes in ({"Authorization": ""}, {"Content-Type": "x/y"}, {"Repr-Digest": "sha-256=:AA==:"}):
            seen.add(str((await mock.ask("POST", path_of(page=3), {**headers, **changes}, form(photo()))).status))
        line = await mock.line()
        await line.send(head("POST", path_of(page=2), headers, 90_000_000))
        seen.add(str((await line.answer()).status))
        await line.close()
    assert seen == {"201", "200", "404", "401", "415", "400", "413"}
    assert seen <= described


@pytest.mark.peers
def test_schemathesis_finds_no_5xx_and_no_undocumented_answer(tmp_path):
    with process(tmp_path) as server:
        token = server.token(STATION)
        # by the folder, not as tests.support.…: a package of the environment may be called tests, too (Ciw's is)
        hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parents[2] / "support")}
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")), "run",
                f"http://127.0.0.1:{server.ready['port']}/openapi.json",
                "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
                "-H", f"Authorization: Bearer {token}", "-H", "Tus-Resumable: 1.0.0",
                "--max-examples", "40", "--seed", "1", "--generation-database", "none", "--request-timeout", "10",
                "--phases", "examples,coverage,fuzzing", "--warnings", "off",
            ],
            capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "NO_COLOR": "1", **hooks},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert json.loads(server.ask("GET", "/healthz")[1]) == {"status": "ok"}
