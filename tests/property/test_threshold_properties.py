"""Assertions: what is written reads back, nothing but its own error leaves the parser, and windows are what they say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.rows import load_rows
from harness.analysis.run_data import RunData
from harness.analysis.summarise import summarise
from harness.analysis.summary import Summary
from harness.base.model import OUTCOMES, Outcome
from harness.judge.thresholds.condition import parse_condition
from harness.judge.thresholds.evaluate import COMPARISONS, evaluate_condition
from harness.judge.thresholds.parser import (  # fmt: skip
    MATCHERS,
    OPERATORS,
    WINDOWS,
    InvalidAssertionError,
    ParsedAssertion,
    ParsedMatcher,
    Token,
    WindowClause,
    format_assertion,
    parse_assertion,
    quote_string,
)
from tests.support.run_builder import RunBuilder, brownout, make_pages

words = st.from_regex(r"[a-z_][a-z0-9_.]{0,8}", fullmatch=True).filter(lambda word: word not in {*WINDOWS, "of", "p"})
strings = st.text(max_size=8)
durations = st.from_regex(r"[1-9][0-9]?(ms|s|m)", fullmatch=True)
PLACELESS = 0


def word(text):
    return Token(text, PLACELESS)


@st.composite
def windows(draw):
    keyword = draw(st.sampled_from(WINDOWS))
    fault = None if keyword == "over" else word(draw(strings))
    length = word(draw(durations)) if keyword in {"over", "within"} else None
    return WindowClause(word(keyword), fault, length)


@st.composite
def assertions(draw):
    aggregation = draw(st.none() | words)
    labels = st.lists(st.tuples(words, st.sampled_from(MATCHERS), strings), max_size=3)
    matchers = (
        [ParsedMatcher(word(label), how, word(value)) for label, how, value in draw(labels)] if aggregation else []
    )
    return ParsedAssertion(
        text="", aggregation=None if aggregation is None else word(aggregation), metric=word(draw(words)),
        matchers=tuple(matchers), operator=draw(st.sampled_from(OPERATORS)),
        value=word(draw(st.from_regex(r"[0-9]{1,4}(\.[0-9])?( ?(ms|s|%|MB/s))?", fullmatch=True))),
        windows=tuple(draw(st.lists(windows(), max_size=3))),
    )  # fmt: skip


@given(assertions())
def test_what_is_written_reads_back_as_the_same(assertion):
    text = format_assertion(assertion)
    assert format_assertion(parse_assertion(text)) == text
    assert shape(parse_assertion(text)) == shape(assertion)


def shape(parsed):
    """An assertion without its places."""
    return (
        parsed.aggregation and parsed.aggregation.text, parsed.metric.text,
        [(one.label.text, one.operator, one.value.text) for one in parsed.matchers], parsed.operator, parsed.value.text,
        [(one.keyword.text, one.fault and one.fault.text, one.length and one.length.text) for one in parsed.windows],
    )  # fmt: skip


pieces = st.sampled_from(
    ["p95", "p(", "max", "(", ")", "{", "}", ",", "=", "=~", "!~", "<", ">=", '"', "'", "\\", "[", "(?", "*", "10", "10s", "95%", "nan",
     "response_seconds", "attempts", "outcome", "phase", "mock_server_queue_depth", "pages.delivered", "recovery..x", "during", "after",
     "over", "within", "of", "end", '"brownout"', "\n", "\t", "é", "\u0661"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(pieces, max_size=14).flatmap(lambda some: st.sampled_from([" ".join(some), "".join(some)])) | st.text())
def test_nothing_but_its_own_error_leaves_the_parser_and_its_caret_is_within_the_text(text):
    error = problem_with(text)
    if error is None:
        return
    assert 0 <= error.position <= len(text)
    *_, line, caret = str(error).split("\n")
    assert len(line) == len(text) + 4
    assert caret == f"    {' ' * error.position}^"


def problem_with(text):
    try:
        parse_condition(text)
    except InvalidAssertionError as error:
        return error
    return None


START_S, STOP_S, FAULT = 0.0, 30.0, (10.0, 16.0)
SOME = (Outcome.ACCEPTED, Outcome.UNAVAILABLE, Outcome.TIMEOUT_RESPONSE, Outcome.RESET)


class Evening:
    """A run and its rows: due time, response, outcome, station. No dataclass: Hypothesis would print all of it."""

    def __init__(self, summary: Summary, evidence: RunData, rows: list[tuple[float, float, Outcome, str]]) -> None:
        self.summary, self.evidence, self.rows = summary, evidence, rows


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """400 pages in four kelurahan with attempts at odd moments; the rows as plain tuples beside the run."""
    rng = np.random.default_rng(7)
    codes = [f"350919100{1 + number % 4}{number // 4 + 1:03d}" for number in range(100)]
    due_s = np.sort(rng.uniform(START_S, STOP_S - 1, 100)).tolist()
    made = RunBuilder(
        Path(tmp_path_factory.mktemp("evening")) / "run",
        pages=make_pages(due_s, 4, codes),
        deadline_s=STOP_S,
        **brownout(*FAULT, STOP_S),
    )
    rows = []
    for page in made.pages:
        at_s = page.due_s + 0.001 * page.page  # no two at once: the last one is one
        for attempt in range(1, int(rng.integers(2, 4))):
            outcome = SOME[int(rng.integers(0, 4))]
            done_s = at_s + float(rng.lognormal(-1.5, 0.7))
            made.attempt(page.index, attempt=attempt, outcome=outcome, due_s=at_s, done_s=done_s)
            rows.append((at_s, done_s - at_s, outcome, page.station))
            at_s = done_s
            if outcome is Outcome.ACCEPTED or at_s >= STOP_S - 1:
                break
    folder = made.finish("deadline", at_s=STOP_S)
    return Evening(summarise(folder), RunData(folder, load_rows(folder)), rows)


def naive(aggregation, values, among, seconds):
    """An aggregation the plain way; None where there is no figure."""
    if not among:
        return None
    if aggregation in {"count", "rate", "ratio"}:
        return {"count": len(values), "rate": len(values) / seconds, "ratio": len(values) / len(among)}[aggregation]
    if not values:
        return None
    if aggregation.startswith("p"):
        share = int(aggregation[1:])
        needed = math.ceil(1000 / min(share, 100 - share))
        return sorted(values)[math.ceil(share * len(values) / 100) - 1] if len(values) >= needed else None
    return {"avg": sum(values) / len(values), "min": min(values), "max": max(values), "last": values[-1]}[aggregation]


def naive_windows(part, over_s):
    if over_s is None:
        return [part]
    starts: list[float] = []
    step = over_s / 10
    while part[0] + len(starts) * step + over_s <= part[1] + 1e-9:
        starts.append(part[0] + len(starts) * step)
    if part[1] - over_s > starts[-1] + 1e-9:
        starts.append(part[1] - over_s)
    return [(start, start + over_s) for start in starts]


@settings(max_examples=100, deadline=None)
@given(
    metric=st.sampled_from(["response_seconds", "attempts"]),
    which=st.integers(0, 11),
    kelurahan=st.none() | st.sampled_from(["3509191001", "3509191004"]),
    outcomes=st.none() | st.lists(st.sampled_from(SOME), min_size=1, unique=True),
    span=st.sampled_from(["", "during", "after"]),
    over_s=st.none() | st.integers(1, 6),
    compare=st.sampled_from(["<", ">="]),
    limit=st.floats(0.01, 60),
)
def test_labels_and_windows_give_what_a_plain_look_at_the_rows_gives(
    evening, metric, which, kelurahan, outcomes, span, over_s, compare, limit
):
    allowed = (
        ["count", "rate", *(["ratio"] if outcomes else [])]
        if metric == "attempts"
        else ["p50", "p90", "avg", "min", "max", "last"]
    )
    aggregation = allowed[which % len(allowed)]
    labels = [f'kelurahan="{kelurahan}"'] if kelurahan else []
    labels += [f"outcome=~{quote_string('|'.join(outcomes))}"] if outcomes else []
    window = (f' {span} "brownout"' if span else "") + (f" over {over_s}s" if over_s else "")
    value = f"{limit:.6f}" if aggregation != "ratio" else f"{limit:.6f}%"
    assertion = f"{aggregation}({metric}{{{','.join(labels)}}}) {compare} {value}{window}"
    found = evaluate_condition(parse_condition(assertion), evening.summary, evening.evidence)

    part = {"": (START_S, STOP_S), "during": FAULT, "after": (FAULT[1], STOP_S)}[span]
    here = [row for row in sorted(evening.rows) if kelurahan is None or row[3].startswith(kelurahan)]
    timed = {Outcome.ACCEPTED, Outcome.UNAVAILABLE, Outcome.TIMEOUT_RESPONSE}
    wanted = outcomes or (set(OUTCOMES) if metric == "attempts" else timed)
    seen = []
    for from_s, to_s in naive_windows(part, over_s):
        among = [row for row in here if from_s <= row[0] < to_s]
        chosen = [row[1] for row in among if row[2] in wanted]
        seen.append(naive(aggregation, chosen, among, to_s - from_s))
    expected_limit = float(f"{limit:.6f}") / (100 if aggregation == "ratio" else 1)
    breaches = [one for one in seen if one is not None and not COMPARISONS[compare](one, expected_limit)]
    assert found.passed == (not breaches and None not in seen)
    if breaches or None not in seen:
        known = breaches or seen
        assert found.observed == pytest.approx(max(known) if compare == "<" else min(known))
    else:
        assert found.observed is None
