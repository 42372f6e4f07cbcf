"""The tools that are measured, ours first: each a module with what it is called, where it is got, and what it says."""

from __future__ import annotations

from harness.bench.peers import hey, k6, ours, stock_locust, wrk
from harness.bench.peers.tool import Tool

TOOLS: tuple[Tool, ...] = (ours.TOOL, k6.TOOL, wrk.TOOL, hey.TOOL, stock_locust.TOOL)

__all__ = ["TOOLS", "Tool"]
