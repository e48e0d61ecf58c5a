"""How far pods lie apart for as long as they live, in the unit of the app's own number, from a gate's history.

errorRatio, throughput: with E_is the events that pod i would have had in segment s at the rate of all pods of the same
windows, and D_is what it had beyond that, chance and passing noise of two segments have nothing in common, so

    v = Σ_i Σ_{s≠t} D_is D_it  /  Σ_i g_i Σ_{s≠t} E_is E_it        g_i = (1 - f_i)² + Σ_{j≠i} f_j²

is the relative variance of what a pod keeps from one segment to the next (by moments; f_i: the pod's part of the
expected events). Where no pod was seen twice it is what is left of v(L), the noise between pods, over the longest
stretch. latency: the same of the requests above the boundary nearest to the band's quantile; a share that changes by
e^x is a time that changes by e^(x / slope). gauge: the variance of the pods' levels. It rests on as many differences as
there were pods beside the first of each ReplicaSet.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from analysis.assumptions import (
    BAND_POD_QUANTILE,
    POD_NOISE_SD,
    SHARE_VARIATION_FLOOR,
    VARIATION_FLOOR,
    VARIATION_LENGTHS,
)
from analysis.band_pods import PodSpread
from analysis.learned import Learned, LearnedBoundary, LearnedCounts, LearnedLatency, LearnedLevels, Noise, NotLearned
from analysis.levels import Levels
from analysis.samples import Histogram, Tally
from analysis.special import FloatArray

ASSUMED_PODS = PodSpread(math.expm1(POD_NOISE_SD**2), math.inf)
"""What is taken for granted where no gate has learned how far its pods lie apart."""

_SUFFIX = 6  # characters that a ReplicaSet adds to its name for a pod


def pod_spread(learned: Learned | NotLearned | None, segments: Sequence[Tally | Histogram | Levels]) -> PodSpread:
    """The spread of one gate's pods, from what the gate has learned and the segments that it has learned it from."""
    match learned:
        case LearnedCounts():
            return _counted([one for one in segments if isinstance(one, Tally)], learned.noise, VARIATION_FLOOR)
        case LearnedLatency():
            told = [one for one in learned.boundaries if one.slope > 0.0 and 0.0 < one.share < 1.0]
            if not told:
                return ASSUMED_PODS
            nearest = min(told, key=_away_from_quantile)
            share = _counted(_above(nearest, segments), nearest.noise, SHARE_VARIATION_FLOOR)
            return PodSpread(math.expm1(math.log1p(share.variance) / nearest.slope**2), share.freedom)
        case LearnedLevels():
            # Levels of all ReplicaSets are one distribution to the gate, whatever set them apart.
            return PodSpread(math.expm1(float(np.var(learned.levels, ddof=1))), float(len(learned.levels) - 1))
    return ASSUMED_PODS


def _above(boundary: LearnedBoundary, segments: Sequence[Tally | Histogram | Levels]) -> list[Tally]:
    """The slow requests of all segments that know the boundary."""
    found = []
    for one in segments:
        bounds = one.boundaries.tolist() if isinstance(one, Histogram) else []
        if isinstance(one, Histogram) and boundary.seconds in bounds:
            found.append(one.above(bounds.index(boundary.seconds)))
    return found


def _counted(segments: Sequence[Tally], noise: Noise, floor: float) -> PodSpread:
    """Of counts, `floor` at least; `noise` is asked where no pod was seen in two segments."""
    lives: dict[str, list[tuple[float, float, float]]] = {}
    for tally in segments:
        load = tally.exposure.sum(axis=0)
        rate = tally.events.sum(axis=0) / np.where(load > 0.0, load, 1.0)
        expected = (tally.exposure * rate).sum(axis=1)
        share = expected / max(float(expected.sum()), 1e-300)
        room = (1.0 - share) ** 2 + (share**2).sum() - share**2
        beyond = tally.events.sum(axis=1) - expected
        for row, pod in enumerate(tally.pods):
            if expected[row] > 0.0:
                lives.setdefault(pod, []).append((float(beyond[row]), float(expected[row]), float(room[row])))
    again = {pod: np.array(life) for pod, life in lives.items() if len(life) > 1}
    over = sum(_pairs(life[:, 0]) for life in again.values())
    under = sum(_pairs(life[:, 1]) * float(life[:, 2].mean()) for life in again.values())
    if under <= 0.0:
        return PodSpread(max(_left(noise), floor), _freedom(lives))
    return PodSpread(max(over / under, floor), _freedom(again))


def _pairs(values: FloatArray) -> float:
    """Sum of the products of all pairs of two different values."""
    return float(values.sum() ** 2 - (values**2).sum())


def _left(noise: Noise) -> float:
    """The relative variance between pods that the longest stretch does not average out."""
    return float(noise.variation.slow().of(np.array([float(VARIATION_LENGTHS[-1])]))[0])


def _freedom(pods: Collection[str]) -> float:
    return float(max(len(pods) - len({pod[:-_SUFFIX] for pod in pods}), 1))


def _away_from_quantile(boundary: LearnedBoundary) -> float:
    return abs(math.log(boundary.share / (1.0 - BAND_POD_QUANTILE)))
