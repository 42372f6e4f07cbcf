"""Ordinary requests are played without coroutines: with the same bytes as if they were not."""

from math import inf
from typing import Any

import pytest

from harness.simulate.exposition import ExpositionWriter
from harness.simulate.request import SimulatedRequest
from harness.simulate.simulation import direct_from_s
from tests.support.simulations import PlayedSimulation, play, scenario

BUSY: dict[str, Any] = {
    "stations": {"region": "kaliwates", "count": 60},
    "arrivals": {"kind": "poisson", "over": "4s"},
    "client": {"timeout": "900ms", "retry": {"strategy": "full_jitter", "base": "200ms", "cap": "2s"}},
    "server": {"workers": 2, "queue_capacity": 4, "service_time": {"distribution": "lognormal", "median": "80ms"}},
    "simulate": {},
    "deadline": "15s",
}
"""Too much for the server: uploads are refused, wait, time out and are sent again."""
SCENARIOS: dict[str, dict[str, Any]] = {
    "bounded queue": {},
    "unbounded queue, immediate retries": {"server": {"shed": "none"}, "client": {"retry": {"strategy": "immediate"}}},
    "work ends with its client": {"server": {"shed": "none", "cancel_on_disconnect": True}},
    "deadline shedding": {"server": {"shed": "deadline"}},
    "queue timeout, jittered Retry-After": {"server": {"queue_timeout": "300ms", "retry_after": "jittered"}},
    "vegas": {"server": {"shed": "vegas"}},
    "brownout": {"faults": [{"kind": "capacity", "factor": 0.2, "start": "1s", "duration": "3s", "probability": 0.7}]},
    "phones": {"client": {"timeout": "4s", "connect_timeout": "60ms", "link": "phone"}},
    "put, a connection each": {"client": {"protocol": "put", "connection": "each"}},
    "shared connections, too few of them": {"client": {"connection": "reuse"}, "server": {"max_connections": 6}},
    "slow bodies": {"client": {"timeout": "4s"}, "simulate": {"send": "3KB/s"}, "server": {"body_timeout": "1200ms"}},
    "short tokens": {"server": {"token_lifetime": "100ms"}, "simulate": {"parse": "150ms"}},
    "logins as slow as a timeout": {"simulate": {"login": "950ms", "connect": "10ms"}},
    "no logins, no duplicates, nothing takes time": {
        "server": {"dedupe": "none"},
        "simulate": {"logins": False, "connect": "0s", "parse": "0s", "commit": "0s", "answer": "0s", "send": "1000GB/s"},
    },
    "closed": {"arrivals": {"kind": "closed", "phones": 12, "think": "50ms"}},
    "an outage before": {"faults": [{"kind": "down", "start": "1s", "duration": "1s"}]},
}  # fmt: skip


def tables(changes: dict[str, Any]) -> dict[str, Any]:
    """The busy scenario with changes to its tables."""
    merged = {
        name: {**BUSY.get(name, {}), **table} if isinstance(table, dict) else table for name, table in changes.items()
    }
    if "kind" in changes.get("arrivals", {}):
        merged["arrivals"] = changes["arrivals"]
    return {**BUSY, **merged}


def traces(played: PlayedSimulation) -> dict[str, Any]:
    """Everything that a simulation leaves behind."""
    return {
        "attempts": played.rows.tobytes(),
        "given up": played.given_up.tobytes(),
        "stored": played.stored,
        "server": ExpositionWriter().write(played.counters),
        "injections": played.injections,
        "end": played.end,
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_direct_requests_leave_the_same_bytes_as_coroutines(name):
    changed = tables(SCENARIOS[name])
    assert direct_from_s(scenario(**changed)) < inf
    direct, by_coroutines = play(**changed), play(direct_from_s=inf, **changed)
    assert traces(direct) == traces(by_coroutines)
    assert len(direct.rows) > 0


@pytest.mark.parametrize("at_s", [2, 3])
def test_what_is_in_flight_at_an_abort_is_censored_in_the_same_way(at_s):
    changed = tables({"server": {"shed": "none"}})
    direct, by_coroutines = play(at_s, **changed), play(at_s, direct_from_s=inf, **changed)
    assert direct.outcomes["censored"] > 1
    assert traces(direct) == traces(by_coroutines)
    assert direct.rows["sent_s"].max() <= at_s, "nobody sends while the server is drained"


def test_an_ordinary_upload_makes_no_request_of_the_other_kind(monkeypatch):
    def refuse(*_args: object) -> None:
        message = "a SimulatedRequest was made"
        raise AssertionError(message)

    monkeypatch.setattr(SimulatedRequest, "__init__", refuse)
    assert play().outcomes == {"accepted": 6}


@pytest.mark.parametrize(
    "changes",
    [
        {"client": {"protocol": "tus"}},
        {"server": {"reading": "asynchronous"}},
        {"server": {"ingress": "100Mbit/s"}},
        {"server": {"egress": "100Mbit/s"}},
        {"faults": [{"kind": "abort", "status": 503}]},
        {"faults": [{"kind": "crash", "start": "1s", "restart_after": "1s"}]},
    ],
)
def test_what_needs_a_coroutine_keeps_it(changes):
    assert direct_from_s(scenario(**tables(changes))) == inf


def test_attempts_become_direct_once_the_last_fault_that_meets_requests_is_over():
    faults = [{"kind": "abort", "status": 503, "start": "1s", "duration": "2s"}, {"kind": "capacity", "factor": 0.5}]
    assert direct_from_s(scenario(faults=faults)) == 3.0
