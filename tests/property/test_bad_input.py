"""Whatever a file holds, the command answers with a sentence and exit code 2 or 3 (or does its work): never a traceback."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.base.errors import ConfigurationError, ExitCode
from harness.measure.scraper import Scraper
from harness.plan.regions import load_region, parse_region
from harness.run_folder import scrape_log
from harness.scenario.loader import SCENARIO_FOLDER
from tests.support.counted_work import count_lines
from tests.support.real_runs import TINY, told
from tests.support.run_builder import RunBuilder

ANSWERS = {ExitCode.PASSED, ExitCode.USAGE, ExitCode.INVALID, ExitCode.FAILED}
RULES = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

SHIPPED = sorted(path.read_text("utf-8") for path in SCENARIO_FOLDER.iterdir() if path.name.endswith(".toml"))
VALUES = st.sampled_from(
    ["-1", "0", "1e999", "nan", "inf", "true", '""', '"\\u0000"', '"9999999999999d"', '"-1s"', '"1e308GB"', "[]", "{}",
     "[[]]", "9223372036854775807", "-9223372036854775808", "99999999999999999999999999", "1979-05-27", '"../../etc/passwd"',
     '"nan"', '"0s"', '"%"', "[0, 0]", '[["0s", 0], ["0s", 1]]', '"kaliwates"', '"\\ud7ff"', '"x' + "y" * 5000 + '"'],
)  # fmt: skip


@st.composite
def mutated(draw):
    """A shipped scenario with a few of its lines given other values, dropped, doubled, swapped or cut."""
    lines = draw(st.sampled_from([TINY, *SHIPPED])).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["value", "value", "value", "drop", "double", "cut", "noise"]))
        key = lines[at].partition("=")[0]
        if what == "value" and "=" in lines[at]:
            lines[at] = f"{key}= {draw(VALUES)}"
        elif what == "drop" and len(lines) > 1:
            del lines[at]
        elif what == "double":
            lines.insert(at, lines[at])
        elif what == "cut":
            lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        elif what == "noise":
            lines.insert(at, draw(st.text(max_size=20)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def validated(content: bytes) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stranger.toml").write_bytes(content)
        code, output = told("validate", "stranger.toml", cwd=folder)
    assert code in ANSWERS, output
    assert "Traceback" not in output
    if code == ExitCode.USAGE:
        assert "stranger.toml" in output, output
    return code, output


@RULES
@given(mutated())
def test_a_scenario_that_was_tampered_with_is_planned_or_refused_in_words(content):
    validated(content)


@RULES
@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
)
def test_garbage_is_no_scenario(content):
    assert validated(content)[0] == ExitCode.USAGE


@RULES
@given(
    st.lists(
        st.tuples(st.one_of(st.from_regex(r"[0-9]{0,12}", fullmatch=True), st.text(max_size=12)),
                  st.text(max_size=130), st.one_of(st.integers(-5, 10**9).map(str), st.text(max_size=5))),
        max_size=6,
    ).map(lambda rows: "\n".join(",".join(row) for row in rows))
)  # fmt: skip
def test_a_region_file_gives_stations_or_is_refused_with_the_line(text):
    try:
        stations = parse_region(text, "region.csv")
    except ConfigurationError as error:
        if "line" not in str(error) and "has no stations" not in str(error):
            raise
    else:
        assert stations
        assert len({station.code for station in stations}) == len(stations)
        assert all(len(station.code) == 13 for station in stations)


@RULES
@given(st.binary(max_size=400))
def test_bytes_that_are_no_region_are_refused(content):
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        Path(file.name).write_bytes(content)
        try:
            assert load_region(file.name)
        except ConfigurationError as error:
            if file.name not in str(error):
                raise


def nation(stations, each=500):
    """The text of a region file of so many stations, and how many each kelurahan has."""
    rows = (f"{3_000_000_000 + number:010d},Desa {number},{each}\n" for number in range(stations // each))
    return "code,name,stations\n" + "".join(rows)


def test_a_region_of_a_million_stations_is_loaded(tmp_path):
    path = tmp_path / "nation.csv"
    path.write_text(nation(1_000_000), "utf-8")
    assert len(load_region(str(path))) == 1_000_000


def test_a_region_takes_twice_the_steps_for_twice_the_stations():
    def steps(stations):
        text = nation(stations, each=10)
        return count_lines(lambda: parse_region(text, "nation.csv"))

    few, many = steps(5000), steps(10_000)
    assert 5000 < few < many < 2.1 * few


def test_a_region_of_three_million_stations_is_refused_before_any_is_made():
    def refused():
        with pytest.raises(ConfigurationError, match="more than 2,000,000 stations"):
            parse_region(nation(3_000_000), "nation.csv")

    assert count_lines(refused) < 500_000, "a few dozen for each of 4,000 kelurahan"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run folder with everything in it, drawn once."""
    path = tmp_path_factory.mktemp("whole") / "run"
    run = RunBuilder(path, stations=4, pages_each=2, due_s=[0.0, 0.5, 1.0, 1.5])
    for page in range(8):
        run.attempt(page, due_s=page / 4, sent_s=page / 4 + 0.001, done_s=page / 4 + 0.3)
    run.finish("completed", at_s=3.0)
    code, output = told("report", path, cwd=path.parent)
    assert code == 0, output
    return path


