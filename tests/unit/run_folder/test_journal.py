"""The journal survives what its process does not."""

import errno
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from harness.base.model import OUTCOMES, REASONS, MalformedReason, Outcome
from harness.run_folder.journal import (
    FIELDS,
    RECORD,
    AttemptRecord,
    GiveUpReason,
    JournalWriter,
    RecordKind,
    journal_file_name,
    read_journal,
)


def test_what_a_full_disk_does_not_take_is_kept_whole_for_the_next_time(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path, 0)
    for page in range(3):
        writer.begin(page, 1, due_s=0.0, sent_s=0.0)
    write, room = writer._write, [RECORD.itemsize + 5]

    def writing(content):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(content[: room[0]])
        room[0] -= done
        return done

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_write", writing)
        with pytest.raises(OSError, match="No space left"):
            writer.flush()
    writer.begin(3, 1, due_s=0.0, sent_s=0.0)
    writer.close()
    assert [int(page) for page in read_journal(tmp_path / journal_file_name(0))["page"]] == [0, 1, 2, 3]


def test_what_is_written_is_read_back(tmp_path):
    writer = JournalWriter(tmp_path, 3)
    writer.begin(7, 2, due_s=1.5, sent_s=1.6)
    record = AttemptRecord(
        Outcome.TIMEOUT_SEND, page=7, attempt=2, sent_bytes=2**40, resent_bytes=5, due_s=1.5, sent_s=1.6, connected_s=1.7,
        body_sent_s=1.8, first_byte_s=1.9, done_s=2.0, retry_after_s=3.0, login_s=0.25, queue_s=0.5, server_s=0.125,
    )  # fmt: skip
    writer.end(record)
    writer.gave_up(8, 4, 9.0, GiveUpReason.DEADLINE)
    writer.close()
    begin, end, gave_up = read_journal(tmp_path / "worker-0003.journal")
    assert (begin["kind"], begin["page"], begin["attempt"], begin["due_s"], begin["sent_s"]) == (
        RecordKind.BEGIN,
        7,
        2,
        1.5,
        1.6,
    )
    assert math.isnan(begin["done_s"])
    assert OUTCOMES[end["outcome"]] is Outcome.TIMEOUT_SEND
    named = ["due_s", "sent_s", "connected_s", "body_sent_s", "first_byte_s", "done_s", "retry_after_s", "login_s"]
    assert [float(end[name]) for name in named] == [1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 3.0, 0.25]
    assert (float(end["queue_s"]), float(end["server_s"]), int(end["sent_bytes"])) == (0.5, 0.125, 2**40)
    assert (gave_up["kind"], gave_up["page"], gave_up["attempt"], gave_up["status"]) == (
        RecordKind.GAVE_UP,
        8,
        4,
        GiveUpReason.DEADLINE,
    )
    assert gave_up["done_s"] == 9.0


def test_the_format_of_a_record_on_disk_is_what_it_has_always_been():
    assert np.dtype(
        [
            ("kind", "u1"), ("outcome", "u1"), ("status", "<u2"), ("page", "<u4"), ("attempt", "<u4"), ("reason", "<u2"),
            ("step", "<u2"), ("sent_bytes", "<u8"), ("resent_bytes", "<u8"), ("due_s", "<f8"), ("sent_s", "<f8"), ("connected_s", "<f8"),
            ("body_sent_s", "<f8"), ("first_byte_s", "<f8"), ("done_s", "<f8"), ("retry_after_s", "<f4"), ("login_s", "<f4"),
            ("queue_s", "<f4"), ("server_s", "<f4"),
        ]
    ) == RECORD  # fmt: skip


def test_every_field_is_written_where_the_format_has_it(tmp_path):
    """Each field with a value of its own, read back by its name."""
    values = {name: number + 1 for number, name in enumerate(FIELDS[1:]) if name != "reason"}
    writer = JournalWriter(tmp_path, 0)
    writer.end(AttemptRecord(Outcome.RESET, reason=MalformedReason.CHUNK, **values))
    writer.close()
    (record,) = read_journal(tmp_path / journal_file_name(0))
    assert {name: int(record[name]) for name in values} == values
    assert REASONS[record["reason"]] is MalformedReason.CHUNK
    assert (record["kind"], OUTCOMES[record["outcome"]]) == (RecordKind.END, Outcome.RESET)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_has_a_number_of_its_own(tmp_path, outcome):
    writer = JournalWriter(tmp_path, 0)
    writer.end(AttemptRecord(outcome, attempt=1, due_s=0.0))
    writer.close()
    assert OUTCOMES[read_journal(tmp_path / journal_file_name(0))[0]["outcome"]] is outcome


@pytest.mark.parametrize("torn", [1, 50, RECORD.itemsize - 1])
def test_a_torn_tail_is_dropped(tmp_path, torn):
    writer = JournalWriter(tmp_path, 0)
    for page in range(3):
        writer.begin(page, 1, 0.0, 0.0)
    writer.close()
    path = tmp_path / journal_file_name(0)
    os.truncate(path, path.stat().st_size - torn)
    assert list(read_journal(path)["page"]) == [0, 1]


@pytest.mark.heavy
def test_nothing_is_lost_of_what_was_flushed_when_the_process_is_killed(tmp_path):
    script = f"""
import pathlib, sys, time
from harness.run_folder.journal import FIELDS, AttemptRecord, JournalWriter
writer = JournalWriter(pathlib.Path({str(tmp_path)!r}), 0)
for page in range(1000):
    writer.begin(page, 1, 0.0, 0.0)
writer.flush()
print("flushed", flush=True)
writer.begin(1000, 1, 0.0, 0.0)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"flushed\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(read_journal(tmp_path / journal_file_name(0))["page"]) == list(range(1000))
