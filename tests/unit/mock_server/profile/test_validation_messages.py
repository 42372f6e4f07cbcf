"""What a person reads who wrote a wrong profile."""

import pytest
from pydantic import ValidationError

from mock_server.profile.validation_messages import explain
from mock_server.profile_file import Profile


def lines(content: dict[str, object]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Profile.model_validate(content)
    return explain(caught.value, Profile, content)


def test_a_misspelt_key_is_named_with_the_nearest_one():
    assert lines({"wrokers": 3}) == ['wrokers is not a known key; did you mean "workers"?']


def test_a_key_that_resembles_nothing_gets_the_list():
    (line,) = lines({"xyz": 3})
    assert line.startswith("xyz is not a known key; known keys: accepts, body_timeout, bytes_per_s, ")


def test_a_misspelt_key_of_a_fault_is_looked_for_among_that_kinds_keys():
    assert lines({"faults": [{"kind": "latency", "delay": "1s", "duraton": "1s"}]}) == [
        'faults #1: duraton is not a known key; did you mean "duration"?'
    ]


def test_a_missing_key_is_named_with_its_place():
    assert lines({"faults": [{"kind": "abort"}, {"kind": "latency"}]}) == ["faults #2: delay is missing"]


def test_a_wrong_unit_is_shown_with_examples():
    assert lines({"token_lifetime": "5 parsecs"}) == [
        'token_lifetime = "5 parsecs" is not a duration: write a number and a unit, as in "150ms", "10s", "2m", "1h"'
    ]


def test_a_duration_without_a_unit_is_refused():
    (line,) = lines({"grace": 5})
    assert line.startswith("grace = 5 is not a duration")


def test_an_unknown_kind_gets_a_suggestion():
    (line,) = lines({"faults": [{"kind": "latncy"}]})
    assert line.startswith('faults #1: kind = "latncy" is not one of latency, abort, ')
    assert line.endswith('did you mean "latency"?')


def test_a_fault_without_a_kind_is_told_that_it_needs_one():
    assert lines({"faults": [{"name": "x"}]}) == ["faults #1 \"x\" = {'name': 'x'} needs a table with a key \"kind\""]


def test_an_unknown_distribution_gets_a_suggestion():
    (line,) = lines({"service_time": {"distribution": "lognorml", "median": "1s"}})
    assert line.startswith(
        'service_time.distribution = "lognorml" is not one of fixed, uniform, exponential, lognormal'
    )
    assert line.endswith('did you mean "lognormal"?')


def test_a_word_outside_its_list_gets_a_suggestion():
    (line,) = lines({"shed": "queue"})
    assert line.startswith('shed = "queue" is not one of "none", "queue_full"')
    assert line.endswith('did you mean "queue_full"?')


def test_a_number_out_of_range_is_told_its_range():
    assert lines({"workers": 0}) == ["workers = 0 should be greater than or equal to 1"]
    assert lines({"faults": [{"kind": "abort", "status": 200}]}) == [
        "faults #1: status = 200 should be greater than or equal to 400"
    ]


def test_a_wrong_type_is_told_the_right_one():
    assert lines({"workers": "3"}) == ['workers = "3" should be a valid integer']


def test_several_problems_are_told_at_once():
    found = lines({"workers": "3", "shed": "quee_full", "faults": [{"kind": "latency", "dealy": "1s"}]})
    keys = [line.partition(" is ")[0].partition(" = ")[0].partition(" should ")[0] for line in found]
    assert keys == ["workers", "shed", "faults #1: delay", "faults #1: dealy"]


def test_two_faults_of_one_name_are_refused():
    assert lines({"faults": [{"kind": "abort"}, {"kind": "abort"}]}) == [
        'two faults are called "abort": give each its own name'
    ]
