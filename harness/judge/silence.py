"""A server that has stopped answering for good: no run passes against it, whatever its thresholds ask for."""

from __future__ import annotations

from harness.analysis.summary import Summary
from harness.run_folder.layout import RunRecord

_MAX_OUTCOMES_NAMED = 3


def describe_silence(summary: Summary, record: RunRecord) -> str:
    """In a sentence, since when the server has not answered; "" where it did, or where a fault of the scenario is why.

    Such a fault is one that was still on when the silence was last seen.
    """
    silence = summary.silence
    if silence is None or any(
        fault.start_s <= silence.until_s and (fault.end_s is None or fault.end_s >= silence.until_s)
        for fault in record.faults
    ):
        return ""
    seen = [f"{outcome} \u00d7 {count:,}" for outcome, count in silence.by_outcome.items()]
    more = len(seen) - _MAX_OUTCOMES_NAMED
    listed = ", ".join(seen[:_MAX_OUTCOMES_NAMED]) + (f" and {more} more kinds" if more > 0 else "")
    who = "the mock server" if record.own_server else "the target"
    if silence.since_s is None:
        return f"{who} has never answered, to {silence.until_s:,.1f} s ({listed})"
    return f"{who} has not answered since t = {silence.since_s:,.1f} s, to {silence.until_s:,.1f} s ({listed})"
