"""A capacity search as text: the sentence that answers it, its tables, and the files for CI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from harness.analysis.capacity import CapacityCondition, CapacityFigures, CapacityLevel, LoadDemand
from reports.ci import add_result, add_testcase, serialise_suites
from reports.key_figures import SIMULATED
from reports.markdown import escape_markdown, markdown_table
from reports.number_format import (
    format_count,
    format_day_time,
    format_duration,
    format_quantity,
    format_ratio,
    join_phrases,
    plural,
)

LABELS = {0: "FOUND", 99: "NOT IN THE RANGE", 3: "NOBODY CAN TELL"}
LEVEL_HEADERS = ("", "decision", "goal met", "probability", "binds", "breached most")
DEMAND_HEADERS = ("load", "stations", "at least", "fails", "passes", "tried")
_NOUNS = {"server.workers": ("worker", "workers")}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_COMPLETED = re.compile(r"stations\.completed_by_deadline_ratio >= ([\d.]+)(%?)")
MEANINGS = {"bears": "without faults", "recovers": "with the faults"}


def capacity_label(figures: CapacityFigures) -> str:
    """The result in capitals; INTERRUPTED for any other exit code."""
    return LABELS.get(figures.exit_code, "INTERRUPTED")


def capacity_badge(figures: CapacityFigures) -> str:
    """The result in capitals, marked if it is simulated alone."""
    return capacity_label(figures) if is_measured(figures) else f"{SIMULATED} {capacity_label(figures)}"


def amount(figures: CapacityFigures, value: str) -> str:
    """A value of the varied key as a reader would say it: "eight workers", "client.timeout = 60s"."""
    noun = _NOUNS.get(figures.vary.key)
    if noun is None:
        return f"{figures.vary.key} = {value}"
    return f"{spell(figures, value)} {noun[0] if value == '1' else noun[1]}"


def unit_noun(key: str, value: str) -> str:
    """What a value counts, to be written behind it: "workers"; empty for a key without a noun.

    >>> unit_noun("server.workers", "1"), unit_noun("client.timeout", "4s")
    ('worker', '')
    """
    one, many = _NOUNS.get(key, ("", ""))
    return one if value == "1" else many


def spell(figures: CapacityFigures, value: str) -> str:
    """A value within a sentence: small numbers of what has a noun as words."""
    is_small = figures.vary.key in _NOUNS and value.isdigit() and 0 < int(value) <= len(_NUMBERS)
    return _NUMBERS[int(value) - 1] if is_small else value


def _verb(figures: CapacityFigures, value: str, singular: str, many: str) -> str:
    return many if figures.vary.key in _NOUNS and value != "1" else singular


def capacity_finding(figures: CapacityFigures) -> str:
    """The answer in one to three sentences, the last one without a full stop."""
    bears = figures.conditions[0]
    demand = main_demand(bears)
    sentences = [_answer(figures, bears, demand)]
    if len(figures.conditions) > 1:
        sentences.append(_with_faults(figures, figures.conditions[1], demand))
    if figures.why_unknown:
        sentences.append(f"Nobody can tell: {figures.why_unknown}")
    return ". ".join(sentences)


def main_demand(condition: CapacityCondition) -> LoadDemand:
    """The scenario's own load if it was searched, else the greatest."""
    return next((one for one in condition.loads if one.load == 1), condition.loads[-1])


def _answer(figures: CapacityFigures, bears: CapacityCondition, demand: LoadDemand) -> str:
    passes, fails = demand.found_passes, demand.found_fails
    who = f"For {plural(demand.stations, 'station')} {describe_deadline(figures)}"
    if passes is None:
        if not demand.is_beyond_range:
            return f"{who} no level of {figures.vary.key} was shown to suffice"
        text = f"{who} nothing up to {amount(figures, figures.vary.strongest)} suffices"
        least = demand.least_by_arithmetic
        return text if least is None else f"{text}; by arithmetic it takes at least {format_level(figures, least)}"
    text = (
        f"{who} {amount(figures, passes)} {_verb(figures, passes, 'suffices', 'suffice')}: {goal_phrase(bears)} in at least "
        f"{format_ratio(figures.probability)} of runs ({_evidence(demand, passes)})"
    )
    if fails is None and not demand.bracket.undecided and demand.bracket.is_complete:
        text += ", and it is the weakest of the range"
    elif fails is not None:
        text += f"; {spell(figures, fails)} {_verb(figures, fails, 'does', 'do')} not ({_evidence(demand, fails)})"
    return text + _between(demand)


