"""Texts with placeholders: nothing is evaluated, and the environment is asked only for what begins with TARGET_."""

import pytest

from harness.base.errors import UsageError
from harness.scenario.templating import (
    Template,
    check_placeholders,
    fields_have_secret,
    header_has_secret,
    is_literal,
    match_pattern,
    variables_in,
)


def test_words_are_filled_in_and_other_braces_are_text():
    text = check_placeholders('{"a": {"b": "{station}"}, "c": {}}', {"station"})
    assert Template(text).fill({"station": "35"}) == '{"a": {"b": "35"}, "c": {}}'


@pytest.mark.parametrize("text", ["{nobody}", "${HOME}", "${AWS_SECRET_ACCESS_KEY}", "${TARGET_a}", "${}", "${TARGET_X.__class__}"])  # fmt: skip
def test_a_word_that_nobody_knows_or_a_variable_that_is_not_for_targets_is_refused(text):
    with pytest.raises(ValueError, match=r"is not available here|must begin with TARGET_"):
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Basic s3cret{page}"),
        ("Authorization", "Basic {page}s3cret"),
        ("Authorization", "Basic czNjcmV0={page}"),
        ("Authorization", "Bearer ${TARGET_TOKEN}s3cret"),
        ("Authorization", "Bearer s3cret {page}"),
        ("Authorization", "s3cret {page}"),
        ("Authorization", 'Digest username="{station}", response="s3cret"'),
        ("Cookie", "id=${TARGET_ID}; session=s3cret"),
        ("Cookie", "session=s3cret{page}"),
        ("X-Api-Key", "s3cret-{station}"),
        ("X-Auth-Token", "!?#{page}"),
    ],
)
def test_a_secret_beside_a_placeholder_is_one_that_is_written_out(name, value):
    assert header_has_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "${TARGET_AUTHORIZATION}"),
        ("Authorization", "Bearer {token}"),
        ("Authorization", "basic ${TARGET_BASIC}"),
        ("Authorization", 'Digest username="{station}", response="${TARGET_RESPONSE}"'),
        ("Authorization", "Bearer ${TARGET_TENANT}:${TARGET_TOKEN}"),
        ("Cookie", "id=${TARGET_ID}; station={station}"),
        ("X-Api-Key", "{station}-{form}-{page}"),
        ("Idempotency-Key", "upload-{station}-{form}-{page}"),
        ("Idempotency-Key", "always-the-same"),
        ("X-Note", "s3cret{page}"),
    ],
)
def test_schemes_separators_and_names_of_parameters_are_no_secrets(name, value):
    assert not header_has_secret(name, value)


@pytest.mark.parametrize(
    "text", ['{"pin": "{pin}s3cret"}', '{"pin": 123456}', "a=b&password=${TARGET_P}s3cret&c=d", "api_key: s3cret"]
)
def test_a_field_that_is_called_like_a_secret_must_not_hold_one(text):
    assert fields_have_secret(text)


@pytest.mark.parametrize(
    "text", ['{"pin":"{pin}","who":"s3cret"}', "token=${TARGET_T}&x=y", "grant_type=password&password={station}-{pin}"]
)
def test_a_field_that_is_filled_in_holds_none(text):
    assert not fields_have_secret(text)
