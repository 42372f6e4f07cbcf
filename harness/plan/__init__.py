"""Which pages have to arrive, and when their stations turn up: a pure function of scenario and seed."""

from harness.plan.plan import Plan, make_plan

__all__ = ["Plan", "make_plan"]
