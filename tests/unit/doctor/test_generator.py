"""What a generator did is read from its journal."""

import numpy as np
import pytest

from harness.doctor.generator import driven_of
from harness.measure.journal import RECORD, Kind
from harness.model import OUTCOMES, Outcome


def test_attempts_that_ended_count_and_their_lateness_is_sent_less_due():
    rows = np.zeros(4, dtype=RECORD)
    rows["kind"] = [Kind.BEGIN, Kind.END, Kind.END, Kind.END]
    rows["outcome"] = [
        OUTCOMES.index(one) for one in (Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.RESET, Outcome.WITHHELD)
    ]
    rows["due_s"] = [0.0, 0.0, 1.0, 1.0]
    rows["sent_s"] = [0.0, 0.001, 1.002, np.nan]
    rows["done_s"] = [0.0, 0.5, 2.0, np.nan]
    found = driven_of(rows, 0.5)
    assert (found.attempts, found.accepted, found.over_s) == (3, 1, 2.0)
    assert found.lateness_s.tolist() == pytest.approx([0.001, 0.002])
    assert (found.per_s, found.per_cpu_s) == (1.5, 6.0)


def test_a_generator_that_did_nothing_has_no_rate():
    found = driven_of(np.zeros(0, dtype=RECORD), 0.0)
    assert (found.attempts, found.per_s, len(found.lateness_s)) == (0, 0.0, 0)
