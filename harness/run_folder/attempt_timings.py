"""The moments of every attempt of a run, as arrays: what a model of the server is fitted to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.base.model import OUTCOMES
from harness.run_folder.layout import RunFolder
from harness.run_folder.parquet import database, fetch_columns, parquet_path, sql_list
from harness.run_folder.tables import require_file

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

_QUERY = """
    SELECT station, form, page, attempts.attempt, sent_s, connected_s, body_sent_s, first_byte_s, done_s,
        enum_code(outcome::ENUM({outcomes}))::INTEGER AS outcome, coalesce(status, 0)::INTEGER AS status, retry_after_s,
        login_s, queue_s, server_s, plan.size_bytes
    FROM read_parquet(?, hive_partitioning = false) AS attempts JOIN (
        SELECT station, form, page, size_bytes FROM read_parquet({plan}, hive_partitioning = false)
    ) AS plan USING (station, form, page)
    WHERE outcome != 'withheld' ORDER BY sent_s, station, form, page, attempts.attempt
"""


@dataclass(frozen=True, slots=True)
class AttemptTimings:
    """Attempts that were sent, in the order in which they were. Shapes (attempts,).

    Times are seconds since T0 and durations seconds; NaN where an attempt did not get so far, or it is not known.
    """

    station: npt.NDArray[Any]
    form: npt.NDArray[Any]
    page: IntArray
    """Number of the page within its form."""
    attempt: IntArray
    """Counts the journal's rows of the page: withheld attempts, which are left out here, leave gaps."""
    sent_s: FloatArray
    connected_s: FloatArray
    body_sent_s: FloatArray
    first_byte_s: FloatArray
    done_s: FloatArray
    outcome: IntArray
    """Number in `OUTCOMES`."""
    status: IntArray
    """0 without a response."""
    retry_after_s: FloatArray
    login_s: FloatArray
    queue_s: FloatArray
    server_s: FloatArray
    """Service and store together, as the server's Server-Timing has them."""
    size_bytes: IntArray
    """Size of the photo."""

    def __len__(self) -> int:
        """How many attempts there are."""
        return len(self.sent_s)

    def take(self, chosen: npt.NDArray[Any]) -> AttemptTimings:
        """The chosen attempts: a mask, or positions."""
        return AttemptTimings(*(getattr(self, field.name)[chosen] for field in fields(self)))


def read_attempt_timings(folder: RunFolder) -> AttemptTimings:
    """The timings of a run whose attempts.parquet has been made. Raises RunFolderError if it or the plan is missing."""
    require_file(folder.plan)
    require_file(folder.attempts)
    query = _QUERY.format(outcomes=sql_list(OUTCOMES)[1:-1], plan=sql_list([parquet_path(folder.plan)])[1:-1])
    with database() as connection:
        columns = fetch_columns(connection, query, folder.attempts)
    return AttemptTimings(**columns)
