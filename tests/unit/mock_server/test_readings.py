import json

import pytest

from mock_server.answers import Problem
from mock_server.faults.misread import misread
from mock_server.readings import checked, figures, warnings_about


def test_a_reading_is_kept_as_it_was_sent():
    text = '{ "chart": {"100025": 1} }'
    assert checked(text.encode()).text == text


def test_no_reading_is_an_empty_one():
    assert checked(b"  \r\n") == ("", ())


@pytest.mark.parametrize("text", [b"{", b"[]", b"1", b"null", b"\xff{}", b'{"a":' * 5000, b"nan"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(Problem) as caught:
        checked(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "content",
    [
        {"chart": {"100025": -1}},
        {"chart": {"100025": 1.5}},
        {"chart": {"100025": True}},
        {"chart": [1]},
        {"administrasi": {"suara_sah": "5"}},
    ],
)
def test_figures_that_are_no_counts_get_a_warning(content):
    assert warnings_about(json.dumps(content)) == ["chart and administrasi should hold whole numbers, none below zero"]
    assert figures(json.dumps(content)) == ({}, {})


def test_figures_that_add_up_get_none():
    assert (
        warnings_about('{"chart":{"a":2,"b":3},"administrasi":{"suara_sah":5,"suara_tidak_sah":1,"suara_total":6}}')
        == []
    )
    assert warnings_about("{}") == warnings_about("") == []


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