def _evidence(demand: LoadDemand, value: str) -> str:
    """On what the decision on a value rests: "59 of 59 simulated, 3 of 3 measured"."""
    level = level_of(demand, value)
    simulated = f"{met(level)} simulated"
    return f"{simulated}, {met_measured(level)} measured" if level.measured else simulated


def _between(demand: LoadDemand) -> str:
    """What the bracket leaves open."""
    bracket, parts = demand.bracket, []
    if bracket.undecided:
        parts.append(f"{join_phrases(bracket.undecided)} could not be decided")
    if not bracket.is_complete:
        parts.append("the search ended before what lies between was tried")
    if bracket.out_of_order:
        parts.append(f"out of order: {join_phrases(bracket.out_of_order)} did not pass although stronger")
    if demand.confirmation is not None and demand.confirmation.state == "moved":
        parts.append(f"the measured runs moved the bracket: simulated, {bracket.passes} suffices")
    return "".join(f"; {part}" for part in parts)


def _with_faults(figures: CapacityFigures, condition: CapacityCondition, bears: LoadDemand) -> str:
    demand = next(one for one in condition.loads if one.load == bears.load)
    lasting = [_lasting(figures, condition, name) for name in condition.faults]
    names, passes = f"With {join_phrases(lasting)}", demand.found_passes
    if passes is None:
        if demand.is_beyond_range:
            return f"{names} nothing up to {amount(figures, figures.vary.strongest)} suffices"
        return f"{names} no level was shown to suffice"
    takes = "no more" if passes == bears.found_passes else spell(figures, passes)
    return f"{names} it takes {takes} ({_evidence(demand, passes)}){_between(demand)}"


def _lasting(figures: CapacityFigures, condition: CapacityCondition, name: str) -> str:
    """A fault and how long it acts: "brownout for 10 h"."""
    duration_s = condition.durations_s.get(name)
    return name if duration_s is None else f"{name} for {_in_its_time(figures, duration_s)}"


def goal_phrase(condition: CapacityCondition) -> str:
    """The goal as the middle of a sentence: "all stations are complete and 2 more thresholds hold"."""
    shares = [found for found in map(_COMPLETED.fullmatch, condition.goal) if found]
    others = [assertion for assertion in condition.goal if not _COMPLETED.fullmatch(assertion)]
    if not shares:
        return f"{others[0]} holds" if len(others) == 1 else "the goal is met"
    share = float(shares[0][1]) / (100 if shares[0][2] else 1)
    who = "all stations are complete" if share == 1 else f"{format_ratio(share)} of the stations are complete"
    if not others:
        return who
    return f"{who} and {plural(len(others), 'other threshold')} {'holds' if len(others) == 1 else 'hold'}"


def asks_for_all_stations(goal: Sequence[str]) -> bool:
    """Whether the goal is met only if every station is complete by the deadline."""
    found = [match for match in map(_COMPLETED.fullmatch, goal) if match]
    return any(float(match[1]) / (100 if match[2] else 1) == 1 for match in found)


def describe_deadline(figures: CapacityFigures) -> str:
    """The deadline: by the time of day where the scenario has one, else how much time there is."""
    if figures.t0_s is not None:
        end_s = figures.t0_s + figures.deadline_s * figures.time_scale
        text = format_day_time(end_s)
        return f"by {text.removeprefix('day 0 at ')}"
    return f"within {_in_its_time(figures, figures.deadline_s)}"


def _in_its_time(figures: CapacityFigures, seconds: float) -> str:
    """A time of the run: in the election's time if the scenario runs in scaled time, else in seconds."""
    return format_duration(seconds * figures.time_scale if figures.time_scale >= 60 else seconds)


def format_level(figures: CapacityFigures, value: float) -> str:
    """A figure in the unit of the varied key. Arithmetic counts bytes per second, as the scenario's units do."""
    return format_quantity(value, "B/s" if figures.vary.key == "server.ingress" else "")


def level_of(demand: LoadDemand, value: str) -> CapacityLevel:
    """The level of a value that was tried."""
    return next(level for level in demand.levels if level.value == value)


