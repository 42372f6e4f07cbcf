"""Readers in virtual time: open arrivals of cached reads, which take part of the way out and nothing else."""

from typing import Any

import numpy as np
import pytest

from harness.base.model import OUTCOMES, Outcome
from tests.support.simulations import play

READERS = {"rate": "20/s", "levels": ["kecamatan"], "timeout": "2s"}
LONG: dict[str, Any] = {"arrivals": {"kind": "constant", "over": "20s"}}


def reads(**tables):
    played = play(**{**LONG, "readers": READERS, **tables})
    return played, played.reads


def test_reads_come_at_their_rate_and_are_answered_without_a_worker():
    played, found = reads()
    assert len(found) == pytest.approx(20 * played.end.at_s, rel=0.2)
    assert (found["outcome"] == OUTCOMES.index(Outcome.ACCEPTED)).all()
    assert np.allclose(found["done_s"], found["sent_s"])
    assert played.outcomes == {"accepted": 6}
    assert played.counters.service.sum_s == pytest.approx(0.6)


def test_reads_wait_for_the_way_out_and_so_do_the_receipts_of_stations():
    played, found = reads(server={"service_time": "100ms", "egress": "12KB/s"})
    waits = found["done_s"] - found["due_s"]
    assert np.median(waits) > 0.05
    assert played.service_s.max() > 0.2
    assert (found["outcome"] == OUTCOMES.index(Outcome.TIMEOUT_RESPONSE)).sum() < len(found)


def test_a_server_that_is_down_refuses_reads_too():
    _, found = reads(faults=[{"kind": "down", "start": "2s", "duration": "3s"}])
    refused = found[found["outcome"] == OUTCOMES.index(Outcome.REFUSED)]
    assert len(refused) > 30
    assert 2.0 <= refused["due_s"].min() < refused["due_s"].max() < 5.0


def test_faults_that_match_uploads_only_leave_readers_alone():
    _, found = reads(faults=[{"kind": "abort", "match": {"phase": "upload"}, "count": 2}])
    assert (found["outcome"] == OUTCOMES.index(Outcome.ACCEPTED)).all()
    _, found = reads(faults=[{"kind": "abort", "match": {"phase": "public"}}])
    assert (found["status"] == 503).all()


def test_no_read_begins_after_the_run_is_over():
    played, found = reads()
    assert found["due_s"].max() <= played.end.at_s
    assert played.simulation.readers is not None
    assert played.simulation.readers.until_s == played.end.at_s
