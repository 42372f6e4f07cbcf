"""Logins, tokens, and who may see what."""

import asyncio
import json
from urllib.parse import quote

import pytest

from mock_server.http import auth
from mock_server.http.auth import Authenticator, StationCredentials
from mock_server.http.request_context import AttemptCounter
from mock_server.http.responses import Problem
from mock_server.profile.server_profile import ServerProfile
from mock_server.storage.store import Store
from tests.support.mock_in_process import STATION, form, path_of, photo, running, station

CSV = "code,name,pin\n3509191001001,TPS 001 Mangli,4711\n3509191001002,TPS 002 Mangli,0815\n"


async def login(mock, code: str, pin: str):
    return await mock.ask("POST", "/v1/login", {}, json.dumps({"station": code, "pin": pin}).encode())


async def test_a_login_gives_a_token_that_uploads(tmp_path):
    async with running(tmp_path) as mock:
        answer = await login(mock, STATION, STATION[-6:])
        assert answer.status == 200
        assert set(answer.json) == {"token", "expires_at"}
        headers = {"Authorization": f"Bearer {answer.json['token']}", "Content-Type": "image/jpeg"}
        assert (await mock.ask("PUT", path_of(), headers, photo())).status == 201


async def test_tokens_are_random(tmp_path):
    async with running(tmp_path) as mock:
        tokens = {(await login(mock, STATION, STATION[-6:])).json["token"] for _ in range(5)}
        assert len(tokens) == 5
        assert min(map(len, tokens)) >= 32


async def test_the_stations_of_a_file_have_their_own_pins(tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text(CSV)
    async with running(tmp_path, StationCredentials.read(path)) as mock:
        assert (await login(mock, "3509191001001", "4711")).status == 200
        assert (await login(mock, "3509191001001", "001001")).status == 401
        assert (await login(mock, "3509191001003", "001003")).status == 401


@pytest.mark.parametrize("text", ["code,pin\n,1\n", "code,pin\n3509191001001,\n", "name\nx\n"])
def test_a_wrong_stations_file_is_refused_with_its_line(tmp_path, text):
    path = tmp_path / "stations.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="needs"):
        StationCredentials.read(path)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"station":1,"pin":"x"}', b"[" * 1000, b'{"station":"\xff","pin":"1"}']
)
async def test_a_malformed_login_is_refused(tmp_path, body):
    async with running(tmp_path) as mock:
        assert (await mock.ask("POST", "/v1/login", {}, body)).status == 400


@pytest.mark.parametrize("size", [1024, 70_000])
async def test_a_login_above_1_kib_is_refused(tmp_path, size):
    async with running(tmp_path) as mock:
        assert (await login(mock, STATION, "x" * 900)).status == 401
        assert (await login(mock, STATION, "x" * size)).status == 413


