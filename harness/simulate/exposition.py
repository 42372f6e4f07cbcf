"""Prometheus' text format, written by a process that scrapes the same series again and again."""

from __future__ import annotations

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from mock_server.overload.histogram_family import HistogramFamily, HistogramRow

_Key = tuple[str, tuple[tuple[str, str], ...]]
_NO_VALUE = float("nan")


class ExpositionWriter:
    """Writes the exposition of collectors as `generate_latest` does, several times as fast.

    That function escapes name and labels of every sample each time; here a series is written once, and its line again when its
    value has changed.
    """

    def __init__(self) -> None:
        self._heads: dict[str, str] = {}
        self._series: dict[_Key, _Line] = {}
        self._histograms: dict[tuple[str, tuple[str, ...]], _HistogramLines] = {}

    def write(self, collector: Collector) -> str:
        """The exposition of the collector's present families."""
        lines = []
        for family in collector.collect():
            head = self._heads.get(family.name)
            if head is None:
                head = self._heads[family.name] = _head_of(family)
            lines.append(head)
            if isinstance(family, HistogramFamily):
                lines += [self._histogram(family, row) for row in family.rows]
            else:
                lines += [self._line(sample) for sample in family.samples]
        return "".join(lines)

    def _line(self, sample: Sample) -> str:
        key = (sample.name, tuple(sample.labels.items()))
        line = self._series.get(key)
        if line is None:
            line = self._series[key] = _Line(sample)
        return line.text(sample.value)

    def _histogram(self, family: HistogramFamily, row: HistogramRow) -> str:
        key = (family.name, row.labels)
        lines = self._histograms.get(key)
        if lines is None:
            lines = self._histograms[key] = _HistogramLines(family.samples_of(row))
        return lines.text([*row.counts, row.counts[-1], row.sum_value])


class _Line:
    """The line of one series."""

    __slots__ = ("_series", "_text", "_value")

    def __init__(self, sample: Sample) -> None:
        self._series = _series_of(sample.name, sample.labels)
        self._value = _NO_VALUE
        self._text = ""

    def text(self, value: float) -> str:
        """The line with this value."""
        if value != self._value:
            self._value = value
            self._text = f"{self._series} {_written(value)}\n"
        return self._text


class _HistogramLines:
    """The lines of one histogram: cumulative counts, of which many neighbours are the same, their number and sum."""

    __slots__ = ("_lines", "_series", "_text", "_values")

    def __init__(self, samples: list[Sample]) -> None:
        self._series = [_series_of(sample.name, sample.labels) for sample in samples]
        self._values = [_NO_VALUE] * len(samples)
        self._lines = [""] * len(samples)
        self._text = ""

    def text(self, values: list[float]) -> str:
        """The lines with these values, in the order of the samples."""
        if values == self._values:
            return self._text
        series, lines = self._series, self._lines
        latest, written = _NO_VALUE, ""
        for place, (value, before) in enumerate(zip(values, self._values, strict=True)):
            if value != before:
                if value != latest:
                    latest, written = value, _written(value)
                lines[place] = f"{series[place]} {written}\n"
        self._values, self._text = values, "".join(lines)
        return self._text


def _written(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


class _OneFamily(Collector):
    """What `generate_latest` needs of a registry."""

    def __init__(self, family: object) -> None:
        self._family = family

    def collect(self) -> list[object]:  # type: ignore[override]
        return [self._family]


def _head_of(family: object) -> str:
    """The comment lines of a family."""
    text = generate_latest(_OneFamily(family)).decode()
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))


def _series_of(name: str, labels: dict[str, str]) -> str:
    """Name and labels of a series as the text format has them: labels sorted, their values escaped."""
    if not labels:
        return name
    escaped = ",".join(f'{label}="{_escape(text)}"' for label, text in sorted(labels.items()))
    return f"{name}{{{escaped}}}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
