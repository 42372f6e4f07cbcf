"""A finished run as spans: the run, its phases, and a sample of its attempts, each in the trace that its requests named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import ceil
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from harness.base.model import DELIVERED
from harness.otlp.metrics import LEADER, SCOPE, resource_of
from harness.run_folder.layout import RunFolder, RunRecord
from harness.run_folder.parquet import database, fetch_columns
from harness.run_folder.trace import trace_prefix

MOST_ATTEMPTS = 1_000
"""Of a run with more, every n-th attempt in the order of their due times becomes a span."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NS = 1_000_000_000
_DELIVERED = {str(outcome) for outcome in DELIVERED}
_COUNT = "SELECT count(*) AS attempts FROM read_parquet(?, hive_partitioning = false) WHERE done_s IS NOT NULL AND sent_s IS NOT NULL"
_ATTEMPTS = """
    SELECT station, form, page, attempt, outcome, coalesce(status, 0) AS status, sent_s, done_s FROM (
        SELECT *, row_number() OVER () AS number FROM read_parquet(?, hive_partitioning = false)
        WHERE done_s IS NOT NULL AND sent_s IS NOT NULL
    ) WHERE (number - 1) % {step} = 0
"""


def spans_of(folder: RunFolder) -> list[ReadableSpan]:
    """The spans of a judged run; [] for one that never began."""
    record = folder.read_run()
    if record.t0_epoch is None:
        return []
    with database() as connection:
        attempts = int(fetch_columns(connection, _COUNT, folder.attempts)["attempts"][0])
        step = max(1, ceil(attempts / MOST_ATTEMPTS))
        rows = fetch_columns(connection, _ATTEMPTS.format(step=step), folder.attempts)
    root = _context(f"{record.id}/")
    end_s = max([phase.end_s for phase in record.phases] + rows["done_s"].tolist(), default=0.0)
    about: dict[str, Any] = {
        "upload.seed": record.seed,
        "upload.attempts": attempts,
        "upload.attempts.sampled_every": step,
    }
    spans = [_span(record, f"run {record.name}", root, None, (0.0, end_s), about)]
    for number, phase in enumerate(record.phases):
        context = SpanContext(root.trace_id, _context(f"{record.id}/phase/{number}").span_id, False, _SAMPLED)
        spans.append(_span(record, f"phase {phase.name}", context, root, (phase.start_s, phase.end_s), {}))
    return [*spans, *(_attempt_span(record, root, row) for row in _rows(rows))]


def _rows(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    names = list(columns)
    for values in zip(*(columns[name].tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _attempt_span(record: RunRecord, root: SpanContext, row: dict[str, Any]) -> ReadableSpan:
    prefix = trace_prefix(record.id, row["station"], row["form"], int(row["page"]))
    attributes: dict[str, Any] = {
        "upload.station": row["station"], "upload.form": row["form"], "upload.page": int(row["page"]),
        "upload.attempt": int(row["attempt"]), "upload.outcome": row["outcome"],
    }  # fmt: skip
    failed = row["outcome"] not in _DELIVERED
    if failed:
        attributes["error.type"] = row["outcome"]
    if row["status"]:
        attributes["http.response.status_code"] = int(row["status"])
    # the ids are those of the header traceparent: what the server reports of the request hangs below this span
    context = _context(f"{prefix}{int(row['attempt'])}")
    return _span(
        record, "upload", context, None, (float(row["sent_s"]), float(row["done_s"])), attributes,
        kind=SpanKind.CLIENT, links=[Link(root)], status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
    )  # fmt: skip


def _span(
    record: RunRecord, name: str, context: SpanContext, parent: SpanContext | None, times_s: tuple[float, float],
    attributes: dict[str, Any], **more: Any,
) -> ReadableSpan:  # fmt: skip
    begin_ns, end_ns = (int(((record.t0_epoch or 0.0) + time_s) * _NS) for time_s in times_s)
    return ReadableSpan(
        name, context, parent, resource_of(record, LEADER), attributes, start_time=begin_ns, end_time=end_ns,
        instrumentation_scope=SCOPE, **more,
    )  # fmt: skip


def _context(name: str) -> SpanContext:
    """Ids as harness/run_folder/trace.py makes them: the first and the next digits of a digest."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return SpanContext(int(digits[:32], 16), int(digits[32:48], 16), False, _SAMPLED)
