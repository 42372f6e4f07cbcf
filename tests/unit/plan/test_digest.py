"""Whether two machines have made the same plan."""

import pytest

from harness.plan import make_plan
from harness.plan.digest import digest_plan
from harness.scenario.loader import load_scenario

BASE = ["photos.size=2KB", "photos.bank=1", "stations.count=30", 'arrivals={kind="poisson", over="5s"}']


def digest(*overrides, seed=3):
    return digest_plan(make_plan(load_scenario("kaliwates", [*BASE, *overrides], seed)))


PLAIN = digest()


def test_the_same_scenario_and_seed_give_the_same_digest():
    assert digest() == PLAIN
    assert digest("server.workers=1") == PLAIN  # how the server behaves is no part of what is sent


@pytest.mark.parametrize(
    "other",
    ["photos.size=3KB", "photos.bank=2", "stations.count=29", "stations.region=jember", 'arrivals={kind="poisson", over="6s"}',
     'arrivals={kind="closed", phones=5, think={distribution="fixed", value="1s"}}'],
)  # fmt: skip
def test_whatever_changes_what_is_sent_or_when_changes_it(other):
    assert digest(other) != PLAIN


def test_another_seed_changes_it():
    assert digest(seed=4) != PLAIN
