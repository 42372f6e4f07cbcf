"""Whatever the server does, a station's session ends, keeps to its deadline and forgets no page."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from harness.base.model import DELIVERED, Outcome
from harness.run_folder.journal import GiveUpReason
from harness.scenario.retry import Retry
from harness.station.retry import RetryPolicy
from harness.station.session import Action, ClosedLoop, Session

STRATEGY = st.sampled_from(
    ["none", "immediate", "fixed", "exponential", "equal_jitter", "full_jitter", "decorrelated_jitter", "token_bucket",
     "retry_budget", "adaptive_throttle", "circuit_breaker", "outbox"]
)  # fmt: skip
SENT = [outcome for outcome in Outcome if outcome not in {Outcome.CENSORED, Outcome.WITHHELD}]
STATUS = {Outcome.ACCEPTED: 201, Outcome.REJECTED: 409, Outcome.UNAVAILABLE: 503, Outcome.THROTTLED: 429}
ENDS = st.lists(
    st.tuples(
        st.sampled_from(SENT),
        st.sampled_from([0, 401, 408, 503]),
        st.floats(0.0, 5.0),
        st.none() | st.floats(0.0, 30.0),
    ),
    min_size=1,
    max_size=40,
)
"""(outcome, status if the outcome has none of its own, seconds, Retry-After) of each attempt, repeated without end."""


def policies(draw, name, seed):
    config: dict[str, Any] = {"strategy": name, "spread": draw(st.sampled_from(["0s", "5s"]))}
    if name != "outbox":
        config["max_attempts"] = draw(st.none() | st.integers(1, 5))
    return RetryPolicy(TypeAdapter(Retry).validate_python(config), seed, "3509191001001")


@st.composite
def sessions(draw):
    due_s = draw(st.floats(0.0, 50.0))
    deadline_s = due_s + draw(st.floats(0.01, 200.0))
    policy = policies(draw, draw(STRATEGY), draw(st.integers(0, 1000)))
    first = draw(st.integers(0, 100))
    return Session(range(first, first + draw(st.integers(1, 5))), due_s, deadline_s, policy), deadline_s


def play(session, ends, now_s=0.0, latency_s=0.0):
    """Play to the end in virtual time: (action, page, row, attempts, due, now) of every step, and the outcomes.

    `latency_s` is how late the caller always is: a real one never asks exactly on time.
    """
    ends = itertools.cycle(ends)
    steps, outcomes = [], []
    while (action := session.next(now_s)) is not Action.DONE:
        steps.append((action, session.page, session.row, session.attempts, session.due_s, now_s))
        assert len(steps) < 100_000, "the session does not end"
        if action is Action.WAIT:
            now_s = session.due_s + latency_s
        elif action is Action.ATTEMPT:
            outcome, status, seconds, retry_after_s = next(ends)
            now_s += seconds
            outcomes.append((session.page, outcome))
            session.attempt_ended(outcome, STATUS.get(outcome, status), retry_after_s, now_s)
    return steps, outcomes


@given(sessions(), ENDS, st.floats(0.0, 0.5))
def test_every_sequence_of_outcomes_ends_and_no_attempt_starts_at_or_after_the_deadline(made, ends, latency_s):
    session, deadline_s = made
    steps, _ = play(session, ends, latency_s=latency_s)
    assert all(now_s < deadline_s and due_s <= now_s for action, *_, due_s, now_s in steps if action is Action.ATTEMPT)


@given(sessions(), ENDS)
def test_due_times_never_decrease(made, ends):
    session, _ = made
    steps, _ = play(session, ends)
    dues_s = [due_s for *_, due_s, _ in steps]
    assert dues_s == sorted(dues_s)


@given(sessions(), ENDS)
def test_each_page_is_delivered_or_given_up_once_or_lies_behind_the_deadline(made, ends):
    session, _ = made
    pages = list(session._pages)
    steps, outcomes = play(session, ends)
    delivered = [page for page, outcome in outcomes if outcome in DELIVERED]
    given_up = [page for action, page, *_ in steps if action is Action.GIVE_UP]
    finished = sorted(delivered + given_up)
    assert finished == pages[: len(finished)]
    cut_off = session.ended_s is None
    assert cut_off == (bool(given_up) and session.reason is GiveUpReason.DEADLINE and given_up[-1] == finished[-1])
    if not cut_off:
        assert finished == pages
    assert session.completed == (delivered == pages)


@given(sessions(), ENDS)
def test_rows_and_attempts_of_a_page_are_numbered_without_a_gap(made, ends):
    session, _ = made
    steps, _ = play(session, ends)
    sent_or_withheld = [step for step in steps if step[0] in {Action.ATTEMPT, Action.WITHHOLD}]
    for _, group in itertools.groupby(sent_or_withheld, key=lambda step: step[1]):
        page_steps = list(group)
        assert [row for _, _, row, *_ in page_steps] == list(range(1, len(page_steps) + 1))
        attempts = [attempts for action, _, _, attempts, *_ in page_steps if action is Action.ATTEMPT]
        assert attempts == list(range(1, len(attempts) + 1))


@given(st.data(), ENDS)
def test_the_same_outcomes_at_the_same_times_get_the_same_decisions(data, ends):
    """What lets a simulation stand in for a run: nothing but the seed and what is reported enters a decision."""
    name, seed = data.draw(STRATEGY), data.draw(st.integers(0, 1000))
    config = TypeAdapter(Retry).validate_python({"strategy": name})
    first, second = (play(Session(range(3), 0.0, 60.0, RetryPolicy(config, seed, "x")), ends) for _ in range(2))
    assert first == second


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=6), ENDS, STRATEGY, st.floats(1.0, 100.0))
def test_a_closed_loop_ends_and_each_station_is_due_its_think_time_after_the_one_before(
    think_s, ends, name, deadline_s
):
    config = TypeAdapter(Retry).validate_python({"strategy": name})
    loop = ClosedLoop(range(len(think_s)), think_s, deadline_s)
    ended_s: float | None = 0.0
    played = []
    while (station := loop.next(ended_s)) is not None:
        assert loop.due_s == ended_s + think_s[station] < deadline_s
        session = Session(range(3), loop.due_s, deadline_s, RetryPolicy(config, 1, str(station)))
        steps, _ = play(session, ends, now_s=loop.due_s)
        assert steps[0][4] == loop.due_s
        played.append(station)
        ended_s = session.ended_s
    assert played == list(range(len(played)))
    assert len(played) == len(think_s) or ended_s is None or loop.due_s >= deadline_s
