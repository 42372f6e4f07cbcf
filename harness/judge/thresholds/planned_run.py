"""What is known of a run before it starts, and the thresholds that make no sense for it.

A threshold is refused here if it could be evaluated and would still judge nothing: no value or every value meets it, its window
can't come, its labels choose nothing of the plan, or its limit has no unit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.analysis.places import PLACE_DIGITS
from harness.analysis.selection import LabelMatcher, all_match, matchers_on
from harness.base.model import Station
from harness.judge.thresholds.condition import Condition
from harness.judge.thresholds.metrics import LABEL_VALUES, find_metric
from harness.judge.thresholds.parser import InvalidAssertionError, ParsedAssertion, parse_assertion
from harness.judge.thresholds.units import format_value
from harness.judge.thresholds.value_range import why_foregone
from harness.judge.thresholds.windows import NoWindowError, find_windows
from harness.plan.own_stations import ListedStation
from harness.plan.plan import compute_phases, select_stations
from harness.plan.readers import resource_names
from harness.run_folder.layout import FaultRecord, RunRecord
from harness.scenario.scenario import Scenario
from harness.scenario.stations import PLACE_LABELS, recorded_place_labels
from mock_server.profile.validation_messages import suggestion

_EXAMPLES = {"s": '"{0}s" or "{0}ms"', "B": '"{0}B" or "{0}MB"', "B/s": '"{0}B/s" or "{0}MB/s"'}
"""Units that a limit must have, because a bare number would leave open which: seconds or milliseconds, bytes or megabytes."""
_MAX_LISTED = 12


@dataclass(frozen=True)
class PlannedRun:
    """What is known of a run before it starts. A list that is None is not known: every label value goes."""

    faults: Sequence[FaultRecord]
    deadline_s: float
    warm_up_s: float = 0.0
    forms: Collection[str] | None = None
    resources: Collection[str] | None = None
    """What readers read: the levels or the paths; empty without readers."""
    make_codes: Callable[[], Sequence[str]] | None = None
    """Makes the codes of all stations: called only for a threshold that names a place, because a nation has 823,332."""

    place_labels: Sequence[str] = PLACE_LABELS
    """The labels that name places, the largest first."""
    make_groups: Callable[[], Mapping[str, Mapping[str, str]]] | None = None
    """Makes the groups of all stations of the user's own: code -> label -> group; None for a region."""

    @cached_property
    def groups(self) -> Mapping[str, Mapping[str, str]] | None:
        """The groups of all stations of the user's own."""
        return None if self.make_groups is None else self.make_groups()

    def places_of(self, code: str) -> list[tuple[str, str]]:
        """The labels of a station that name a place, with their values."""
        return place_labels(code, None if self.groups is None else self.groups[code])

    @property
    def fault_names(self) -> list[str]:
        """The faults that a window can refer to."""
        return [fault.name for fault in self.faults]

    @cached_property
    def station_codes(self) -> Sequence[str] | None:
        """The codes of all stations."""
        return None if self.make_codes is None else self.make_codes()

    @property
    def phases(self) -> list[str]:
        """The distinct phases from the end of the warm-up to the deadline, in order of time."""
        windows = [(one.name, one.start_s, float("inf") if one.end_s is None else one.end_s) for one in self.faults]
        found = compute_phases(windows, self.warm_up_s, self.deadline_s)
        return list(dict.fromkeys(phase.name for phase in found if phase.start_s >= self.warm_up_s))


def planned_run(scenario: Scenario) -> PlannedRun:
    """What a scenario tells of its run."""
    return PlannedRun(
        faults=[FaultRecord(name=one.name, kind=one.kind, start_s=one.start, end_s=one.end) for one in scenario.faults],
        deadline_s=scenario.deadline,
        warm_up_s=scenario.warm_up,
        forms=scenario.stations.forms,
        resources=() if scenario.readers is None else resource_names(scenario.readers),
        make_codes=lambda: [station.code for station in select_stations(scenario)],
        place_labels=scenario.stations.place_labels,
        make_groups=None if scenario.stations.file is None else lambda: _columns(select_stations(scenario)),
    )


def _columns(stations: Sequence[Station]) -> dict[str, Mapping[str, str]]:
    return {one.code: one.columns for one in stations if isinstance(one, ListedStation)}


def recorded_run(record: RunRecord) -> PlannedRun:
    """What a finished run tells of itself, to judge it by other thresholds; its labels are checked against its rows."""
    labels = recorded_place_labels(record.scenario)
    return PlannedRun(
        faults=record.faults, deadline_s=record.deadline_s, warm_up_s=record.warm_up_s, place_labels=labels
    )


def check_condition(condition: Condition, run: PlannedRun) -> None:
    """Raise InvalidAssertionError if a condition makes no sense for a run; the message says why and what is allowed."""
    parsed = parse_assertion(condition.text)
    _check_unit(parsed, condition)
    why = why_foregone(condition)
    if why:
        raise parsed.error_at(parsed.value, why)
    _check_window(parsed, condition, run)
    if condition.source == "key":
        _check_key(parsed, run)
    elif condition.source == "rows":
        _check_row_labels(parsed, condition, run)
    elif find_metric(condition.metric) is not None:
        _check_label(parsed, condition.matchers, "fault", run.fault_names, "the scenario has no such fault")
        for (metric, label), known in LABEL_VALUES.items():
            if metric == condition.metric:
                _check_label(parsed, condition.matchers, label, known, f"there is no such {label}")


