"""The stages of a release as a sequence: which one follows, what people call them, where a way back begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from controller.release.record import Stage
from policies.kept import kept
from policies.schema import ReleasePolicySpec

HAND_BACK = "hand back"  # the last stage of whatever borrows: everything is given back before the release has succeeded


class Staged(Protocol):
    """A strategy, as far as its stages go."""

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]: ...


@kept  # a tick asks for them a dozen times
def stages_of(policy: ReleasePolicySpec, desired: int, strategy: Staged, borrows: bool = False) -> tuple[Stage, ...]:
    """The stages of a release of `desired` pods; where it borrows, with one that gives everything back."""
    stages = strategy.stages(policy, desired)
    return handing_back(stages) if borrows else stages


def next_stage(stages: Sequence[Stage], stage: int) -> int | None:
    """The next stage that differs in pods, weight or name, or None after the last one. -1 stands before the first."""
    if stage < 0:
        return 0
    return next((n for n in range(stage + 1, len(stages)) if _shape(stages[n]) != _shape(stages[stage])), None)


def _shape(stage: Stage) -> tuple[object, ...]:
    return stage.contender, stage.incumbent, stage.weight, stage.name


def last_batch(stages: Sequence[Stage]) -> int:
    """Where a release begins that no gate watches: the last batch, or the first stage where there are no batches."""
    return next((n for n in reversed(range(len(stages))) if not stages[n].name), 0)


def handing_back(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages with a last one in which everything borrowed is given back."""
    if stages[-1].name == HAND_BACK:
        return stages
    return (*stages, replace(stages[-1], gated=False, by_hand=False, least=None, name=HAND_BACK))


def stage_name(stages: Sequence[Stage], stage: int) -> str:
    """What people call a stage: its own name, the canary, or a batch by its number."""
    if not 0 <= stage < len(stages):
        return f"stage {stage}"
    if stages[stage].name:
        return stages[stage].name
    batches = sum(not each.name for each in stages) - 1
    return "the canary" if stage == 0 else f"batch {stage} of {batches}"
