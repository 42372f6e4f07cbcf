"""Prometheus' text format, written by a process that scrapes the same series again and again."""

from __future__ import annotations

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_Key = tuple[str, tuple[tuple[str, str], ...]]


class ExpositionWriter:
    """Writes the exposition of collectors as `generate_latest` does, several times as fast.

    That function escapes name and labels of every sample each time; here a series is written once, with a first value,
    and kept up to that value.
    """

    def __init__(self) -> None:
        self._heads: dict[str, str] = {}
        self._series: dict[_Key, str] = {}

    def write(self, collector: Collector) -> str:
        """The exposition of the collector's present families."""
        lines = []
        for family in collector.collect():
            head = self._heads.get(family.name)
            if head is None:
                head = self._heads[family.name] = _head_of(family)
            lines.append(head)
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                series = self._series.get(key)
                if series is None:
                    series = self._series[key] = _series_of(sample.name, sample.labels)
                value: str = floatToGoString(sample.value)  # type: ignore[no-untyped-call]
                lines.append(f"{series} {value}\n")
        return "".join(lines)


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
