"""The release that history is replayed as: how many pods are on trial in each stage, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The stages of a release. targets: contender pods of each stage, ascending, for a fleet of so many pods.

    at_least, at_most: windows in a stage before it may end early, and before it ends in any case. Raises ValueError
    unless 1 <= at_least <= at_most.
    """

    targets: Callable[[int], tuple[int, ...]]
    at_least: int
    at_most: int

    def __post_init__(self) -> None:
        if not 1 <= self.at_least <= self.at_most:
            raise ValueError(f"a stage lasts from {self.at_least} to {self.at_most} windows: that is no stage")

    def stages(self, pods: int) -> tuple[int, ...]:
        """Contender pods of each stage in which there is still somebody to compare with; none below two pods."""
        most = pods - 1
        kept: list[int] = []
        for target in self.targets(pods):
            capped = min(target, most)
            if capped > (kept[-1] if kept else 0):
                kept.append(capped)
        return tuple(kept)
