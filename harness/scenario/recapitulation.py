"""The table [recapitulation]: how the committee of a kecamatan works through what was uploaded.

All its durations are election time; `time_scale` of the scenario turns the run's seconds into it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mock_server.profile.units import Duration, FrozenModel

DAY_S = 86_400.0


class RecapitulationOptions(FrozenModel):
    """The recapitulation that follows the upload, in election time. Every kecamatan has its own panels."""

    panels: Annotated[int, Field(ge=1, le=100)] = 4
    """Panels that work side by side in each kecamatan; kelurahan are dealt to them, the largest first."""
    per_station: Annotated[Duration, Field(gt=0)] = 3600.0
    """How long a panel takes to read out one station."""
    by_hand: Annotated[Duration, Field(ge=0)] = 0.0
    """What a station that was never completely uploaded takes on top, because it is entered by hand."""
    open: Annotated[Duration, Field(ge=0, lt=DAY_S)] = 9 * 3600.0
    """Time of day at which the panels begin."""
    close: Annotated[Duration, Field(gt=0, le=DAY_S)] = 21 * 3600.0
    """Time of day at which they stop; a station that is not finished goes on the next morning."""
    t0: Annotated[Duration, Field(ge=0, lt=DAY_S)] = 0.0
    """Time of day at T0, on day 0."""
    first_day: Annotated[int, Field(ge=0, le=1000)] = 0
    """First day on which the panels work; day 0 is the day of T0."""
    deadline: Annotated[Duration, Field(gt=0)] = 17 * DAY_S
    """When the recapitulation must have ended, counted from T0."""
    begin: Literal["complete", "any"] = "complete"
    """complete: a kelurahan begins when its last station is complete; any: a panel reads whichever of its stations is there."""

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.open >= self.close:
            message = f"open ({self.open / 3600:g}h) must be earlier than close ({self.close / 3600:g}h)"
            raise ValueError(message)
        return self
