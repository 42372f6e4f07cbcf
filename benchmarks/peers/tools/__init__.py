"""The tools that are measured, ours first: each a module with what it is called, where it is got, and what it says."""

from __future__ import annotations

from benchmarks.peers.tools import bare, hey, k6, ours, stock_locust, wrk
from benchmarks.peers.tools.tool import Tool

TOOLS: tuple[Tool, ...] = (ours.TOOL, k6.TOOL, wrk.TOOL, hey.TOOL, stock_locust.TOOL, bare.TOOL)

__all__ = ["TOOLS", "Tool"]
