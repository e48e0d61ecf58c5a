"""What goes with a release beside its capacity. A companion is one file and one line in `COMPANIONS`; all are pure."""

from __future__ import annotations

from controller.companions.autoscaler import Autoscaler
from controller.companions.companion import Companion
from controller.companions.config import Config
from policies.schema import ReleasePolicySpec

__all__ = ["COMPANIONS", "Companion", "companions_of"]

COMPANIONS: tuple[Companion, ...] = (Autoscaler(), Config())


def companions_of(policy: ReleasePolicySpec) -> tuple[Companion, ...]:
    """The companions that releases under this policy need."""
    return tuple(each for each in COMPANIONS if each.accompanies(policy))
