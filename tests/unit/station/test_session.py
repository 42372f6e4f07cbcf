"""A station's session on made-up outcomes: what it does next under each strategy, with nothing but numbers for time."""

import itertools
from dataclasses import dataclass, field
from typing import get_args

import pytest
from pydantic import TypeAdapter

from harness.base.model import Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import Retry
from harness.station.retry import STRATEGIES, RetryPolicy
from harness.station.session import Action, ClosedLoop, Session

A, U = Outcome.ACCEPTED, Outcome.UNAVAILABLE
STATUS = {A: 201, U: 503, Outcome.REJECTED: 409}
TAKES_S = 0.1


@dataclass
class Played:
    """What a session did: rows as the journal would have them."""

    attempts: list[tuple[int, int, int]] = field(default_factory=list)
    """(page, row, attempt) of each that was sent."""
    due_s: list[float] = field(default_factory=list)
    withheld: list[tuple[int, int, float]] = field(default_factory=list)
    given_up: list[tuple[int, int, GiveUpReason]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    retries: int = 0


def strategy_name(config):
    return get_args(config.model_fields["strategy"].annotation)[0]


def make_session(retry="fixed", *, pages=3, due_s=0.0, deadline_s=60.0, seed=1, **options):
    config = TypeAdapter(Retry).validate_python({"strategy": retry, **options})
    return Session(range(pages), due_s, deadline_s, RetryPolicy(config, seed, "3509191001001"))


def play(session, outcomes, *, retry_after_s=None, now_s=0.0):
    """Play the session in virtual time; every attempt takes 0.1 s and ends as the script says, then as accepted."""
    played, script = Played(), iter(outcomes)
    while (action := session.next(now_s)) is not Action.DONE:
        if action is Action.WAIT:
            assert session.due_s > now_s
            played.waits.append(session.due_s)
            now_s = session.due_s
        elif action is Action.ATTEMPT:
            played.attempts.append((session.page, session.row, session.attempts))
            played.due_s.append(session.due_s)
            outcome = next(script, A)
            now_s += TAKES_S
            asked_s = retry_after_s if outcome is U else None
            played.retries += session.attempt_ended(outcome, STATUS.get(outcome, 0), asked_s, now_s)
        elif action is Action.WITHHOLD:
            played.withheld.append((session.page, session.row, session.due_s))
        else:
            played.given_up.append((session.page, session.attempts, session.reason))
    return played


def test_pages_go_one_after_another_each_due_when_the_one_before_was_over():
    session = make_session(due_s=2.0)
    played = play(session, [])
    assert played.attempts == [(0, 1, 1), (1, 1, 1), (2, 1, 1)]
    assert played.due_s == pytest.approx([2.0, 2.1, 2.2])
    assert played.waits == [2.0]
    assert session.ended_s == pytest.approx(2.3)
    assert session.completed


def test_a_failed_page_is_retried_before_the_next_one_begins():
    session = make_session("fixed", base="1s")
    played = play(session, [U, U])
    assert played.attempts == [(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 1), (2, 1, 1)]
    assert played.due_s[:3] == pytest.approx([0.0, 1.1, 2.2])
    assert played.retries == 2
    assert session.completed


@pytest.mark.parametrize(
    ("retry", "options", "first_pauses_s"),
    [
        ("immediate", {}, [0.02, 0.02, 0.02]),
        ("fixed", {"base": "2s"}, [2.0, 2.0, 2.0]),
        ("exponential", {"base": "1s", "cap": "3s"}, [1.0, 2.0, 3.0]),
    ],
)
def test_strategies_without_random_numbers_wait_exactly_their_pauses(retry, options, first_pauses_s):
    played = play(make_session(retry, **options), [U] * 3)
    pauses_s = [due_s - (before_s + TAKES_S) for before_s, due_s in itertools.pairwise(played.due_s)]
    assert pauses_s[:3] == pytest.approx(first_pauses_s)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("retry", "low", "high"),
    [
        ("equal_jitter", [0.5, 1.0, 2.0], [1.0, 2.0, 4.0]),
        ("full_jitter", [0.0] * 3, [1.0, 2.0, 4.0]),
        ("outbox", [0.0] * 3, [1.0, 2.0, 4.0]),
        ("decorrelated_jitter", [1.0] * 3, [3.0, 9.0, 27.0]),
        ("token_bucket", [0.0] * 3, [1.0, 2.0, 4.0]),
        ("retry_budget", [0.0], [1.0]),
        ("circuit_breaker", [0.0] * 3, [1.0, 2.0, 4.0]),
        ("adaptive_throttle", [0.0], [1.0]),
    ],
)
def test_strategies_with_random_numbers_stay_within_their_pauses(retry, low, high):
    spread = {"spread": "0s"} if retry == "outbox" else {}
    for seed in range(50):
        played = play(make_session(retry, base="1s", cap="30s", seed=seed, deadline_s=1e6, **spread), [U] * len(low))
        first_page = [due_s for due_s, (page, *_) in zip(played.due_s, played.attempts, strict=True) if page == 0]
        pauses_s = [due_s - before_s - TAKES_S for before_s, due_s in itertools.pairwise(first_page)]
        for pause_s, low_s, high_s in zip(pauses_s, low, high, strict=False):
            assert pause_s >= low_s - 1e-9
            assert played.withheld or pause_s <= high_s + 1e-9


