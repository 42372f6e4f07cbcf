"""What a target bears, as text and as a chart."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib import rc_context

from harness.analysis.sustained import SustainedFigures, SustainedLevel
from reports.charts.layout import NARROW, WIDE
from reports.sustained import (
    draw_growth,
    render_sustained,
    sustained_badge,
    sustained_finding,
    sustained_junit,
    sustained_markdown,
    sustained_rows,
)


def level(rate, state, growth=0.0, **changes):
    content = {
        "pages_per_s": rate, "seconds": 20.0, "state": state, "why": "it does", "growth_ratio": growth, "growth_low": growth - 0.01,
        "growth_high": growth + 0.01, "little_ratio": 1.01, "in_flight": 2.5, "p95_delivery_s": 0.4, "runs": ["one"],
    }  # fmt: skip
    return SustainedLevel.model_validate({**content, **changes})


def figures(**changes):
    content = {
        "name": "mine", "title": "", "target": "http://127.0.0.1:8080", "asks_per_s": 27.0, "asks_window_s": 60.0, "bears_per_s": 13.0,
        "fails_per_s": 13.4, "limit": "", "levels": [level(13.0, "sustained"), level(13.4, "grows", 0.05)], "exit_code": 99,
    }  # fmt: skip
    return SustainedFigures.model_validate({**content, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "The target bears 13/s (13.4/s it does not); your plan's busiest minute asks 27/s"),
        ({"asks_window_s": 4.0}, "The target bears 13/s (13.4/s it does not); your plan's busiest 4 s asks 27/s"),
        (
            {"fails_per_s": None, "limit": "the target's consent allows no more"},
            ("The target bears at least 13/s, and no greater rate was tried, because the target's consent allows no more; "
            "your plan's busiest minute asks 27/s"),
        ),
        (
            {"fails_per_s": None, "exit_code": 3, "why_unknown": "2 runs at 30 pages/s were INVALID"},
            ("The target bears at least 13/s; your plan's busiest minute asks 27/s. Nobody can tell: 2 runs at 30 pages/s were "
            "INVALID"),
        ),
        ({"bears_per_s": None}, "The target bears no rate that was tried; your plan's busiest minute asks 27/s"),
        (
            {"levels": [], "bears_per_s": None, "fails_per_s": None, "exit_code": 3, "why_unknown": "2 runs were INVALID"},
            "No rate could be decided; your plan's busiest minute asks 27/s. Nobody can tell: 2 runs were INVALID",
        ),
        (
            {"levels": [level(13.0, "sustained"), level(13.4, "undecided")], "exit_code": 3, "why_unknown": "too short"},
            "The target bears 13/s (13.4/s is undecided); your plan's busiest minute asks 27/s. Nobody can tell: too short",
        ),
    ],
)  # fmt: skip
def test_the_sentence_holds_what_is_borne_against_what_is_asked(changes, text):
    assert sustained_finding(figures(**changes)) == text


@pytest.mark.parametrize(
    ("code", "badge"), [(0, "BEARS IT"), (99, "NOT ENOUGH"), (3, "NOBODY CAN TELL"), (130, "INTERRUPTED")]
)
def test_the_result_is_a_word(code, badge):
    assert sustained_badge(figures(exit_code=code)) == badge


def test_each_rate_is_a_row_with_its_slope():
    assert sustained_rows(figures())[1] == [
        "13.4", "grows", "5.0 % (4.0 to 6.0)", "1.01", "2.5", "400 ms", "20 s", "it does",
    ]  # fmt: skip
    assert "| 13 | sustained |" in sustained_markdown(figures())
    nothing = level(1.0, "undecided", growth_ratio=None, growth_low=None, growth_high=None, p95_delivery_s=None)
    assert sustained_rows(figures(levels=[nothing]))[0][2] == ""


@pytest.mark.parametrize(("code", "kinds"), [(0, []), (99, ["failure"]), (3, ["error"])])
def test_junit_has_one_case(code, kinds):
    (case,) = ET.fromstring(sustained_junit(figures(exit_code=code))).iter("testcase")  # noqa: S314 - our own text
    assert [child.tag for child in case] == kinds


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_the_chart_has_a_point_for_each_rate_and_what_is_asked(layout):
    with rc_context(layout.style):
        axes = draw_growth(figures()).axes[1]
    drawn = {line.get_gid(): line for line in axes.lines}
    assert np.asarray(drawn["rate 13.4"].get_ydata()).tolist() == [0.05]
    assert np.asarray(drawn["asked"].get_xdata()).tolist() == [27.0, 27.0]


@pytest.mark.heavy
def test_the_page_has_the_sentence_and_every_rate(tmp_path):
    text = render_sustained(tmp_path, figures()).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "The target bears 13/s (13.4/s it does not)" in text
    assert text.count('<th scope="row">') == 2
