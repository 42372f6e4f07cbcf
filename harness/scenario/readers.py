"""The readers of a scenario, the table [readers]: who loads the published results while the stations upload.

harness/plan/readers.py draws when they come and what they read, harness/drive/readers.py sends.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from harness.base.safe_files import LIST_AS_TUPLE
from mock_server.profile.units import Duration, EventRate, FrozenModel

Level = Literal["nation", "province", "kabupaten", "kecamatan", "kelurahan", "station"]
LEVEL_DIGITS: dict[Level, int] = {
    "nation": 0, "province": 2, "kabupaten": 4, "kecamatan": 6, "kelurahan": 10, "station": 13,
}  # fmt: skip
"""Levels of the mock's public read API, and how many leading digits of a station's code name a place of that level."""
MAX_READS_IN_FLIGHT = 5000
"""Of one worker at once: a server that hangs must not take the descriptors that the stations need."""
_PATH = re.compile(r"/[!-~]*")


def _check_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        message = f'"{path}" should be a path that begins with / and has neither spaces nor other characters than ASCII'
        raise ValueError(message)
    return path


class ReaderOptions(FrozenModel):
    """Readers of the published results: they come whatever the server does, and each makes one GET."""

    rate: Annotated[EventRate, Field(gt=0, le=100_000)]
    """How many reads begin per unit of time, on average (a Poisson process), as in "50/s"."""
    levels: Annotated[tuple[Level, ...], LIST_AS_TUPLE, Field(min_length=1)] = tuple(LEVEL_DIGITS)
    """What they read of the mock's public read API, each level equally often; the place is that of a random station."""
    paths: Annotated[
        tuple[Annotated[str, AfterValidator(_check_path)], ...], LIST_AS_TUPLE, Field(max_length=10_000)
    ] = ()
    """Paths to read instead of `levels`, each equally often; needed for an external target."""
    cached: bool = True
    """Whether a cache may answer; false sends Cache-Control: no-cache, and the mock sums up anew."""
    conditional: bool = False
    """Whether a path that was read before is asked for with If-None-Match, as a CDN revalidates what it has."""
    timeout: Annotated[Duration, Field(gt=0)] = 10.0
    """How long a read may take, from connecting to the complete response."""

    @field_validator("paths")
    @classmethod
    def _one_or_the_other(cls, paths: tuple[str, ...], known: ValidationInfo) -> tuple[str, ...]:
        # a validator of this field, not of the model, so that the message names readers.paths
        if paths and known.data.get("levels", tuple(LEVEL_DIGITS)) != tuple(LEVEL_DIGITS):
            message = "and readers.levels are two ways to say what is read: leave one of them out"
            raise ValueError(message)
        return paths