@pytest.mark.parametrize("retry", [strategy_name(config) for config in STRATEGIES])
def test_every_strategy_takes_all_pages_through_a_short_outage_or_gives_them_up(retry):
    session = make_session(retry, deadline_s=3600.0)
    played = play(session, [U] * 4)
    finished = {page for page, *_ in played.attempts}
    assert finished == {0, 1, 2}
    assert session.ended_s is not None
    assert session.completed == (not played.given_up)
    assert bool(played.given_up) == (retry in {"none", "token_bucket"})  # 3 tokens, 4 failures


def test_without_retries_each_failed_page_is_given_up_and_the_next_one_begins():
    session = make_session("none")
    played = play(session, [U, A, U])
    assert played.given_up == [(0, 1, GiveUpReason.ATTEMPTS_USED_UP), (2, 1, GiveUpReason.ATTEMPTS_USED_UP)]
    assert len(played.attempts) == 3
    assert not session.completed
    assert session.ended_s == pytest.approx(0.3)


def test_max_attempts_counts_only_what_was_sent():
    breaker = {"minimum_calls": 2, "base": "1ms", "cap": "1ms", "open_for": "5s", "max_attempts": 3}
    session = make_session("circuit_breaker", pages=1, **breaker)
    played = play(session, [U] * 3)
    assert played.attempts == [(0, 1, 1), (0, 2, 2), (0, 4, 3)]
    assert [(page, row) for page, row, _ in played.withheld] == [(0, 3)]
    assert played.given_up == [(0, 3, GiveUpReason.ATTEMPTS_USED_UP)]


def test_a_rejected_page_is_given_up_at_once():
    played = play(make_session(), [Outcome.REJECTED])
    assert played.given_up == [(0, 1, GiveUpReason.REJECTED_FOR_GOOD)]
    assert [page for page, *_ in played.attempts] == [0, 1, 2]


@pytest.mark.heavy
def test_retry_after_postpones_the_retry_and_spreads_it():
    dues = [play(make_session("fixed", seed=seed), [U], retry_after_s=5.0).due_s[1] for seed in range(100)]
    assert min(dues) >= TAKES_S + 5.0
    assert max(dues) <= TAKES_S + 10.0
    assert len({round(due_s, 6) for due_s in dues}) == 100


