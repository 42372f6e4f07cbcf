"""What a threshold can name: the series that a run scrapes, and the dotted keys of the summary with their units."""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from harness.analysis.percentile import QUANTILES, min_sample_size
from harness.analysis.summary import Distribution, Summary
from harness.base.model import OUTCOMES
from harness.judge.thresholds.units import Unit, unit_from_name
from harness.run_folder.journal import GiveUpReason
from mock_server.profile.server_profile import ServerProfile
from mock_server.profile.validation_messages import suggestion

MetricKind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A family of series. Besides these labels each has a `target`: "server", "worker-0" and so on."""

    kind: MetricKind
    labels: tuple[str, ...] = ()


_REQUEST = ("http_request_method", "http_route", "http_response_status_code")
KNOWN_METRICS: dict[str, MetricFamily] = {
    "harness_attempts_total": MetricFamily("counter", ("outcome",)),
    "harness_pages_due_total": MetricFamily("counter"),
    "harness_pages_delivered_total": MetricFamily("counter"),
    "harness_stations_completed_total": MetricFamily("counter"),
    "harness_sent_bytes_total": MetricFamily("counter"),
    "harness_retries_total": MetricFamily("counter", ("reason",)),
    "harness_attempts_in_flight": MetricFamily("gauge"),
    "harness_response_seconds": MetricFamily("histogram"),
    "harness_accepted_seconds": MetricFamily("histogram"),
    "harness_service_seconds": MetricFamily("histogram"),
    "harness_lateness_seconds": MetricFamily("histogram"),
    "harness_reads_total": MetricFamily("counter", ("outcome",)),
    "harness_reader_seconds": MetricFamily("histogram"),
    "harness_loop_lag_seconds": MetricFamily("gauge"),
    "harness_run_info": MetricFamily("gauge", ("run", "scenario", "worker")),
    "http_server_request_duration_seconds": MetricFamily("histogram", _REQUEST),
    "http_server_active_requests": MetricFamily("gauge"),
    "mock_server_queue_depth": MetricFamily("gauge"),
    "mock_server_workers_busy": MetricFamily("gauge"),
    "mock_server_service_seconds": MetricFamily("histogram"),
    "mock_server_shed_total": MetricFamily("counter", ("reason",)),
    "mock_server_wasted_work_total": MetricFamily("counter"),
    "mock_server_dropped_total": MetricFamily("counter"),
    "mock_server_pages_stored_total": MetricFamily("counter"),
    "mock_server_stored_bytes_total": MetricFamily("counter"),
    "mock_server_ingress_bytes_total": MetricFamily("counter"),
    "mock_server_ingress_utilisation_ratio": MetricFamily("gauge"),
    "mock_server_ingress_waiting_connections": MetricFamily("gauge"),
    "mock_server_egress_bytes_total": MetricFamily("counter"),
    "mock_server_egress_utilisation_ratio": MetricFamily("gauge"),
    "mock_server_egress_waiting_connections": MetricFamily("gauge"),
    "mock_server_faults_injected_total": MetricFamily("counter", ("fault",)),
    "mock_server_fault_active": MetricFamily("gauge", ("fault",)),
    "mock_server_loop_lag_seconds": MetricFamily("gauge"),
    "mock_server_loop_lag_p99_seconds": MetricFamily("gauge"),
    "process_cpu_seconds_total": MetricFamily("counter"),
    "process_resident_memory_bytes": MetricFamily("gauge"),
    "process_virtual_memory_bytes": MetricFamily("gauge"),
    "process_start_time_seconds": MetricFamily("gauge"),
    "process_open_fds": MetricFamily("gauge"),
    "process_max_fds": MetricFamily("gauge"),
}
"""By name. A test compares it with what both exporters really publish."""
_SHED_POLICIES: tuple[str, ...] = get_args(ServerProfile.model_fields["shed"].annotation)
LABEL_VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("harness_retries_total", "reason"): tuple(map(str, OUTCOMES)),
    ("mock_server_shed_total", "reason"): (
        *(policy for policy in _SHED_POLICIES if policy != "none"), "queue_timeout", "handler_timeout",
    ),
}  # fmt: skip
"""All values of labels that a counter shows only once they occurred: it has counted 0 of the others, and of misspelt ones."""

_NAMED_BY = {"recovery": "fault", "kelurahan": "code", "kecamatan": "code", "groups": "name"}
"""Lists of the summary whose entries a key can name, and the field that holds the name."""
_FIXED_KEYS = {
    "by_outcome": [str(outcome) for outcome in OUTCOMES],
    "gave_up_by_reason": [reason.name.lower() for reason in GiveUpReason],
}
"""Tables of the summary whose keys are fixed lists."""
_OPTIONAL_TABLES = {
    "readers": "no data: the run had no readers",
    "recapitulation": "the scenario has no [recapitulation], or the run was cut short",
}
"""Tables that some runs lack, and why: a threshold may name them all the same; without one it has no figure, and fails."""
_WITHOUT_UNIT = {"count", "never"}


def find_metric(name: str) -> MetricFamily | None:
    """The known family of that name, or the counters that a known histogram consists of; None if there is none."""
    if name in KNOWN_METRICS:
        return KNOWN_METRICS[name]
    for suffix, more in (("_bucket", ("le",)), ("_count", ()), ("_sum", ())):
        whole = KNOWN_METRICS.get(name.removesuffix(suffix))
        if name.endswith(suffix) and whole is not None and whole.kind == "histogram":
            return MetricFamily("counter", (*whole.labels, *more))
    return None


def scraped_names(name: str) -> list[str]:
    """The series to read from the scrapes for a metric that a threshold names."""
    known = KNOWN_METRICS.get(name)
    return [f"{name}_sum", f"{name}_count"] if known is not None and known.kind == "histogram" else [name]


def unit_of_key(key: str) -> Unit:
    """The unit of the figure that a key of the summary names.

    Raises ValueError for a key that does not exist or does not name a number; the message says what there is.
    """
    kind: object = Summary
    parts = key.split(".")
    for index, part in enumerate(parts):
        parent = ".".join(parts[:index])
        is_last = index == len(parts) - 1
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model: type[BaseModel] = kind
            kind = _required(part, _field(model, part, parent))
            if is_last and _is_number(kind):
                if bool in _kinds(kind):
                    return "bool"
                in_seconds = issubclass(model, Distribution) and part not in _WITHOUT_UNIT
                return "s" if in_seconds else unit_from_name(part)
        else:
            kind = _entry(kind, part, parts[index - 1], parent)
            if is_last and _is_number(kind):
                return ""
    message = f"{key} is not a figure{_what_it_is(kind, key, parts[-1])}"
    raise ValueError(message)


def is_whole_key(key: str) -> bool:
    """Whether the figure that a key of the summary names is a whole number. The key must have passed `unit_of_key`."""
    kind: object = Summary
    parts = key.split(".")
    for index, part in enumerate(parts):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _required(part, kind.model_fields[part].annotation)
        else:
            kind = _entry(kind, part, parts[index - 1], ".".join(parts[:index]))
    return _kinds(kind) == {int}


def summary_value(summary: Summary, key: str) -> float | None:
    """The value of a key; None if there is no such figure. The key must have passed `unit_of_key`.

    A key that a table of counts lacks has counted 0, unless nothing at all was counted: then there is no figure.
    """
    found: Any = summary
    previous: Any = None
    for part in key.split("."):
        previous, parent = found, previous
        if isinstance(found, dict):
            found = found.get(part, 0 if _counted_anything(parent) else None)
        elif isinstance(found, list):
            found = _named_entry(found, part)
        else:
            found = getattr(found, part, None)
    return None if found is None or isinstance(found, BaseModel) else float(found)


def why_no_value(summary: Summary, key: str) -> str:
    """Why a key has no value."""
    parts = key.split(".")
    if parts[0] == "audit":
        return "unknown: the server's store could not be read, or does not expose this"
    parent: Any = summary
    for part in parts[:-1]:
        if isinstance(parent, list):
            parent = _named_entry(parent, part)
        else:
            parent = parent.get(part) if isinstance(parent, dict) else getattr(parent, part, None)
    if isinstance(parent, Distribution):
        return why_no_percentile(parent.count, parent.never, QUANTILES.get(parts[-1]), parts[0])
    if parts[0] in _OPTIONAL_TABLES and getattr(summary, parts[0]) is None:
        return _OPTIONAL_TABLES[parts[0]]
    if parts[0] == "recovery" and parent is not None and parts[-1] == "metastable":
        return "unknown: too little was delivered before the fault, or observed after it"
    if parts[0] == "recovery":
        return "it never recovered" if parent is not None else f"no fault {parts[1]} ended within the run"
    return "there is no such figure for this run"


NOTHING_TO_COUNT = "no data: there is nothing to count"


def why_no_percentile(count: int, never: int, quantile: float | None, metric: str) -> str:
    """Why a sample of `count` durations has no such percentile (`quantile` None: no mean or maximum).

    >>> why_no_percentile(1086, 638, 0.95, "delivery_seconds"), why_no_percentile(362, 1, None, "completion_seconds")
    ('p95 is infinite: 638 of 1,086 pages were never acknowledged', 'it is infinite: 1 of 362 stations never finished')
    """
    if count == 0:
        return NOTHING_TO_COUNT
    if quantile is not None and count < min_sample_size(quantile):
        return f"n/a (needs {min_sample_size(quantile):,}; there are {count:,})"
    name = "it" if quantile is None else f"p{float(f'{quantile * 100:.9g}'):g}"
    if metric == "completion_seconds":
        return f"{name} is infinite: {never:,} of {count:,} stations never finished"
    verb = "was" if never == 1 else "were"
    return f"{name} is infinite: {never:,} of {count:,} pages {verb} never acknowledged"


def _field(model: type[BaseModel], name: str, parent: str) -> object:
    field = model.model_fields.get(name)
    if field is None:
        where = f" in {parent}" if parent else ""
        message = f'there is no "{name}"{where}{_near(name, list(model.model_fields))}'
        raise ValueError(message)
    return field.annotation


def _entry(kind: object, part: str, table: str, parent: str) -> object:
    """The type of an entry of a dictionary or list."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict and table != "intervals":
        allowed = _FIXED_KEYS.get(table)
        if allowed is not None and part not in allowed:
            message = f'there is no "{part}" in {parent}{_near(part, allowed)}'
            raise ValueError(message)
        return arguments[1]
    if origin is list and table in _NAMED_BY:
        return arguments[0]
    message = f"{parent} has no figure named {part}"
    raise ValueError(message)


