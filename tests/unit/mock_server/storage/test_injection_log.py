"""The injection log has a line for everything that faults did to what is stored, and no other, whenever a kill comes."""

import json
from pathlib import Path

import pytest

from mock_server.faults.base import RequestKey
from mock_server.faults.matching import Injection, injection_line
from mock_server.storage.injection_log import InjectionLog
from mock_server.storage.store import PageRow, Store, StoreRequest


class Killed(InjectionLog):
    """A log of a process that dies between its commit and this line: nothing of it is written."""

    def publish(self, _lines) -> None:
        return


def line(page: int) -> str:
    return injection_line(
        Injection(page / 8, "misfile", RequestKey("3509191001001", "ppwp", page, 1, "POST", "upload"))
    )


def order(page: int, *, is_struck: bool = True) -> StoreRequest:
    row = PageRow("3509191001001", "ppwp", page, "d", 1, "", 0.0, "d", "", f"receipt {page}")
    return StoreRequest(row, (row,), injections=(line(page),) if is_struck else ())


def logged(folder: Path) -> list[str]:
    path = folder / "injections.jsonl"
    return path.read_text().splitlines() if path.exists() else []


async def store_in(folder: Path, log: InjectionLog) -> Store:
    store = Store(folder / "store.sqlite", "page", log)
    await store.open()
    return store


def log_in(folder: Path, kind: type[InjectionLog] = InjectionLog) -> InjectionLog:
    return kind(folder / "injections.jsonl")


async def test_a_line_is_in_the_file_when_its_upload_is_answered_and_only_then(tmp_path):
    store = await store_in(tmp_path, log_in(tmp_path))
    for page in (1, 2):
        assert (await store.put(order(page))).kind == "new"
        assert logged(tmp_path) == [line(n) for n in range(1, page + 1)]
    assert (await store.put(order(1))).kind == "replay"
    assert (await store.put(order(3, is_struck=False))).kind == "new"
    assert len(logged(tmp_path)) == 2
    await store.close()


async def test_what_a_kill_kept_from_the_file_is_in_it_after_the_restart(tmp_path):
    dying = await store_in(tmp_path, log_in(tmp_path, Killed))
    await dying.put(order(1))
    assert logged(tmp_path) == []
    again = await store_in(tmp_path, log_in(tmp_path))
    assert logged(tmp_path) == [line(1)]
    await dying.close()
    await again.close()


async def test_what_is_in_the_file_already_is_not_written_again(tmp_path):
    dying = await store_in(tmp_path, log_in(tmp_path))
    for page in (1, 2):
        await dying.put(order(page))  # the second one is in the file and in the store's table
    again = await store_in(tmp_path, log_in(tmp_path))
    assert logged(tmp_path) == [line(1), line(2)]
    await again.close()
    await dying.close()


@pytest.mark.parametrize("cut", [1, 10, 60])
async def test_a_line_that_was_torn_by_a_kill_is_mended(tmp_path, cut):
    dying = await store_in(tmp_path, log_in(tmp_path))
    for page in (1, 2):
        await dying.put(order(page))
    path = tmp_path / "injections.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    again = await store_in(tmp_path, log_in(tmp_path))
    assert logged(tmp_path) == [line(1), line(2)]
    await again.close()
    await dying.close()


async def test_an_upload_that_is_undone_is_not_logged(tmp_path):
    store = await store_in(tmp_path, log_in(tmp_path))
    broken = order(1)._replace(rows=(order(1).rows[0]._replace(size_bytes=2**70),))
    with pytest.raises(OverflowError):
        await store.put(broken)
    assert (await store.put(order(2))).kind == "new"
    assert logged(tmp_path) == [line(2)]
    await store.close()


async def test_a_file_that_cannot_be_written_for_a_while_gets_each_line_once(tmp_path, monkeypatch):
    store = await store_in(tmp_path, log_in(tmp_path))
    await store.put(order(1))
    whole = InjectionLog._append

    def half(log: InjectionLog, lines) -> None:
        whole(log, list(lines)[:1])
        raise OSError

    monkeypatch.setattr(InjectionLog, "_append", half)
    await store.put(order(2))
    monkeypatch.undo()
    await store.put(order(3))
    assert [json.loads(text)["page"] for text in logged(tmp_path)] == [1, 2, 3]
    await store.close()


async def test_a_loss_is_logged_when_it_happens_and_not_if_there_is_nothing_to_lose(tmp_path):
    store = await store_in(tmp_path, log_in(tmp_path))
    await store.put(order(1, is_struck=False))
    await store.delete("receipt 9", (line(9),))
    assert logged(tmp_path) == []
    await store.delete("receipt 1", (line(1),))
    assert logged(tmp_path) == [line(1)]
    await store.close()