@st.composite
def damage(draw):
    """(which file, what happens to it)."""
    kind = draw(
        st.sampled_from(["cut", "cut", "flip", "flip", "empty", "missing", "folder", "foreign", "swapped", "huge"])
    )
    return (
        draw(st.floats(0, 1, exclude_max=True)),
        kind,
        draw(st.floats(0, 1, exclude_max=True)),
        draw(st.binary(max_size=64)),
    )


def apply(folder: Path, where: float, kind: str, at: float, noise: bytes) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "report" not in path.parts)
    path = files[int(where * len(files))]
    content, other = path.read_bytes(), files[int(at * len(files))].read_bytes()
    place = int(at * len(content))
    if kind in {"missing", "folder"}:
        path.unlink()
    if kind == "folder":
        path.mkdir()
    changed = {
        "cut": content[:place],
        "flip": content[:place] + noise + content[place + len(noise) :],
        "empty": b"",
        "foreign": noise,
        "swapped": other,
        "huge": content + bytes(8_000_000),
    }.get(kind)
    if changed is not None:
        path.write_bytes(changed)
    return f"{path.relative_to(folder)} {kind} {at:.3f}"


def survives(whole: Path, wounds: list[tuple[float, str, float, bytes]], *commands: str) -> None:
    """A copy of a run folder with these wounds is judged or refused with a message by each of the commands."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        shutil.copytree(whole, folder)
        (Path(place) / "limits.toml").write_text('[[thresholds]]\nassert = "p50(delivery_seconds) < 10s"\n', "utf-8")
        done = [apply(folder, *wound) for wound in wounds]
        for command in commands:
            name, *more = command.split()
            code, output = told(name, folder, *more, cwd=place)
            assert code in ANSWERS, (done, command, output)
            assert "Traceback" not in output, done
        assert told("list", cwd=place)[0] == 0


@settings(RULES, max_examples=20)
@given(st.lists(damage(), min_size=1, max_size=2))
@example([(0.0, "cut", 0.0, b""), (0.5, "flip", 0.0, bytes(5))])  # a plan that DuckDB fails on in the middle of a COPY
def test_a_run_folder_that_was_damaged_is_judged_or_refused_in_words(whole, wounds):
    survives(whole, wounds, "audit", "gate --thresholds limits.toml")


@pytest.mark.slow
@settings(RULES, max_examples=200)
@given(st.lists(damage(), min_size=1, max_size=3))
def test_it_is_drawn_or_refused_in_words_too(whole, wounds):
    survives(whole, wounds, "audit", "report", "gate")


class Broken:
    """A server that answers every connection with the same bytes, at once or in drops, and then goes on or hangs up."""

    def __init__(self, content: bytes, pause_s: float = 0.0) -> None:
        self._content, self._pause_s = content, pause_s
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/metrics"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    connection.recv(4096)
                    self._answer(connection)
        except OSError:
            return

    def _answer(self, connection: socket.socket) -> None:
        try:
            if not self._pause_s:
                connection.sendall(self._content)
                return
            for byte in self._content:
                connection.sendall(bytes([byte]))
                time.sleep(self._pause_s)
        except OSError:
            return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # else it would wait for the next connection for ever
        self._thread.join()
        self._socket.close()


def scraped(content: bytes, pause_s: float = 0.0) -> scrape_log.Scrape:
    with tempfile.TemporaryDirectory() as folder:
        server = Broken(content, pause_s)
        try:
            Scraper(Path(folder), {"server": server.url}, lambda: 1.0).scrape_now()
        finally:
            server.close()
        (scrape,) = scrape_log.read_scrapes(Path(folder), "server")
    return scrape


@settings(RULES, max_examples=30)
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"HTTP/1.1 999999999999 \r\n\r\n", b"HTTP/9.9 200\r\n" + b"a: b\r\n" * 200]),
    st.binary(max_size=200),
)  # fmt: skip
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0")
def test_a_broken_answer_of_an_exporter_is_a_scrape_that_failed_or_text(head, body):
    scrape = scraped(head + body)
    if body and not (b"chunked" in head and ends_with_first_chunk(body)):
        assert bool(scrape.text) != bool(scrape.error)
    assert not (scrape.text and scrape.error)


def ends_with_first_chunk(body: bytes) -> bool:
    """Whether the first chunk has size zero: such a content is empty, as if there were no body."""
    try:
        return int(body.partition(b"\n")[0].partition(b";")[0], 16) == 0
    except ValueError:
        return False


def test_a_huge_answer_of_an_exporter_is_cut_off_at_16_mib():
    scrape = scraped(b"HTTP/1.1 200 OK\r\n\r\n" + b"up 1\n" * 4_000_000)
    assert (scrape.text, scrape.error) == ("", "more than 16,777,216 bytes")


def test_an_answer_that_drips_is_given_up_although_every_drop_is_in_time(monkeypatch):
    monkeypatch.setattr("harness.measure.scraper._RESPONSE_TIMEOUT_S", 0.5)
    began = time.monotonic()
    scrape = scraped(b"HTTP/1.1 200 OK\r\n\r\n" + b"up 1\n" * 400, pause_s=0.05)
    assert scrape.text == ""
    assert "response not complete within" in scrape.error
    assert time.monotonic() - began < 60  # 100 s of drops
