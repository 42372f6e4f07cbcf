"""Colours that everyone can tell, and labels that keep apart."""

from __future__ import annotations

import pytest

from harness.base.model import Outcome
from reports import palette
from reports.charts.labels import assign_rows, place_labels


def test_nudged_labels_keep_their_gap_their_order_and_their_bounds() -> None:
    placed = place_labels([0.0, 0.1, 0.1, 5.0], gap=1.0, low=0.0, high=5.0)
    assert placed == pytest.approx([0.0, 1.0, 2.0, 5.0])


def test_a_label_with_room_stays_where_it_is() -> None:
    assert place_labels([3.0, 1.0], gap=1.0, low=0.0, high=5.0) == [3.0, 1.0]


def test_names_that_touch_go_into_different_rows() -> None:
    assert assign_rows([(0, 2), (1, 3), (2, 4)]) == [0, 1, 0]


def test_every_outcome_has_a_colour_and_words() -> None:
    assert set(palette.OUTCOME_COLOURS) == set(Outcome)
    assert set(palette.OUTCOME_LABELS) == set(Outcome)
    assert len(set(palette.OUTCOME_LABELS.values())) == len(Outcome)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    "colour",
    sorted({palette.INK, palette.MUTED, *palette.OUTCOME_COLOURS.values(), palette.GOOD, palette.BAD, palette.UNSURE}),
)
def test_every_colour_of_text_has_a_contrast_of_four_and_a_half_on_a_light_and_a_dark_page(colour: str) -> None:
    assert _contrast(colour, palette.PAPER) >= 4.5
    assert _contrast(palette.DARK[colour], palette.DARK[palette.PAPER]) >= 4.5


def test_the_shades_of_the_heat_map_get_steadily_darker_in_greyscale() -> None:
    light = [_luminance(shade) for shade in palette.HEAT]
    dark = [_luminance(palette.DARK[shade]) for shade in palette.HEAT]
    assert light == sorted(light, reverse=True)
    assert dark == sorted(dark)


def test_no_label_claims_a_status_as_a_200_can_be_a_rejection_by_its_body() -> None:
    assert [label for label in palette.OUTCOME_LABELS.values() if any(sign.isdigit() for sign in label)] == []
