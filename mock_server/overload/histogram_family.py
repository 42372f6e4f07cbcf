"""A metric family of histograms that makes its samples only for who asks for them.

A sample is an object with a dict of labels, and a histogram has dozens. Who scrapes often in virtual time reads the counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.samples import Exemplar, Sample


@dataclass(frozen=True, slots=True)
class HistogramRow:
    """One histogram of a family."""

    labels: tuple[str, ...]
    bounds: Sequence[str]
    """Upper bounds of the buckets, as their label has them; the last is +Inf."""
    counts: Sequence[float]
    """Cumulative, by bucket."""
    sum_value: float
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)
    """The latest exemplar by the number of its bucket. Only OpenMetrics shows them."""


class HistogramFamily(HistogramMetricFamily):
    """`HistogramMetricFamily` with rows instead of samples."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        self.rows: list[HistogramRow] = []
        super().__init__(name, documentation, labels=labels)

    @property
    def samples(self) -> list[Sample]:
        """What prometheus-client exports."""
        return [sample for row in self.rows for sample in self.samples_of(row)]

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        """The base sets its empty list: the rows are kept instead."""

    def samples_of(self, row: HistogramRow) -> list[Sample]:
        """What prometheus-client makes of one row."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self._labelnames)
        family.add_metric(
            row.labels,
            [
                (bound, count, row.exemplars[number]) if number in row.exemplars else (bound, count)
                for number, (bound, count) in enumerate(zip(row.bounds, row.counts, strict=True))
            ],
            row.sum_value,
        )
        return family.samples
