"""Rows of other machines' workers, written down in the order in which they left."""

import errno
import os

import pytest

from harness.drive.distributed.journal_receiver import JournalReceiver
from harness.run_folder.journal import journal_file_name


def test_chunks_of_several_workers_become_each_ones_journal(tmp_path):
    ledger = JournalReceiver(tmp_path)
    assert [ledger.enter(0, 0, b"ab"), ledger.enter(1, 0, b"x"), ledger.enter(0, 2, b"cd")] == ["", "", ""]
    assert [(tmp_path / journal_file_name(rank)).read_bytes() for rank in (0, 1)] == [b"abcd", b"x"]
    assert [ledger.received(rank) for rank in (0, 1, 2)] == [4, 1, 0]


@pytest.mark.parametrize("at", [3, 1, 0])
def test_a_chunk_that_does_not_join_the_last_one_is_not_written(tmp_path, at):
    ledger = JournalReceiver(tmp_path)
    ledger.enter(0, 0, b"ab")
    assert "rows were lost on the way" in ledger.enter(0, at, b"cd")
    assert (tmp_path / journal_file_name(0)).read_bytes() == b"ab"


def test_a_full_disk_is_told_to_every_worker_from_then_on(tmp_path, monkeypatch):
    ledger = JournalReceiver(tmp_path)
    ledger.enter(0, 0, b"ab")

    def full(_descriptor, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert ledger.enter(0, 2, b"cd") == "No space left on device"
    assert ledger.enter(1, 0, b"x") == "No space left on device"
    assert (ledger.received(0), ledger.unwritten) == (2, "No space left on device")


def test_what_the_kernel_takes_only_a_part_of_is_written_in_parts(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    ledger = JournalReceiver(tmp_path)
    assert ledger.enter(0, 0, b"abcdefgh") == ""
    assert (tmp_path / journal_file_name(0)).read_bytes() == b"abcdefgh"