def _check_unit(parsed: ParsedAssertion, condition: Condition) -> None:
    example = _EXAMPLES.get(condition.unit)
    if example is None or not _is_number(parsed.value.text):
        return
    text = parsed.value.text
    raise parsed.error_at(parsed.value, f'"{text}" has no unit: did you mean {example.format(text)}?')


def _check_window(parsed: ParsedAssertion, condition: Condition, run: PlannedRun) -> None:
    if not parsed.windows:
        return
    try:
        find_windows(condition, run, run.deadline_s)
    except NoWindowError as error:
        # A run ends at its deadline at the latest, so what has no window by then never has one.
        why = str(error).removeprefix("no data: ").replace("the run stopped at", "the deadline is at")
        raise parsed.error_at(parsed.windows[0].keyword, f"can't pass, it has no window: {why}") from None


def _check_key(parsed: ParsedAssertion, run: PlannedRun) -> None:
    table, *rest = parsed.metric.text.split(".")
    if table == "recovery" and rest:
        ends = {one.name: one.end_s for one in run.faults}
        if rest[0] not in ends:
            raise _unknown(parsed, f'the scenario has no fault "{rest[0]}"', rest[0], list(ends))
        end_s = ends[rest[0]]
        if end_s is None or end_s >= run.deadline_s:
            when = f"not over before the deadline ({format_value(run.deadline_s, 's')})"
            message = f'can\'t pass: "{rest[0]}" is {when}, so there is no recovery from it'
            raise parsed.error_at(parsed.metric, message)
    elif table == "kelurahan" and run.make_groups is not None:
        names = ", ".join(f"ratio(deliveries{{{label}=…}})" for label in run.place_labels[:-1])
        message = f"the stations are a list of your own, which has no kelurahan{f': use {names}' if names else ''}"
        raise parsed.error_at(parsed.metric, message)
    elif table == "groups" and run.make_groups is None:
        raise parsed.error_at(parsed.metric, "groups are those of a list of your own (stations.file)")
    elif table == "kelurahan" and rest and run.station_codes is not None:
        known = _distinct(code[: PLACE_DIGITS["kelurahan"]] for code in run.station_codes)
        if rest[0] not in known:
            raise _unknown(parsed, f"no station of the plan lies in kelurahan {rest[0]}", rest[0], known)
    elif parsed.metric.text.startswith("server.faults_injected.") and rest[1] not in run.fault_names:
        raise _unknown(parsed, f'the scenario has no fault "{rest[1]}"', rest[1], run.fault_names)


def _check_row_labels(parsed: ParsedAssertion, condition: Condition, run: PlannedRun) -> None:
    if run.forms is not None:
        _check_label(parsed, condition.matchers, "form", run.forms, "the scenario sends no such form")
        _check_label(parsed, condition.matchers, "phase", run.phases, "the run has no such phase")
    if run.resources is not None:
        _check_label(parsed, condition.matchers, "resource", run.resources, "no reader reads such a resource")
    places = matchers_on(condition.matchers, *run.place_labels)
    if not places or run.station_codes is None:
        return
    if any(all_match(places, run.places_of(code)) for code in run.station_codes):
        return
    for one in places:
        known = _distinct(dict(run.places_of(code))[one.label] for code in run.station_codes)
        _check_label(parsed, [one], one.label, known, f"no station of the plan lies in such a {one.label}")
    token = next(one.label for one in parsed.matchers if one.label.text in run.place_labels)
    raise parsed.error_at(token, "these places together contain no station of the plan")


def _check_label(
    parsed: ParsedAssertion, matchers: Sequence[LabelMatcher], label: str, known: Collection[str], problem: str
) -> None:
    """Raise InvalidAssertionError if none of the values that a label can have is selected."""
    chosen = matchers_on(matchers, label)
    if not chosen or any(all_match(chosen, [(label, value)]) for value in known):
        return
    token = next(one.value for one in parsed.matchers if one.label.text == label)
    raise parsed.error_at(token, f"this selects nothing: {problem}{_allowed(token.text, known)}")


def _unknown(parsed: ParsedAssertion, problem: str, word: str, known: Collection[str]) -> InvalidAssertionError:
    return parsed.error_at(parsed.metric, f"{problem}{_allowed(word, known)}")


def _allowed(word: str, known: Collection[str]) -> str:
    listed = list(known)
    near = "" if word in listed else suggestion(word, listed)  # with != the one value that there is may be excluded
    if near or not listed:
        return near or "; it has none"
    more = f" and {len(listed) - _MAX_LISTED:,} more" if len(listed) > _MAX_LISTED else ""
    return f"; available: {', '.join(listed[:_MAX_LISTED])}{more}"


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def place_labels(code: str, columns: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """The labels of a station that name a place; `columns` are those of a list of the user's own, None for a region."""
    if columns is not None:
        return [*columns.items(), ("station", code)]
    return [(label, code[:digits]) for label, digits in PLACE_DIGITS.items()]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
