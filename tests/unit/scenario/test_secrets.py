"""What counts as a secret that is written out: also beside a placeholder."""

import pytest

from harness.scenario import secrets


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
    assert secrets.header_has_secret(name, value)


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
    assert not secrets.header_has_secret(name, value)


@pytest.mark.parametrize(
    "text", ['{"pin": "{pin}s3cret"}', '{"pin": 123456}', "a=b&password=${TARGET_P}s3cret&c=d", "api_key: s3cret"]
)
def test_a_field_that_is_called_like_a_secret_must_not_hold_one(text):
    assert secrets.fields_have_secret(text)


@pytest.mark.parametrize(
    "text", ['{"pin":"{pin}","who":"s3cret"}', "token=${TARGET_T}&x=y", "grant_type=password&password={station}-{pin}"]
)
def test_a_field_that_is_filled_in_holds_none(text):
    assert not secrets.fields_have_secret(text)
