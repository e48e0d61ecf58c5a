"""How levels of new pods grow into what they become, from pods that history has seen from their birth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import GROWTH_AGES, GROWTH_SHIFT, GROWTH_SPREAD, LEVEL_PLATEAU, NEWBORN_PODS
from analysis.learned import Growth
from analysis.levels import Levels
from analysis.special import FloatArray


@dataclass(frozen=True, slots=True)
class Growing:
    """The age from which pods count as grown up, and how they differ before it; no steps where that is not known."""

    plateau: float
    steps: tuple[Growth, ...] = ()


def growth_of(stretches: Sequence[Levels], offset: float) -> Growing:
    """Growth by age class, each pod against its own level when it was grown up: past the last class, or of unknown age.

    A class counts with at least eight pods in it. The plateau is the first age after which the median pod is within 5 %
    of its later level and pods differ from theirs by less than 10 %; the last class where they never get there, or are
    not seen to. With fewer newborn pods nothing is known: then the plateau is assumed, and younger pods cannot be
    compared at all.
    """
    table = _by_age(stretches, offset)
    steps: list[Growth] = []
    for place, until in enumerate(GROWTH_AGES):
        apart = table[:, place] - table[:, -1]
        apart = apart[np.isfinite(apart)]
        if apart.size < NEWBORN_PODS:
            break
        steps.append(Growth(until, float(np.median(apart)), float(apart.std(ddof=1))))
    if not steps:
        return Growing(LEVEL_PLATEAU)
    kept = list(steps)
    while kept and abs(kept[-1].shift) <= GROWTH_SHIFT and kept[-1].sd <= GROWTH_SPREAD:
        kept.pop()
    if len(kept) == len(steps):
        return Growing(GROWTH_AGES[-1], tuple(steps))
    return Growing(kept[-1].until if kept else 0.0, tuple(kept))


def _by_age(stretches: Sequence[Levels], offset: float) -> FloatArray:
    """Mean ln level of each pod in each age class, the last column being grown up; NaN where it was not seen."""
    edges = np.array([0.0, *GROWTH_AGES])
    rows: dict[str, int] = {}
    for part in stretches:
        for pod in part.pods:
            rows.setdefault(pod, len(rows))
    total, count = np.zeros((len(rows), edges.size)), np.zeros((len(rows), edges.size))
    for part in stretches:
        there = part.seen
        row = np.broadcast_to(np.array([rows[pod] for pod in part.pods], dtype=np.int64)[:, None], there.shape)[there]
        column = np.searchsorted(edges, part.ages[there], side="right") - 1
        np.add.at(total, (row, column), np.log(part.values[there] + offset))
        np.add.at(count, (row, column), 1.0)
    means: FloatArray = np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan)
    return means
