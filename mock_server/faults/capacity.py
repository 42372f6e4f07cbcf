"""capacity: the workers slow down, as if most machines were lost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mock_server.faults.base import Fault
from mock_server.units import Ratio

Factor = Annotated[Ratio, Field(gt=0)]


class Capacity(Fault):
    """Service takes 1/factor of its time: 0.2 is a loss of four fifths of the capacity."""

    kind: Literal["capacity"]
    factor: Factor

    def capacity_factor(self, strength: float) -> float:
        """From 1 down (or up) to the factor while the ramp lasts.

        >>> Capacity(kind="capacity", factor=0.2).capacity_factor(0.5)
        0.6
        """
        return 1.0 + (self.factor - 1.0) * strength

    @property
    def is_level(self) -> bool:
        """It slows the whole server."""
        return True
