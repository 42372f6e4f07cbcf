"""What became of uploads that were answered 202: queued, reading, stored or unreadable."""

from __future__ import annotations

from collections import OrderedDict

PageKey = tuple[str, str, int]
_MAX_REMEMBERED = 100_000


class PendingUploads:
    """The state of each page's latest upload, the oldest forgotten first.

    Not kept over a restart: nothing of it is acknowledged until it is stored.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[PageKey, dict[str, object]] = OrderedDict()

    def say(self, page: PageKey, status: str, **members: object) -> None:
        """Notes a page's state."""
        self._states.pop(page, None)
        self._states[page] = {"status": status, **members}
        if len(self._states) > _MAX_REMEMBERED:
            self._states.popitem(last=False)

    def forget(self, page: PageKey) -> None:
        """The store knows better from now on."""
        self._states.pop(page, None)

    def of(self, page: PageKey) -> dict[str, object] | None:
        """The state of a page, None if nothing is known."""
        return self._states.get(page)
