"""What is held, straight at the store."""

import asyncio
import sqlite3
import threading

import pytest

from mock_server.storage.store import PageRow, Store, StoreRequest, StoreResult


def order(page: int = 1, sha256: str = "a", key: str = "") -> StoreRequest:
    row = PageRow("3509191001001", "ppwp", page, sha256, 10, "", 1.0, sha256, key, f"receipt {page} {sha256}")
    return StoreRequest(row, (row,))


@pytest.fixture
async def store(tmp_path):
    opened = Store(tmp_path / "store.sqlite", "page")
    await opened.open()
    yield opened
    await opened.close()


async def held(store: Store) -> int:
    return int((await store.run("SELECT COUNT(*) FROM pages"))[0][0])


async def test_many_uploads_share_a_commit(store):
    commits = 0
    commit = store._writer._commit

    def counted(connection, batch):
        nonlocal commits
        commits += 1
        commit(connection, batch)

    store._writer._commit = counted
    verdicts = await asyncio.gather(*(store.put(order(page)) for page in range(200)))
    assert {verdict.kind for verdict in verdicts} == {"new"}
    assert commits < 20
    assert await held(store) == 200


async def test_an_answer_comes_only_after_the_row_can_be_read_by_others(store, tmp_path):
    await store.put(order())
    other = sqlite3.connect(tmp_path / "store.sqlite")
    assert other.execute("SELECT COUNT(*) FROM pages").fetchone() == (1,)
    other.close()


async def test_of_a_group_only_the_job_that_fails_is_told_so(store):
    def fails(_connection):
        raise sqlite3.OperationalError

    results = await asyncio.gather(store.put(order(1)), store.do(fails), store.put(order(2)), return_exceptions=True)
    assert isinstance(results[1], sqlite3.OperationalError)
    assert all(isinstance(result, StoreResult) and result.kind == "new" for result in (results[0], results[2]))
    assert await held(store) == 2


async def test_a_value_that_cannot_be_bound_fails_its_own_upload_only(store):
    unbindable = order(1, key="\udcff")
    results = await asyncio.wait_for(
        asyncio.gather(store.put(unbindable), store.put(order(2)), return_exceptions=True), 5
    )
    assert isinstance(results[0], UnicodeEncodeError)
    assert isinstance(results[1], StoreResult)
    assert results[1].kind == "new"
    assert (await asyncio.wait_for(store.put(order(3)), 5)).kind == "new", "it goes on afterwards"


async def test_what_a_failed_job_did_before_it_failed_is_undone(store):
    def half(connection):
        store._put(connection, order(1))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.do(half)
    assert await held(store) == 0


@pytest.mark.heavy
async def test_while_others_hold_the_file_every_upload_of_a_group_fails_at_once(store, tmp_path):
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = asyncio.get_running_loop().time()
    results = await asyncio.gather(*(store.put(order(page)) for page in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {sqlite3.OperationalError}
    assert asyncio.get_running_loop().time() - begun < 15, "the wait for the lock is not repeated for each"
    other.execute("ROLLBACK")
    other.close()
    assert (await store.put(order(1))).kind == "new"


async def test_closing_commits_what_is_waiting(tmp_path):
    store = Store(tmp_path / "store.sqlite", "page")
    await store.open()
    waiting = [asyncio.create_task(store.put(order(page))) for page in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert {(await task).kind for task in waiting} == {"new"}
    again = Store(tmp_path / "store.sqlite", "page")
    await again.open()
    assert await held(again) == 50
    await again.close()


async def test_the_event_loop_runs_on_while_the_disk_is_slow(store):
    gate = threading.Event()
    slow = asyncio.create_task(store.do(lambda _connection: gate.wait(5)))
    begun = asyncio.get_running_loop().time()
    for _ in range(10):
        await asyncio.sleep(0.01)
    assert asyncio.get_running_loop().time() - begun < 4.0, "it does not wait for the gate"
    assert not slow.done()
    gate.set()
    assert await slow is True


async def test_an_order_without_rows_is_answered_as_new_and_stores_nothing(store):
    verdict = await store.put(order()._replace(rows=()))
    assert (verdict.kind, await held(store)) == ("new", 0)


async def test_ids_are_not_used_again(store):
    await store.put(order(1))
    await store.delete(order(1).sent.receipt)
    assert store.deletions == 1
    await store.put(order(2))
    assert await store.run("SELECT id FROM pages") == [(2,)]


async def test_what_nobody_waits_for_any_more_is_stored_and_told(store):
    gate = threading.Event()
    slow = asyncio.create_task(store.do(lambda _connection: gate.wait(5)))
    told: list[str] = []
    given_up = asyncio.create_task(store.put(order(), lambda verdict: told.append(verdict.kind)))
    await asyncio.sleep(0.05)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert (store.waiting, told) == (2, [])
    gate.set()
    await slow
    assert await held(store) == 1
    assert (store.waiting, told) == (0, ["new"])
