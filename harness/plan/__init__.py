"""Which pages have to arrive and when their stations do; whether this machine can send them. Pure: no I/O but the region file."""

from harness.plan.plan import Plan, make_plan

__all__ = ["Plan", "make_plan"]
