"""What faults have promised to lose after it was acknowledged."""

from __future__ import annotations

import asyncio

from mock_server.storage.store import Store


class DelayedDeletes:
    """Deletes rows when their time has come, or all that are promised when the server is brought to rest."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._promised: dict[str, tuple[asyncio.TimerHandle, str]] = {}
        self._running: set[asyncio.Task[object]] = set()

    def promise(self, receipt: str, delay_s: float, line: str) -> None:
        """Will delete what this receipt stands for; `line` is logged when that happens."""
        timer = asyncio.get_running_loop().call_later(delay_s, self._begin, receipt)
        self._promised[receipt] = (timer, line)

    @property
    def under_way(self) -> int:
        """Losses that are not on disk yet."""
        return len(self._running)

    def _begin(self, receipt: str) -> None:
        timer, line = self._promised.pop(receipt)
        timer.cancel()
        task: asyncio.Task[object] = asyncio.create_task(self._store.lose(receipt, (line,)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def all_now(self) -> None:
        """Begins every loss that is still to come; they are waited for with the store."""
        for receipt in tuple(self._promised):
            self._begin(receipt)
