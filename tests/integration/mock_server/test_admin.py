"""The admin port: faults, profile, what is held."""

import asyncio

import pytest

from tests.support.mock_in_process import running, station


async def test_a_fault_is_added_listed_changed_and_removed(tmp_path):
    async with running(tmp_path) as mock:
        added = await mock.admin("POST", "/faults", {"kind": "abort", "name": "x", "status": 500})
        assert (added.status, added.json["status"]) == (201, [{"status": 500, "weight": 1.0}])
        assert (await mock.upload()).status == 500
        (listed,) = (await mock.admin("GET", "/faults")).json["faults"]
        assert (listed["name"], listed["active"], listed["seen"], listed["injected"]) == ("x", True, 1, 1)
        changed = await mock.admin("PUT", "/faults/x", {"kind": "abort", "status": 502})
        assert changed.status == 200
        assert (await mock.upload()).status == 502
        assert (await mock.admin("GET", "/faults")).json["faults"][0]["injected"] == 2, "its counts go on"
        assert (await mock.admin("DELETE", "/faults/x")).status == 204
        assert (await mock.upload()).status == 201
        assert (await mock.admin("GET", "/faults")).json["faults"] == []
        assert (await mock.admin("DELETE", "/faults/x")).status == 404


@pytest.mark.virtual_time
async def test_a_forgotten_fault_ends_after_its_time_to_live(tmp_path):
    async with running(tmp_path) as mock:
        await mock.admin("POST", "/faults", {"kind": "abort", "ttl": "400ms"})
        assert (await mock.upload()).status == 503
        await asyncio.sleep(0.5)
        assert (await mock.upload()).status == 201


async def test_a_fault_without_a_time_to_live_lives_an_hour(tmp_path):
    async with running(tmp_path) as mock:
        added = await mock.admin("POST", "/faults", {"kind": "abort"})
        assert float(added.json["duration"].removesuffix("s")) == pytest.approx(3600, abs=1)


async def test_a_fault_may_be_scheduled(tmp_path):
    async with running(tmp_path) as mock:
        now = (await mock.admin("GET", "/faults")).json["now"]
        await mock.admin("POST", "/faults", {"kind": "abort", "start": f"{now + 1000:.3f}s", "duration": "500s"})
        t0, statuses = mock.server._t0, []
        assert t0 is not None
        for page, later_s in ((1, 900), (2, 1100), (3, 1600)):
            mock.server._t0 = t0 - later_s
            statuses.append((await mock.upload(page=page)).status)
        assert statuses == [201, 503, 201]


async def test_a_second_fault_of_a_name_is_refused(tmp_path):
    async with running(tmp_path) as mock:
        assert (await mock.admin("POST", "/faults", {"kind": "abort"})).status == 201
        assert (await mock.admin("POST", "/faults", {"kind": "abort"})).status == 409


async def test_a_wrong_fault_is_explained(tmp_path):
    async with running(tmp_path) as mock:
        answer = await mock.admin("POST", "/faults", {"kind": "latency", "dealy": "1s"})
        assert answer.status == 400
        assert answer.json["problems"] == ["delay is missing", 'dealy is not a known key; did you mean "delay"?']
        for content in ("x", 5, ["abort"]):
            assert (await mock.admin("POST", "/faults", content)).status == 400


async def test_reset_brings_the_profiles_faults_back(tmp_path):
    async with running(tmp_path, faults=[{"kind": "abort", "count": 1}]) as mock:
        assert (await mock.upload()).status == 503
        await mock.admin("POST", "/faults", {"kind": "timeout", "name": "extra"})
        await mock.admin("DELETE", "/faults")
        assert (await mock.upload()).status == 201
        listed = (await mock.admin("POST", "/faults/reset")).json["faults"]
        assert [(fault["name"], fault["active"], fault["injected"]) for fault in listed] == [("abort", True, 0)]
        assert (await mock.upload(page=2)).status == 503


async def test_the_profile_in_force_is_told(tmp_path):
    async with running(tmp_path, workers=3) as mock:
        profile = (await mock.admin("GET", "/profile")).json
        assert (profile["workers"], profile["grace"], profile["faults"]) == (3, "1s", [])


async def test_every_copy_is_streamed_however_many(tmp_path):
    async with running(tmp_path) as mock:
        rows = [
            (station(n % 999 + 1), "ppwp", n % 3 + 1, f"{n:064x}", n, "{}", 1.5, "", "", str(n), None)
            for n in range(5001)
        ]
        await mock.server.store.do(
            lambda db: (
                db.executemany(
                    "INSERT INTO pages (station, form, page, sha256, size_bytes, reading, stored_at, sent_sha256,"
                    " idempotency_key, receipt, photo) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    rows,
                ).rowcount
            )
        )
        stored = await mock.stored()
        assert [row["size_bytes"] for row in stored] == list(range(5001))
        assert stored[7] == {
            "station": station(8), "form": "ppwp", "page": 2, "sha256": f"{7:064x}", "size_bytes": 7, "reading": "{}",
            "stored_at": 1.5,
        }  # fmt: skip


async def test_wrong_methods_and_paths_get_problems_here_too(tmp_path):
    async with running(tmp_path) as mock:
        assert (await mock.admin("DELETE", "/stored")).status == 405
        answer = await mock.admin("GET", "/nowhere")
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