def met(level: CapacityLevel) -> str:
    """In how many seeds the goal was met."""
    return f"{level.passed} of {level.passed + level.failed}"


def met_measured(level: CapacityLevel) -> str:
    """In how many valid measured runs the goal was met."""
    votes = [run.met for run in level.measured if run.met is not None]
    return f"{sum(votes)} of {len(votes)}"


def is_measured(figures: CapacityFigures) -> bool:
    """Whether anything was run for real."""
    return any(
        level.measured for condition in figures.conditions for demand in condition.loads for level in demand.levels
    )


def level_rows(demand: LoadDemand) -> list[list[str]]:
    """One row per level that was tried, from the weakest to the strongest."""
    return [
        [
            level.value,
            level.decision,
            _votes(level),
            f"{format_ratio(level.probability_low)} to {format_ratio(level.probability_high)}",
            "" if level.binds is None else f"{level.binds} {format_ratio(level.used_ratio or 0.0)}",
            next((f"{name} (in {count})" for name, count in level.breached.items()), ""),
        ]
        for level in demand.levels
    ]


def _votes(level: CapacityLevel) -> str:
    parts = [met(level)]
    parts += [f"{level.unknown} unknown"] if level.unknown else []
    parts += [f"{met_measured(level)} measured"] if level.measured else []
    return ", ".join(parts)


def demand_rows(figures: CapacityFigures, condition: CapacityCondition) -> list[list[str]]:
    """One row per load."""
    return [
        [
            f"{one.load:g}x",
            format_count(one.stations),
            "" if one.least_by_arithmetic is None else format_level(figures, one.least_by_arithmetic),
            one.found_fails or "none",
            one.found_passes or "none",
            join_phrases([level.value for level in one.levels]),
        ]
        for one in condition.loads
    ]


def condition_title(condition: CapacityCondition) -> str:
    """The condition with what it means: "bears (without faults)"."""
    meaning = MEANINGS[condition.name]
    return (
        f"{condition.name} ({meaning}: {join_phrases(condition.faults)})"
        if condition.faults
        else f"{condition.name} ({meaning})"
    )


def goal_text(condition: CapacityCondition) -> str:
    """The goal, with the thresholds that are left out because their fault does not act."""
    goal = join_phrases([*condition.goal, "no acknowledged page is lost"])
    return (
        goal
        if not condition.left_out
        else f"{goal}. Left out, as its fault does not act: {join_phrases(condition.left_out)}"
    )


def capacity_markdown(figures: CapacityFigures) -> str:
    """The text of summary.md."""
    lines = [
        f"# {capacity_badge(figures)}: capacity of {escape_markdown(figures.title or figures.name)}",
        "",
        f"{escape_markdown(capacity_finding(figures))}.",
        "",
    ]
    for condition in figures.conditions:
        lines += [f"## {condition.name.capitalize()}", "", f"Goal: {escape_markdown(goal_text(condition))}.", ""]
        lines += _markdown(DEMAND_HEADERS, demand_rows(figures, condition))
        for demand in condition.loads:
            lines += [
                f"### {demand.load:g}x",
                "",
                *_markdown((figures.vary.key, *LEVEL_HEADERS[1:]), level_rows(demand)),
            ]
    return "\n".join(lines)


def capacity_junit(figures: CapacityFigures) -> str:
    """The text of junit.xml: one testcase per condition and load, failed if nothing suffices, an error if nobody can tell."""
    suites = Element("testsuites", name="harness")
    suite = SubElement(suites, "testsuite", name=f"harness.capacity.{figures.name}", time="0")
    for condition in figures.conditions:
        for demand in condition.loads:
            case = add_testcase(
                suite,
                figures.name,
                f"{condition.name} {demand.load:g}x within {figures.vary.key} = {figures.vary.weakest}..{figures.vary.strongest}",
            )
            rows = "\n".join("  ".join(row) for row in level_rows(demand))
            doubt = "" if demand.confirmation is None else demand.confirmation.why_unknown
            if demand.is_beyond_range:
                add_result(case, "failure", "nothing in the range suffices", rows)
            elif demand.found_passes is None or doubt:
                add_result(case, "error", doubt or "no level was shown to suffice", rows)
    return serialise_suites(suites, suite)


def _markdown(headers: Sequence[str], rows: list[list[str]]) -> list[str]:
    return markdown_table(headers, [[escape_markdown(cell) for cell in row] for row in rows])
