"""TOML that is written is what tomllib reads."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base.toml_text import toml_text

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_what_is_written_is_read_back(content):
    assert tomllib.loads(toml_text(content)) == content


def test_what_is_none_is_left_out_everywhere():
    text = toml_text({"a": None, "b": {"c": None, "d": 1}, "e": [{"f": None, "g": 2}]})
    assert tomllib.loads(text) == {"b": {"d": 1}, "e": [{"g": 2}]}


def test_not_a_number_is_refused_rather_than_written_wrongly():
    with pytest.raises(ValueError, match="not JSON compliant"):
        toml_text({"a": float("nan")})
