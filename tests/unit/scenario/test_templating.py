"""Texts with placeholders: nothing is evaluated, and the environment is asked only for what begins with TARGET_."""

import pytest

from harness.base.errors import UsageError
from harness.scenario.templating import Template, check_placeholders, is_literal, match_pattern, variables_in


def test_words_are_filled_in_and_other_braces_are_text():
    text = check_placeholders('{"a": {"b": "{station}"}, "c": {}}', {"station"})
    assert Template(text).fill({"station": "35"}) == '{"a": {"b": "35"}, "c": {}}'


@pytest.mark.parametrize("text", ["{nobody}", "${HOME}", "${AWS_SECRET_ACCESS_KEY}", "${TARGET_a}", "${}", "${TARGET_X.__class__}"])  # fmt: skip
def test_a_word_that_nobody_knows_or_a_variable_that_is_not_for_targets_is_refused(text):
    with pytest.raises(ValueError, match=r"can't stand here|begins with TARGET_"):
        check_placeholders(text, {"station"})


def test_a_filled_in_value_is_not_filled_in_again():
    template = Template("${TARGET_A} {station}", {"TARGET_A": "{page}{nobody}${TARGET_B}"})
    assert template.fill({"station": "{form}", "page": "2"}) == "{page}{nobody}${TARGET_B} {form}"


def test_a_variable_that_is_not_set_or_would_break_a_header_is_named_and_its_value_is_not():
    for value in ("", "sesame\r\nX-Evil: 1", "sesame\x00"):
        with pytest.raises(UsageError, match="TARGET_A") as caught:
            Template("${TARGET_A}", {"TARGET_A": value})
        assert "sesame" not in str(caught.value)


def test_a_text_says_what_it_asks_for():
    assert variables_in("a ${TARGET_A} {b} ${TARGET_C}") == {"TARGET_A", "TARGET_C"}
    assert is_literal("Bearer abc")
    assert not is_literal("Bearer ${TARGET_A}")


def test_a_pattern_finds_the_words_again_and_only_in_their_shapes():
    found = match_pattern("/{station}/{form}/{station}-{page}.jpg")
    match = found.fullmatch("/3509191001001/ppwp/3509191001001-2.jpg")
    assert match is not None
    assert match.groupdict() == {
        "station": "3509191001001", "form": "ppwp", "page": "2",
    }  # fmt: skip
    assert found.fullmatch("/3509191001001/ppwp/3509191001002-2.jpg") is None
    assert found.fullmatch("/35/ppwp/35-2.jpg") is None