def _what_it_is(kind: object, key: str, last: str) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f": it contains {', '.join(kind.model_fields)}"
    if last in _FIXED_KEYS:
        return f": name one of {', '.join(_FIXED_KEYS[last])}"
    if kind is str:
        return ": it is a text"
    return f": name an entry, as in {key}.<{_NAMED_BY[last]}>.…" if last in _NAMED_BY else ""


def _near(word: str, allowed: list[str]) -> str:
    return suggestion(word, allowed) or f"; available: {', '.join(allowed)}"


def _is_number(kind: object) -> bool:
    return _kinds(kind) <= {int, float, bool}


def _required(part: str, kind: object) -> object:
    """The type of a table that some runs lack, without None; any other type as it is."""
    return next(iter(_kinds(kind))) if part in _OPTIONAL_TABLES else kind


def _kinds(kind: object) -> set[object]:
    """The types that a value may have, None aside."""
    kinds = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    return {one for one in kinds if one is not NoneType}


def _counted_anything(part: object) -> bool:
    """Whether the part of the summary that a table of counts belongs to has counted anything."""
    total = getattr(part, "total", getattr(part, "scrapes", getattr(part, "attempts", 1)))
    return bool(total)


def _named_entry(entries: list[Any], name: str) -> Any:
    return next((entry for entry in entries if str(getattr(entry, _name_field(entry))) == name), None)


def _name_field(entry: BaseModel) -> str:
    return next(field for field in _NAMED_BY.values() if field in type(entry).model_fields)
