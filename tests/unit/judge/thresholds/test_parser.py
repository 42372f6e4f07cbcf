from __future__ import annotations

import pytest

from harness.judge.thresholds.parser import InvalidAssertionError, ParsedAssertion, Token, parse_assertion


def test_an_aggregation_of_a_sample():
    text = "p95(delivery_seconds) < 10s"
    assert parse_assertion(text) == ParsedAssertion(
        text, Token("p95", 0), Token("delivery_seconds", 4), (), "<", Token("10s", 24)
    )


def test_a_dotted_key():
    text = "stations.completed_by_deadline_ratio >= 95%"
    assert parse_assertion(text) == ParsedAssertion(
        text, None, Token("stations.completed_by_deadline_ratio", 0), (), ">=", Token("95%", 40)
    )


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("form", ["max(lateness_seconds){}50 ms", "  max ( lateness_seconds )  {}  50 ms  "])
def test_blanks_may_stand_anywhere_and_every_operator_is_known(operator, form):
    found = parse_assertion(form.format(operator))
    assert found.aggregation is not None
    assert (found.aggregation.text, found.metric.text) == ("max", "lateness_seconds")
    assert (found.operator, found.value.text) == (operator, "50 ms")


@pytest.mark.parametrize("text", ["p(95)(delivery_seconds) < 1", "p95(delivery_seconds) < 1"])
def test_a_percentile_may_be_written_both_ways(text):
    found = parse_assertion(text)
    assert found.aggregation is not None
    assert (found.aggregation.text, found.metric.text) == ("p95", "delivery_seconds")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 0, "expected a metric or a key"),
        ("< 3", 0, "expected a metric or a key"),
        ("p95() < 3", 4, "expected the name of a metric"),
        ("p95(delivery_seconds < 10", 21, r'expected "\)"'),
        ("p(95) < 10", 6, r'expected "\("'),
        ("p95(delivery_seconds) 10", 22, "expected an operator"),
        ("pages.planned = 10", 14, "expected an operator"),
        ("pages.planned", 13, "expected an operator"),
        ("pages.planned ==", 16, "expected a value"),
        ("pages.planned ==   ", 19, "expected a value"),
    ],
)
def test_what_is_wrong_is_said_with_a_caret_under_the_place(text, place, message):
    with pytest.raises(InvalidAssertionError, match=message) as caught:
        parse_assertion(text)
    assert caught.value.position == place
    _, shown, caret = str(caught.value).split("\n")
    assert shown == f"    {text}"
    assert caret == f"    {' ' * place}^"
