"""What an answer's headers say, and what they can't make the journal choke on."""

import math
from datetime import UTC, datetime

import pytest

from harness.base.model import Outcome
from harness.drive.client.response import parse_retry_after, parse_server_timing
from harness.run_folder.journal import AttemptRecord, JournalWriter, journal_file_name, read_journal

NOW = datetime(2024, 2, 14, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("Wed, 14 Feb 2024 17:00:30 GMT", 30.0),
        ("Wed, 14 Feb 2024 16:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize("header", ["", "soon", "nan", "Wed, 99 Feb 2024"])
def test_a_retry_after_that_is_neither_asks_for_nothing(header):
    assert math.isnan(parse_retry_after(header, NOW))


def test_absurd_headers_fit_into_the_journal(tmp_path):
    writer = JournalWriter(tmp_path, 0)
    asked = parse_retry_after("9" * 45, NOW)
    queue = parse_server_timing("queue;dur=1e60, service;dur=inf")
    writer.end(
        AttemptRecord(
            Outcome.ACCEPTED, due_s=0.0, retry_after_s=asked, queue_s=queue["queue"], server_s=queue["service"]
        )
    )
    writer.close()
    (record,) = read_journal(tmp_path / journal_file_name(0))
    assert record["retry_after_s"] == pytest.approx(1e9)
    assert record["queue_s"] == pytest.approx(1e6)