def test_a_spread_withholds_the_first_attempt_of_the_session_and_no_other():
    session = make_session("fixed", spread="10s", due_s=3.0)
    played = play(session, [])
    assert [(page, row, due_s) for page, row, due_s in played.withheld] == [(0, 1, 3.0)]
    assert 3.0 < played.due_s[0] < 13.0
    assert played.attempts == [(0, 2, 1), (1, 1, 1), (2, 1, 1)]


def test_no_attempt_starts_at_the_deadline_and_the_pages_behind_stay_unattempted():
    session = make_session("fixed", base="1s", deadline_s=2.2)
    played = play(session, [U] * 10)
    assert [page for page, *_ in played.attempts] == [0, 0]  # the third would be due at 2.2 s
    assert played.given_up == [(0, 2, GiveUpReason.DEADLINE)]
    assert session.ended_s is None
    assert not session.completed


def test_an_attempt_that_ends_after_the_deadline_counts_and_the_next_page_does_not_begin():
    session = make_session(deadline_s=0.05)
    played = play(session, [A])
    assert played.attempts == [(0, 1, 1)]
    assert played.given_up == [(1, 0, GiveUpReason.DEADLINE)]
    assert session.ended_s is None


def test_an_attempt_withheld_until_after_the_deadline_is_recorded_and_given_up_without_waiting():
    breaker = {"minimum_calls": 1, "open_for": "60s", "base": "1ms", "cap": "1ms"}
    session = make_session("circuit_breaker", deadline_s=20.0, **breaker)
    played = play(session, [U])
    assert len(played.withheld) == 1
    assert played.given_up == [(0, 1, GiveUpReason.DEADLINE)]
    assert max(played.waits, default=0.0) < 1.0
    assert session.decided_s < 1.0


def test_a_session_is_not_asked_for_more_while_an_attempt_is_in_flight():
    session = make_session()
    assert session.next(0.0) is Action.ATTEMPT
    with pytest.raises(RuntimeError, match="in flight"):
        session.next(0.1)
    session.attempt_ended(A, 201, None, 0.1)
    with pytest.raises(RuntimeError, match="no attempt"):
        session.attempt_ended(A, 201, None, 0.2)


def test_a_session_that_is_done_stays_done():
    session = make_session(pages=1)
    play(session, [])
    assert session.next(100.0) is Action.DONE


def test_no_strategy_is_made_for_a_station_whose_every_page_arrives_at_once():
    """Most stations of a healthy run: neither a generator (2.5 KB) nor a strategy."""
    session = make_session("full_jitter")
    play(session, [])
    assert session._policy._strategy is None
    failing = make_session("full_jitter")
    play(failing, [U])
    assert failing._policy._strategy is not None


def test_strategies_that_count_every_attempt_are_made_at_once():
    needed = {strategy_name(config) for config, kind in STRATEGIES.items() if kind.needs_history}  # fmt: skip
    assert needed == {"retry_budget", "adaptive_throttle", "circuit_breaker"}
    assert all(make_session(name)._policy._strategy is not None for name in needed)


def test_a_phone_of_a_closed_loop_thinks_before_each_station_and_stops_at_the_deadline():
    loop = ClosedLoop([2, 0, 1], [4.0, 1.0, 2.0], deadline_s=10.0)
    assert (loop.next(0.0), loop.due_s) == (2, 4.0)
    assert (loop.next(6.0), loop.due_s) == (0, 7.0)
    assert loop.next(8.0) is None  # due at 10 s
    assert ClosedLoop([0], [1.0], deadline_s=10.0).next(None) is None


def test_a_closed_loop_plays_the_same_session_at_the_times_it_names():
    loop, ended_s, dues = ClosedLoop([0, 1], [0.5, 0.25], deadline_s=60.0), 0.0, []
    while (station := loop.next(ended_s)) is not None:
        session = make_session(due_s=loop.due_s)
        dues.append((station, play(session, [], now_s=loop.due_s).due_s[0]))
        ended_s = session.ended_s
    assert dues == [(0, 0.5), (1, pytest.approx(0.5 + 3 * TAKES_S + 0.25))]
