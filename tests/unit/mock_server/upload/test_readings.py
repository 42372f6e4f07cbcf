import json

import pytest

from mock_server.faults.misread import misread
from mock_server.http.responses import Problem
from mock_server.upload.readings import parse_reading, reading_figures


def test_a_reading_is_kept_as_it_was_sent():
    text = '{ "chart": {"100025": 1} }'
    assert parse_reading(text.encode()).text == text


def test_no_reading_is_an_empty_one():
    assert parse_reading(b"  \r\n") == ("", ())


@pytest.mark.parametrize("text", [b"{", b"[]", b"1", b"null", b"\xff{}", b'{"a":' * 5000, b"nan"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(Problem) as caught:
        parse_reading(text)
    assert caught.value.status == 400


def reading_of(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_a_reading_is_at_most_32_levels_deep():
    assert parse_reading(reading_of(32)).warnings == ()
    for depth in (33, 480, 975):
        with pytest.raises(Problem) as caught:
            parse_reading(reading_of(depth))
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "content",
    [
        {"chart": {"100025": -1}},
        {"chart": {"100025": 1.5}},
        {"chart": {"100025": True}},
        {"chart": [1]},
        {"chart": {"100025": 10**9}},
        {"chart": {"100025": 10**4000}},
        {"chart": {"total": 1}},
        {"chart": {"٣": 1}},
        {"chart": {"1" * 10: 1}},
        {"chart": {str(number): 1 for number in range(65)}},
        {"administrasi": {"suara_sah": "5"}},
        {"administrasi": {"suara_sah": 10**9}},
        {"administrasi": {"\ud800": 5}},
    ],
)
def test_figures_that_cannot_be_counted_get_a_warning(content):
    text = json.dumps(content)
    (warning,) = parse_reading(text.encode()).warnings
    assert "whole numbers from 0 to 999999999" in warning
    assert reading_figures(text) == ({}, {})


def test_figures_that_add_up_get_none():
    adding_up = b'{"chart":{"1":2,"2":3},"administrasi":{"suara_sah":5,"suara_tidak_sah":1,"suara_total":6}}'
    assert parse_reading(adding_up).warnings == parse_reading(b"{}").warnings == ()


def test_sums_that_disagree_get_a_warning_each():
    text = b'{"chart":{"1":2,"2":2},"administrasi":{"suara_sah":5,"suara_tidak_sah":1,"suara_total":7}}'
    assert parse_reading(text).warnings == (
        "the votes add up to 4, but suara_sah = 5",
        "suara_sah + suara_tidak_sah = 6, but suara_total = 7",
    )


def test_a_misreading_changes_one_figure_and_never_to_itself():
    sent = {"administrasi": {"suara_sah": 9}, "chart": {"100025": 105, "100026": 41}}
    text = json.dumps(sent)
    seen = set()
    for step in range(100):
        held = json.loads(misread(text, (step + 0.5) / 100))
        changed = {(table, key) for table in sent for key in sent[table] if held[table][key] != sent[table][key]}
        assert len(changed) == 1
        seen |= changed
    assert len(seen) == 3, "every figure can be hit"


def test_a_reading_without_figures_cannot_be_misread():
    assert misread("", 0.5) == ""
    assert misread('{"note":"x","flag":true}', 0.5) == '{"note":"x","flag":true}'
