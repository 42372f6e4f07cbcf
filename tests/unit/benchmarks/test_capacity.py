"""The proofs of the capacity search: what is planted is known, and the table says what came out."""

import numpy as np
import pytest

from benchmarks.capacity.__main__ import DATA, PAGE
from benchmarks.capacity.planted import PlantedServer, holds, sabotaged_code, search
from benchmarks.capacity.tables import HeldOut, Proofs, markdown, read_proofs
from benchmarks.publish import replace_block

RESULTS = Proofs(at="2026-11-30", searches=300, held=297, repeated=300, agreeing=280, sabotaged=30, refused=30)


def test_the_truth_is_that_of_a_queue():
    # ten pages of a second each, all at once: W workers take ceil(10 / W) seconds
    server = PlantedServer(stations=10, over_s=1e-6, service_s=1.0, deadline_s=5.001)
    truth = server.truth()
    assert truth[0] == 0
    assert truth[1:].min() == 1
    assert np.all(np.diff(PlantedServer.draw(0).truth()) >= 0)


@pytest.mark.heavy
def test_a_search_claims_what_is_true_and_a_wrong_claim_is_noticed():
    server = PlantedServer.draw(3)
    passes, fails = search(server, 1)
    assert passes is not None
    assert holds(server, (passes, fails))
    assert not holds(server, (fails, None))
    assert not holds(server, (passes + 1, passes))
    assert not holds(server, (None, passes))


def test_a_hidden_brownout_gives_no_number():
    assert sabotaged_code(PlantedServer.draw(3), 1) == 3


def test_the_table_says_what_was_met_missed_and_not_run():
    rows = markdown(RESULTS).splitlines()
    assert "| met: 297 of 300 (99 %) |" in rows[4]
    assert "not run yet" in rows[5]
    assert "| **missed**: 280 of 300 (93 %) |" in rows[8]
    cells = [
        HeldOut(name="3 workers", predicted=0.9, measured=0.92, is_met=True),
        HeldOut(name="6 workers", predicted=0.9, measured=0.8, is_met=False),
    ]
    run = RESULTS.model_copy(update={"levels": cells, "nginx_bears_per_s": 29.5, "nginx_fails_per_s": 30.9})
    rows = markdown(run).splitlines()
    assert "**missed**: 1 prediction of 2 (3 workers 90 % for 92 %, 6 workers 90 % for 80 %)" in rows[5]
    assert "met: between 29.5/s and 30.9/s" in rows[7]


@pytest.mark.parametrize(
    ("bears", "fails", "met"), [(29.0, 30.4, True), (25.0, 26.0, False), (33.0, 34.0, False), (None, 30.0, False)]
)
def test_the_rate_of_nginx_lies_in_the_bracket(bears, fails, met):
    found = RESULTS.model_copy(update={"nginx_bears_per_s": bears, "nginx_fails_per_s": fails})
    assert found.nginx_is_met is met


def test_the_published_table_is_that_of_the_data():
    page = PAGE.read_text("utf-8")
    assert replace_block(page, "capacity bench", f"\n{markdown(read_proofs(DATA))}\n\n") == page
