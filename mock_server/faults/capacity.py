"""capacity: the workers slow down, as if most machines were lost."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mock_server.faults.base import Fault, Scope
from mock_server.profile.units import Ratio


class Capacity(Fault):
    """Service takes 1/factor of its usual time: a factor of 0.2 is a loss of four fifths of the capacity."""

    scope: ClassVar[Scope] = "work"
    kind: Literal["capacity"]
    factor: Annotated[Ratio, Field(gt=0)]
    """What the workers' speed is multiplied by."""

    def capacity_factor(self, strength: float) -> float:
        """Falls from 1 to the factor while the ramp lasts.

        >>> Capacity(kind="capacity", factor=0.2).capacity_factor(0.5)
        0.6
        """
        return 1.0 + (self.factor - 1.0) * strength