async def test_stations_that_do_not_exist_are_throttled_like_those_that_do(tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text(CSV)
    async with running(tmp_path, StationCredentials.read(path), pin_attempts=2) as mock:
        for code in ("3509191001001", "3509191001999"):
            assert [(await login(mock, code, "wrong")).status for _ in range(4)] == [401, 401, 429, 429]


async def test_nothing_is_remembered_of_what_cannot_be_a_station(tmp_path):
    latency = {"kind": "latency", "delay": "0s"}
    async with running(tmp_path, faults=[latency]) as mock:
        keys = []
        mock.server.faults._matcher._log = lambda injection: keys.append(injection.key)
        for number in range(20):
            assert (await login(mock, f"{number}" + "x" * 500, "wrong")).status == 401
            answer = await mock.ask("PUT", path_of(f"{number}" + "x" * 5000, form_name="y" * 500), {}, photo())
            assert answer.status == 401
        assert {(key.station, key.form) for key in keys} == {("", "")}
        assert mock.server.authenticator._wrong == {}
        assert (await login(mock, STATION, STATION[-6:])).status == 200
        assert keys[-1].station == STATION


async def test_of_attempts_at_pages_that_cannot_be_no_text_is_remembered(tmp_path, monkeypatch):
    counted: list[tuple[str, str, int]] = []

    def count(_self, page):
        counted.append(page)
        return 1

    monkeypatch.setattr(AttemptCounter, "next", count)
    async with running(tmp_path) as mock:
        for code in ("x" * 5000, STATION + "0", "٣" * 13):
            await mock.ask("PUT", path_of(quote(code)), {}, photo())
        await mock.upload()
    assert {page[:2] for page in counted[:-1]} == {("upload ", "")}
    assert counted[-1] == (f"upload {STATION}", "ppwp", 1)


async def test_wrong_pins_are_throttled_for_their_station_only(tmp_path):
    now = 1_000_000.0
    async with running(tmp_path, pin_attempts=3, pin_window="600ms") as mock:
        mock.server.authenticator._now = lambda: now
        assert [(await login(mock, STATION, "wrong")).status for _ in range(4)] == [401, 401, 401, 429]
        throttled = await login(mock, STATION, STATION[-6:])
        assert (throttled.status, throttled.headers["retry-after"]) == (429, "1")
        assert (await login(mock, station(2), station(2)[-6:])).status == 200
        now += 0.7
        assert (await login(mock, STATION, STATION[-6:])).status == 200


async def test_a_right_pin_clears_the_count_of_wrong_ones(tmp_path):
    async with running(tmp_path, pin_attempts=3) as mock:
        for _ in range(3):
            assert [(await login(mock, STATION, "wrong")).status for _ in range(2)] == [401, 401]
            assert (await login(mock, STATION, STATION[-6:])).status == 200


async def test_a_token_expires(tmp_path):
    now = 1_000_000.0
    store = Store(tmp_path / "store.sqlite", "page")
    await store.open()
    accounts = Authenticator(
        StationCredentials(), ServerProfile.model_validate({"token_lifetime": "1h"}), store, lambda: now
    )
    token, expires = await accounts.login(STATION, STATION[-6:])
    assert expires == now + 3600
    accounts.authorise(f"Bearer {token}", STATION)
    now += 3600
    with pytest.raises(Problem) as caught:
        accounts.authorise(f"Bearer {token}", STATION)
    assert caught.value.status == 401
    await store.close()


async def test_of_a_stations_tokens_the_latest_eight_count(tmp_path):
    async with running(tmp_path) as mock:
        tokens = [(await login(mock, STATION, STATION[-6:])).json["token"] for _ in range(10)]
        statuses = []
        for token in tokens:
            headers = {"Authorization": f"Bearer {token}"}
            statuses.append((await mock.ask("GET", path_of() + "/status", headers)).status)
        assert statuses == [401] * 2 + [404] * 8


async def test_no_route_answers_another_stations_data(tmp_path):
    async with running(tmp_path) as mock:
        await mock.upload(page=1)
        foreign = await mock.form_headers(station(2))
        asked = [
            ("POST", path_of(), form(photo())),
            ("PUT", path_of(), photo()),
            ("GET", path_of() + "/status", b""),
        ]
        for method, path, body in asked:
            answer = await mock.ask(method, path, foreign, body)
            assert answer.status == 403
            assert STATION.encode() not in answer.raw
            assert b"receipt" not in answer.raw


async def test_every_route_is_either_public_or_asks_for_a_token(tmp_path):
    async with running(tmp_path) as mock:
        public = {"/v1/login", "/metrics", "/healthz", "/readyz", "/openapi.json"}
        seen = 0
        for resource in mock.server._runners[0].app.router.resources():
            for route in resource:
                path = resource.canonical
                if path in public or path.startswith(("/wilayah", "/pemilu", "/images")) or route.method == "OPTIONS":
                    continue
                if path.startswith("/v1/") and route.method != "*":
                    seen += 1
                    target = path.format(code=STATION, form="ppwp", page=1, id="x")
                    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "X-HTTP-Method-Override": "PATCH"}
                    headers |= {"Upload-Offset": "0"}
                    if "/files" in path:
                        headers["Content-Type"] = "application/offset+octet-stream"
                    if route.method != "POST":
                        headers.pop("X-HTTP-Method-Override")
                    answer = await mock.ask(route.method, target, headers)
                    assert answer.status == 401, (route.method, path)
                else:
                    assert route.method == "HEAD", f"{path} is not known to this test"
        assert seen >= 7


async def test_the_admin_port_asks_for_its_token(tmp_path):
    async with running(tmp_path) as mock:
        line_port, mock.port = mock.port, mock.admin_port
        for method, path in (
            ("GET", "/stored"),
            ("POST", "/drain"),
            ("GET", "/faults"),
            ("GET", "/profile"),
            ("GET", "/nix"),
        ):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "let me in"}):
                assert (await mock.ask(method, path, headers)).status == 401
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await mock.ask("GET", path)).status == 200
        mock.port = line_port
        for path in ("/stored", "/drain", "/faults", "/profile"):
            assert (await mock.ask("GET", path, {"Authorization": "Bearer let me in"})).status == 404, (
                "not on the data port"
            )


async def test_tokens_of_stations_that_do_not_come_again_are_not_kept_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(auth, "_MAX_TOKENS", 20)
    async with running(tmp_path) as mock:
        held = mock.server.authenticator
        tokens = {number: (await held.login(station(number), station(number)[-6:]))[0] for number in range(1, 51)}
        assert (len(held._tokens), len(held._of_station)) == (20, 20)
        assert held.station_of(f"Bearer {tokens[31]}") == station(31)
        with pytest.raises(Problem):
            held.station_of(f"Bearer {tokens[30]}")
        assert len(await mock.server.store.run("SELECT * FROM tokens")) == 20


async def test_expired_tokens_are_forgotten_as_others_log_in(tmp_path):
    async with running(tmp_path, token_lifetime="200ms") as mock:
        held = mock.server.authenticator
        for number in range(1, 21):
            await held.login(station(number), station(number)[-6:])
        await asyncio.sleep(0.25)
        for number in range(21, 27):
            await held.login(station(number), station(number)[-6:])
        assert set(held._of_station) <= {station(number) for number in range(21, 27)}
        assert len(await mock.server.store.run("SELECT * FROM tokens")) == len(held._tokens)
