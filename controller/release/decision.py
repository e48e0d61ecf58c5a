"""What can be decided about a release: one of five answers, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from controller.release.vocabulary import Cause, HoldReason, Phase


@dataclass(frozen=True, slots=True)
class Proceed:
    """Go on with the present batch: move towards its target, or watch it."""

    because: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the split exactly as it is."""

    reason: HoldReason
    because: str
    until: float | None
    then: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Begin batch `stage`."""

    stage: int
    because: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """Turn back: the incumbent to its full size, the contender to nothing."""

    cause: Cause
    because: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End the release; ends are absorbing."""

    phase: Phase
    cause: Cause
    because: str


Decision = Proceed | Hold | Advance | RollBack | Finish
