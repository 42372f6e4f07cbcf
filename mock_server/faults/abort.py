"""abort: requests are answered with an error status before their body is read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mock_server.faults.base import Fault, RequestActions
from mock_server.profile.units import Duration, FrozenModel

Status = Annotated[int, Field(ge=400, le=599)]


class WeightedStatus(FrozenModel):
    """One status of a list, drawn in proportion to its weight."""

    status: Status
    """Status of the response."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """How often, relative to the others."""


def _single_status_as_list(value: object) -> object:
    return [{"status": value}] if isinstance(value, int) else value


StatusChoices = Annotated[
    tuple[WeightedStatus, ...],
    BeforeValidator(_single_status_as_list, json_schema_input_type=Status | tuple[WeightedStatus, ...]),
    Field(strict=False, min_length=1),
]


class Abort(Fault):
    """The server answers with an error instead of doing the work."""

    kind: Literal["abort"]
    status: StatusChoices = (WeightedStatus(status=503),)
    """One status from 400 to 599, or a list of {status, weight}."""
    retry_after: Duration | None = None
    """Sent as Retry-After, rounded up to whole seconds."""

    def status_for(self, draw: float) -> int:
        """The status that this draw selects.

        >>> Abort(kind="abort", status=[{"status": 500, "weight": 3}, {"status": 503}]).status_for(0.8)
        503
        """
        # Walks through the weights until the draw is used up; rounding may leave a rest, then the last one is it.
        left = draw * sum(choice.weight for choice in self.status)
        for choice in self.status:
            left -= choice.weight
            if left < 0:
                return choice.status
        return self.status[-1].status

    async def on_request(self, request: RequestActions, draw: float) -> None:
        """Answers with the chosen status."""
        raise request.refuse(self.status_for(draw), f'fault "{self.name}"', self.retry_after)
