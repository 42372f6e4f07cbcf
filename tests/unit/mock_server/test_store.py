"""What is held, straight at the store."""

import asyncio
import sqlite3
import threading

import pytest

from mock_server.rows import Order, Row
from mock_server.store import Store


def order(page: int = 1, sha256: str = "a", key: str = "") -> Order:
    row = Row("3509191001001", "ppwp", page, sha256, 10, "", 1.0, sha256, key, f"receipt {page} {sha256}")
    return Order(row, (row,))


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
    commit = store._commit

    def counted(connection, batch):
        nonlocal commits
        commits += 1
        commit(connection, batch)

    store._commit = counted
    verdicts = await asyncio.gather(*(store.put(order(page)) for page in range(200)))
    assert {verdict.kind for verdict in verdicts} == {"new"}
    assert commits < 20
    assert await held(store) == 200


async def test_an_answer_comes_only_after_the_row_can_be_read_by_others(store, tmp_path):
    await store.put(order())
    other = sqlite3.connect(tmp_path / "store.sqlite")
    assert other.execute("SELECT COUNT(*) FROM pages").fetchone() == (1,)
    other.close()


async def test_a_failed_commit_fails_every_upload_of_its_group_and_keeps_none(store):
    def fails(_connection):
        raise sqlite3.OperationalError

    results = await asyncio.gather(store.put(order(1)), store.do(fails), store.put(order(2)), return_exceptions=True)
    assert [type(result) for result in results] == [sqlite3.OperationalError] * 3
    assert await held(store) == 0
    assert (await store.put(order(1))).kind == "new", "it goes on afterwards"


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
    assert asyncio.get_running_loop().time() - begun < 1.0
    assert not slow.done()
    gate.set()
    assert await slow is True


async def test_an_order_without_rows_is_answered_as_new_and_stores_nothing(store):
    verdict = await store.put(order()._replace(rows=()))
    assert (verdict.kind, await held(store)) == ("new", 0)
