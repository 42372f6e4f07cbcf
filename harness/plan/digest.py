"""What tells one plan from another: the same scenario and seed, planned again elsewhere, must give the same digest."""

from __future__ import annotations

import hashlib

from harness.plan.plan import Plan


def digest_plan(plan: Plan) -> str:
    """SHA-256 (hex) over everything that is to be sent, and when: stations, due times, photos, and who goes round with whom."""
    state = hashlib.sha256()
    for station in plan.stations:
        state.update(f"{station.code}\n".encode())
    state.update(plan.due_s.astype("<f8").tobytes())
    state.update(repr((plan.slots, plan.seed)).encode())
    for body in plan.bank:
        state.update(body.sha256(b"").encode())
    state.update(plan.body_of_page.tobytes())
    if plan.rounds is not None:
        for phone in plan.rounds.phones:
            state.update(phone.astype("<i8").tobytes())
        state.update(plan.rounds.think_s.astype("<f8").tobytes())
    return state.hexdigest()
