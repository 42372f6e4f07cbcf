"""What the page says: verdict, key figures, tables, how the run ended; its structure is in test_page_structure.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.analysis.chart_types import CompletionLines, ProcessHealth
from harness.judge.remedy import Remedy
from harness.run_folder.layout import RunFolder
from reports.charts import CHARTS
from reports.commands import remedy_command
from reports.html import render_page
from reports.render import render_run
from tests.support import made_up_run
from tests.support.drawn_page import Outline, drawn, read, text_of, write

# All of them read pages with every chart drawn.
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[str]]:
    return write(tmp_path_factory.mktemp("written"))


def test_render_writes_every_file_of_the_report(written: tuple[RunFolder, list[str]]) -> None:
    folder, _ = written
    names = {path.name for path in folder.report.iterdir()}
    assert names == {"index.html"} | {f"{chart.name}.{kind}" for chart in CHARTS for kind in ("svg", "png")}
    for path in (folder.junit, folder.markdown, folder.metrics):
        assert path.stat().st_size > 100


def test_render_gives_the_findings_in_the_order_of_the_charts(written: tuple[RunFolder, list[str]]) -> None:
    _, findings = written
    assert findings == [chart.finding(made_up_run.series(), made_up_run.summary()) for chart in CHARTS]


def test_the_same_run_gives_the_same_bytes(written: tuple[RunFolder, list[str]], tmp_path: Path) -> None:
    first, (second, _) = written[0], write(tmp_path)
    for one in sorted(path for path in first.path.rglob("*") if path.is_file()):
        assert one.read_bytes() == (second.path / one.relative_to(first.path)).read_bytes(), one.name


def test_a_failed_run_says_so_first_and_by_how_much() -> None:
    text = text_of(read(made_up_run.verdict("fail")))
    assert text.index("✗ FAIL") < text.index("2 of 3 thresholds were breached.") < text.index("Key figures")
    assert "stations.completed_by_deadline_ratio >= 95% breached 93 % 95 % 2.5 points below the limit" in text
    assert "p95(delivery_seconds) < 10 held 1.8 s 10 s 82 % to spare" in text
    assert "p99(response_seconds) < 5 breached n/a 5 s no figure: needs 1,000 attempts" in text


def test_a_passed_run_says_that_its_thresholds_hold() -> None:
    text = text_of(read(made_up_run.verdict("pass")))
    assert "✓ PASS Nothing is lost; the threshold holds." in text
    assert "FAIL" not in text


def test_an_invalid_run_is_never_shown_as_a_pass_or_a_fail() -> None:
    html = read(made_up_run.verdict("invalid", ("p99 lateness of 800 ms is above 5 % of response",)))
    text = text_of(html)
    assert "? INVALID The measurement cannot be trusted, so it is neither a pass nor a fail." in text
    assert "p99 lateness of 800 ms is above 5 % of response" in text
    assert "PASS" not in text
    assert "FAIL" not in text
    assert not re.search(r"\b(held|breached)\b", text)
    assert not [tag for tag, attributes in Outline(html).tags if attributes.get("class") in {"good", "bad"}]


def test_a_run_without_a_verdict_is_not_judged() -> None:
    text = text_of(read(None, record={"ended": None}))
    assert "NOT JUDGED The run stopped before it was judged." in text
    assert "No thresholds were judged." in text
    assert "it stopped" in text


def test_names_from_outside_are_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    places = [{"code": "3509191001", "name": evil, "stations": 5, "completed_by_deadline": 2}]
    phases = [made_up_run.summary_json()["phases"][0] | {"name": evil}]
    made = made_up_run.series().completion
    series = made_up_run.series(
        completion=CompletionLines(made.total, made.planned, [made_up_run.line(evil, [0.1, 0.4])])
    )
    verdict = made_up_run.verdict("fail", (evil,))
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_run(made_up_run.record(title=evil, target=evil, command=["harness", evil], problems=[evil]))
    render_run(folder, made_up_run.summary(kelurahan=places, phases=phases), series, verdict)
    html = folder.page.read_text(encoding="utf-8")
    assert html.lower().count("<script") == 1
    assert html.index("<script>") > html.index("</footer>")
    assert text_of(html).count(evil) >= 5
    for path in folder.report.glob("*.svg"):
        made_up_run.parsed(path.read_text(encoding="utf-8"))
    assert not re.search(r"(?<!\\)<script", folder.markdown.read_text(encoding="utf-8"))


def test_a_name_with_dollars_is_drawn_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.render.CHARTS", [chart for chart in CHARTS if chart.name == "completion"])
    made = made_up_run.series().completion
    series = made_up_run.series(
        completion=CompletionLines(made.total, made.planned, [made_up_run.line(r"$\frac{$", [0.1, 0.4])])
    )
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_run(made_up_run.record())
    render_run(folder, made_up_run.summary(), series, None)
    assert r"$\frac{$ 40 %" in (folder.report / "completion.svg").read_text(encoding="utf-8")


def test_the_page_names_the_machines_of_the_workers_and_their_clocks() -> None:
    clock = {"wall_offset_s": 0.012, "clock_uncertainty_s": 0.0205, "clock_drift_s": -0.003}
    workers = [{"rank": 0, "host": "b"}, {"rank": 1, "host": "c", **clock}, {"rank": 2, "host": "c"}]
    text = text_of(read(None, record={"workers": workers}))
    assert "Machine b" in text
    assert "workers 1, 2; clock +12.0 ms from the leader's (± 20.5 ms), drifted by -3.0 ms during the run" in text
    assert "Machine" not in text_of(read(None))


def test_the_page_gives_the_exact_command_and_the_environment() -> None:
    command = ["harness", "run", "kaliwates", "--name", "with space"]
    text = text_of(read(made_up_run.verdict(), record={"command": command}))
    assert "harness run kaliwates --name 'with space'" in text
    assert "Seed 20240214" in text
    assert "Version of locust 2.47.0" in text
    assert "Host: memory_bytes 24 GB" in text
    assert json.dumps({"workers": 8}, indent=2).strip("{} \n") in text


def test_key_figures_carry_their_units() -> None:
    text = text_of(read(made_up_run.verdict()))
    assert "Pages delivered 1,049 of 1,086 31 not acknowledged (of which 2 on the server), 6 not attempted" in text
    assert "Delivery of a page p50 600 ms, p95 1.8 s 37 of 1,086 pages never acknowledged" in text
    assert "Sent 2.2 GB 22 % of it was re-sent" in text
    assert "Delivered 14.6 of 15.1 pages/s due by the deadline; mean over 72 s" in text
    assert "Completion of a station p50 2.1 s, p95 never 27 stations never finished" in text
    assert "Recovery from brownout 6 s after its end" in text


def test_a_sample_too_small_for_a_percentile_says_what_it_needs() -> None:
    few = made_up_run.spread(12, by_outcome={})
    assert "p50 n/a (needs 20), p95 n/a (needs 200)" in text_of(read(None, response_seconds=few))


def test_the_worst_kelurahan_comes_first() -> None:
    text = text_of(read(made_up_run.verdict()))
    order = [text.index(name) for name in ("Tegalbesar 3509191007", "Kepatihan 3509191006", "Mangli 3509191001")]
    assert order == sorted(order)


def test_undelivered_stations_come_before_the_slowest() -> None:
    text = text_of(read(made_up_run.verdict()))
    assert "Stations never complete, and the slowest" in text
    assert (
        "27 stations arrived and were never complete; the first 1 are listed; below them the one that took longest."
        in text
    )
    assert "3509191007044 Tegalbesar 12 s 1 of 3 9 60 s still trying at the deadline" in text
    assert "3509191003002 Kebonagung 20 s 3 of 3 7 41 s complete" in text


def test_what_is_missing_from_the_folder_is_said(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_run(made_up_run.record(problems=["the clock stepped by 2 s"]))
    empty = made_up_run.summary(phases=[], kelurahan=[], recovery=[])
    render_run(folder, empty, made_up_run.no_series(), None)
    text = text_of(folder.page.read_text(encoding="utf-8"))
    assert "The scrapes are missing" in text
    assert "the clock stepped by 2 s" in text


@pytest.mark.parametrize(
    "how", ["completed", "deadline", "interrupted", "terminated", "hung_up", "aborted", "crashed", "killed"]
)
def test_the_page_says_how_the_run_ended(how: str) -> None:
    ended = {"how": how, "at_s": 12.0, "message": "see logs/server.log"}
    text = text_of(read(None, record={"ended": ended}, duration_s=12.0))
    assert re.search(r"it ended after 12 s: [^;]+; see logs/server.log", text)


def test_every_process_of_the_run_is_told_with_what_it_used() -> None:
    worker = ProcessHealth("worker 0", 0.41, 0.97, 14.0, 0.012, 131_000_000, 612, 70)
    master = ProcessHealth("master", 0.01, None, None, None, 96_000_000, 14, 1)
    told = text_of(
        render_page(
            made_up_run.record(), made_up_run.summary(), made_up_run.series(processes=[worker, master]), None, drawn()
        )
    )  # fmt: skip
    assert "worker 0 41 % 97 % 14 s 12 ms 131 MB 612" in told.replace("\xa0", " ")
    assert "master 1 % n/a n/a n/a 96 MB 14" in told.replace("\xa0", " ")
    assert "Processes of the run" not in text_of(read())


def test_a_failed_run_says_what_to_try_first_with_the_command_that_tries_it() -> None:
    page = read(made_up_run.verdict("fail"), record={"command": ["harness", "run", "kaliwates", "--out", "runs/one"]})
    text = text_of(page).replace("\u00a0", " ")
    assert (
        "What to try first Give the server 9 workers. All 8 workers were busy at once, and 1,049 of 1,086 pages were delivered"
        " by the deadline. The same run with this change: harness run kaliwates --seed 20240214 --set server.workers=9"
    ) in text
    assert "What to try first" not in text_of(read(made_up_run.verdict("pass")))


def test_of_a_run_that_no_command_repeats_the_page_says_which_keys_to_change() -> None:
    command = ["harness", "experiment", "metastability"]
    text = text_of(read(made_up_run.verdict("fail"), record={"command": command})).replace("\u00a0", " ")
    assert "were delivered by the deadline. In the scenario: server.workers=9" in text
    assert remedy_command(made_up_run.record(command=command), Remedy("", "", ("server.workers=9",))) == []


def test_a_simulated_run_is_tried_again_in_virtual_time() -> None:
    made = made_up_run.record(command=["harness", "simulate", "kaliwates", "--out", "x"], seed=7)
    assert remedy_command(made, Remedy("", "", ("server.workers=9",))) == [
        "harness", "simulate", "kaliwates", "--seed", "7", "--set", "server.workers=9"
    ]  # fmt: skip


def test_the_settings_of_a_remedy_replace_those_of_the_command() -> None:
    remedy = Remedy("Give the server 9 workers", "", ("server.workers=9",))
    command = [
        "harness",
        "run",
        "kaliwates",
        "--set",
        "server.workers=1",
        "--set=server.workers=2",
        "--set",
        "deadline=9s",
    ]
    assert remedy_command(made_up_run.record(command=command, seed=7), remedy) == [
        "harness", "run", "kaliwates", "--set", "deadline=9s", "--seed", "7", "--set", "server.workers=9"
    ]  # fmt: skip


def test_a_prediction_of_the_remedy_stands_below_its_command() -> None:
    predicted = Remedy("Wait", "patience helps", ("server.workers=9",), "Predicted: 98 % of stations.")
    page = render_page(
        made_up_run.record(), made_up_run.summary(), made_up_run.series(), made_up_run.verdict("fail"), drawn(), predicted=predicted
    )  # fmt: skip
    assert "--set server.workers=9 Predicted: 98 % of stations." in text_of(page).replace("\u00a0", " ")
