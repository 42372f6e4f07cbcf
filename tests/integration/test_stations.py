"""Stations' evenings against the real mock over real sockets: every strategy, every kind of link."""

import json
from collections import Counter

import pytest

from harness.base.model import OUTCOMES, Outcome
from harness.plan import make_plan
from harness.run_folder.journal import GiveUpReason
from harness.scenario.loader import load_scenario
from tests.support import upload_driver
from tests.support.mock_process import process
from tests.support.upload_driver import target_of

EACH = 4
"""Stations a test: 12 pages."""
STRATEGIES = {
    "none": "",
    "immediate": "",
    "fixed": 'base="20ms"',
    "exponential": 'base="10ms"',
    "equal_jitter": 'base="10ms"',
    "full_jitter": 'base="10ms"',
    "decorrelated_jitter": 'base="10ms", cap="50ms"',
    "token_bucket": 'base="10ms", capacity=1.0',
    "retry_budget": 'base="10ms", window="200ms", reserve_per_s=5.0',
    "adaptive_throttle": 'base="10ms", cap="50ms", window="500ms"',
    "circuit_breaker": 'base="10ms", minimum_calls=1, open_for="100ms"',
    "outbox": 'base="10ms", spread="200ms"',
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def plan():
    return make_plan(
        load_scenario("kaliwates", ["photos.size=40KB", "photos.bank=1", 'arrivals={kind="constant", over="1ms"}'])
    )


@pytest.fixture
def drive(server, plan, tmp_path):
    """Drives `EACH` stations at once from station number `first` on; what the journal says, as END and GAVE_UP records."""

    def go(first, *overrides):
        driven = upload_driver.drive(target_of(server.ready), plan, range(first, first + EACH), tmp_path, *overrides)
        return driven.ends, driven.gave_up

    return go


def held(server, plan, first):
    codes = {plan.stations[station].code for station in range(first, first + EACH)}
    return sum(row["station"] in codes for row in server.stored())


def outcomes_of(ends):
    return Counter(OUTCOMES[record["outcome"]] for record in ends)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_each_strategy_brings_its_pages_through_a_server_that_refuses_six_times(strategy, server, plan, drive):
    fault = {"name": strategy, "kind": "abort", "status": 503, "count": 6}
    status, said = server.ask("POST", "/faults", {"Content-Type": "application/json"}, json.dumps(fault).encode(), admin=True)  # fmt: skip
    assert status < 300, said
    first = list(STRATEGIES).index(strategy) * EACH
    ends, gave_up = drive(first, f'client.retry={{strategy="{strategy}", {STRATEGIES[strategy]}}}'.replace(", }", "}"))
    outcomes = outcomes_of(ends)
    lost = 6 if strategy == "none" else len(gave_up)
    assert outcomes[Outcome.UNAVAILABLE] == 6
    assert outcomes[Outcome.ACCEPTED] == 12 - lost == held(server, plan, first)
    reasons = {"none": [GiveUpReason.ATTEMPTS_USED_UP] * 6, "token_bucket": [GiveUpReason.WITHHELD] * lost}
    assert gave_up["status"].tolist() == reasons.get(strategy, [])
    if strategy in {"circuit_breaker", "outbox"}:
        assert outcomes[Outcome.WITHHELD] >= EACH
    elif strategy not in {"adaptive_throttle", "retry_budget"}:
        assert outcomes[Outcome.WITHHELD] == 0
    for record in ends[ends["outcome"] == OUTCOMES.index(Outcome.WITHHELD)]:
        assert record["sent_s"] != record["sent_s"]  # NaN: never sent


LINK = '{ upload = "2Mbit/s", rtt = "40ms" }'  # 250 KB/s: 40 KB take 160 ms


@pytest.mark.parametrize("connection", ["new", "each", "reuse"])
def test_over_a_link_each_page_takes_its_time(connection, server, plan, drive):
    first = 100 + EACH * ["new", "each", "reuse"].index(connection)
    ends, _ = drive(first, f"client.link={LINK}", f"client.connection={connection}")
    assert outcomes_of(ends) == {Outcome.ACCEPTED: 12}
    assert held(server, plan, first) == 12
    for record in ends:
        took_s, size = record["done_s"] - record["sent_s"], record["sent_bytes"]
        assert took_s >= size / 250_000 + 0.04
        assert took_s < size / 250_000 + 10.0, "each page has its own time, but for what a busy machine adds"
    assert (ends["body_sent_s"] <= ends["first_byte_s"]).all()


def test_a_line_too_slow_for_the_timeout_times_out_while_sending(drive):
    # The first 16 KB would be through after 2.6 s, the whole photo after 6.4 s: a timer may be late by more than a second.
    ends, gave_up = drive(
        200, 'client.link={ upload = "0.05Mbit/s" }', "client.timeout=1s", 'client.retry={strategy="none"}'
    )
    assert outcomes_of(ends) == {Outcome.TIMEOUT_SEND: 12}
    assert len(gave_up) == 12
    assert (ends["sent_bytes"] < 20_000).all()
