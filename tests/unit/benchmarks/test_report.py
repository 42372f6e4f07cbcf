"""The bench of `harness report`: its limits and its table."""

from dataclasses import replace

import pytest

from benchmarks.publish import replace_block
from benchmarks.report.__main__ import BLOCK, DOCUMENT, ReportCost, format_table

ROW = ReportCost(1_003_869, 245_439, first=True, wall_s=9.5, cpu_s=10.0, peak_mb=900, page_mb=0.9)


@pytest.mark.parametrize(
    ("change", "good"),
    [({}, True), ({"wall_s": 10.1}, False), ({"peak_mb": 1001}, False), ({"attempts": 100_404, "wall_s": 99.0}, True)],
)
def test_only_sizes_with_a_limit_can_be_too_slow_or_too_big(change, good):
    assert replace(ROW, **change).is_good is good


def test_ten_million_have_limits_of_their_own():
    large = replace(ROW, attempts=10_064_050, wall_s=59.0, peak_mb=1999)
    assert large.is_good
    assert not replace(large, wall_s=61.0).is_good


def test_the_table_stands_between_its_markers_and_the_document_has_them():
    text = replace_block(DOCUMENT.read_text("utf-8"), BLOCK, format_table([ROW]))
    assert "<!-- report speed: begin -->\n| attempts |" in text
    assert (
        "| 1,003,869 | 245,439 | made from the journals | 9.5 | 10.0 | 900 MB | 0.9 MB |\n<!-- report speed: end -->"
        in text
    )
    assert replace_block(text, BLOCK, format_table([ROW])) == text
    with pytest.raises(ValueError, match="report speed"):
        replace_block("no markers", BLOCK, "")
