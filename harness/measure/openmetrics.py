"""Exports a run's scrapes as one OpenMetrics text, the input of `promtool tsdb create-blocks-from openmetrics`.

Grammar: https://prometheus.io/docs/specs/om/open_metrics_spec/. All samples of a family must be together, within it those of
one set of labels, in the order of time. The scrapes are in Prometheus' older text format; its lines differ only in the names of
counter families.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from harness.measure.prometheus import target_labels
from harness.run_folder import scrape_log

_DECLARED = re.compile(r"# (TYPE|HELP) (\S+) ?(.*)")
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? +(\S+)(?: +-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"')
_SAMPLE_LABELS = re.compile(r'\b(?:le|quantile)="[^"]*",?')
_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
_BUFFERED_BYTES = 32 * 1024 * 1024
_UP = "up"


def export_openmetrics(folder: Path, labels: Mapping[str, str], t0_epoch: float) -> Iterator[str]:
    """The text of all scrapes in a folder, in pieces of whole lines; the last is `# EOF`.

    Every series gets `labels` (among them `run`), and the `job`, `target` and `instance` that a Prometheus would have given it;
    `up` shows which scrapes failed. Times have milliseconds, as Prometheus stores them.
    """
    with tempfile.TemporaryFile("w+b") as file:
        families = _MetricFamilies(file)
        families.declare(_UP, "gauge", "1 if the scrape succeeded")
        for target in scrape_log.list_targets(folder):
            own = target_labels(target, labels) | {"instance": f"{labels['run']}/{target}"}
            _add_target(families, folder, target, own, t0_epoch)
        yield from families.text()
        yield "# EOF\n"


class _Segment(NamedTuple):
    offset: int
    size: int


@dataclass
class _MetricSamples:
    """The samples of one set of labels: the latest in memory, earlier ones in the file."""

    lines: list[str] = field(default_factory=list)
    written: list[_Segment] = field(default_factory=list)


@dataclass
class _MetricFamily:
    type: str
    help: str
    metrics: dict[str, _MetricSamples] = field(default_factory=dict)


class _MetricFamilies:
    """Metric families by name, in the order of their first appearance.

    Samples arrive by time and must leave by series: the samples of a long run go to a temporary file in between.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._found: dict[str, _MetricFamily] = {}
        self._family_of: dict[str, str] = {}
        self._buffered = 0

    def declare(self, name: str, kind: str, text: str) -> None:
        """Set the type of a family; the first declaration wins, as servers may be restarted with other help texts."""
        members = [name + suffix for suffix in _SUFFIXES.get(kind, ())]
        if kind == "counter" and name.endswith("_total"):
            members, name = [name], name.removesuffix("_total")
        elif kind in {"counter", "untyped"}:
            kind = "unknown"  # in OpenMetrics a counter's sample must end in _total
        self._found.setdefault(name, _MetricFamily(kind, text))
        for member in (name, *members):
            self._family_of.setdefault(member, name)

    def add(self, sample: str, metric: str, line: str) -> None:
        """Add a sample's line to its family; `metric` has the labels that its family is grouped by."""
        name = self._family_of.get(sample)
        if name is None:
            self.declare(sample, "untyped", "")
            name = sample
        self._found[name].metrics.setdefault(metric, _MetricSamples()).lines.append(line)
        self._buffered += len(line)
        if self._buffered > _BUFFERED_BYTES:
            self._write_out()

    def text(self) -> Iterator[str]:
        """The whole text, family after family."""
        for name, family in self._found.items():
            if family.metrics:
                yield f"# TYPE {name} {family.type}\n"
            if family.metrics and family.help:
                yield f"# HELP {name} {family.help}\n"
            for metric in family.metrics.values():
                for offset, size in metric.written:
                    self._file.seek(offset)
                    yield self._file.read(size).decode()
                yield "".join(metric.lines)

    def _write_out(self) -> None:
        for family in self._found.values():
            for metric in family.metrics.values():
                if metric.lines:
                    offset = self._file.tell()
                    metric.written.append(_Segment(offset, self._file.write("".join(metric.lines).encode())))
                    metric.lines.clear()
        self._buffered = 0


class _SeriesLabels:
    """Joins the labels of a series with those of its target; its own win, as with Prometheus' `honor_labels`."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = {label: f'{label}="{_escape(text)}"' for label, text in labels.items()}
        self._known: dict[str, tuple[str, str]] = {}

    def __call__(self, inner: str) -> tuple[str, str]:
        """The labels that group a sample, and the sample's own; `inner` is the text between the braces, or ""."""
        if inner not in self._known:
            own = set(_LABEL.findall(inner))
            more = ",".join(text for label, text in self._labels.items() if label not in own)
            joined = f"{{{inner.rstrip(', ')},{more}}}" if inner else f"{{{more}}}"
            self._known[inner] = (_SAMPLE_LABELS.sub("", joined), joined)
        return self._known[inner]


def _add_target(families: _MetricFamilies, folder: Path, target: str, labels: dict[str, str], t0_epoch: float) -> None:
    """Add all scrapes of a target."""
    before = float("-inf")
    labelled = _SeriesLabels(labels)
    for scrape in scrape_log.read_scrapes(folder, target):
        at = round(t0_epoch + scrape.t_s, 3)
        if at <= before:
            continue  # two scrapes in one millisecond: times must increase
        before = at
        families.add(_UP, *_format_line(_UP, labelled(""), str(int(bool(scrape.text))), at))
        _add_text(families, scrape.text, labelled, at)


def _add_text(families: _MetricFamilies, text: str, labelled: _SeriesLabels, at: float) -> None:
    helps: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            declared = _DECLARED.match(line)
            if declared is not None and declared[1] == "HELP":
                helps[declared[2]] = declared[3].replace('"', '\\"')
            elif declared is not None:
                families.declare(declared[2], declared[3], helps.get(declared[2], ""))
        elif sample := _SAMPLE.fullmatch(line):
            families.add(sample[1], *_format_line(sample[1], labelled(sample[2] or ""), sample[3], at))


def _format_line(name: str, labels: tuple[str, str], value: str, at: float) -> tuple[str, str]:
    metric, joined = labels
    return metric, f"{name}{joined} {value} {at:.3f}\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
