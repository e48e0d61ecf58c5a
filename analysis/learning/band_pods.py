"""How far pods lie apart for as long as they live, in the unit of the app's own number, from what a gate has learned.

errorRatio, throughput: v(L) of the gate's noise at one hour, the length that a band judges: what pods keep from window
to window has averaged out by then, what they keep for good is left. latency: the same of the share of slow requests at
the boundary nearest to the band's quantile; a share that changes by e^x is a time that changes by e^(x / slope). gauge:
the variance of the pods' levels. It rests on as many differences as there were pods beside the first of each
ReplicaSet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.assumptions import BAND_HORIZON, BAND_POD_QUANTILE, BAND_STEP, POD_NOISE_SD
from analysis.band_pods import PodSpread
from analysis.learned import Learned, LearnedBoundary, LearnedCounts, LearnedLatency, LearnedLevels, Noise, NotLearned

ASSUMED_PODS = PodSpread(math.expm1(POD_NOISE_SD**2), math.inf)
"""What is taken for granted where no gate has learned how far its pods lie apart."""

_HOUR = BAND_HORIZON * BAND_STEP  # seconds
_SUFFIX = 6  # characters that a ReplicaSet adds to its name for a pod


def pod_spread(learned: Learned | NotLearned | None, pods: Sequence[str], window: float) -> PodSpread:
    """The spread of one gate's pods. pods: the names of all that it was learned from; window: seconds."""
    names = set(pods)
    freedom = float(max(len(names) - len({name[:-_SUFFIX] for name in names}), 1))
    match learned:
        case LearnedCounts():
            return PodSpread(_over_an_hour(learned.noise, window), freedom)
        case LearnedLatency():
            told = [one for one in learned.boundaries if one.slope > 0.0 and 0.0 < one.share < 1.0]
            if not told:
                return ASSUMED_PODS
            nearest = min(told, key=_away_from_quantile)
            share = math.log1p(_over_an_hour(nearest.noise, window))
            return PodSpread(math.expm1(share / nearest.slope**2), freedom)
        case LearnedLevels():
            # Names tell which ReplicaSet a level is of, but levels of all of them are one distribution to the gate.
            return PodSpread(math.expm1(float(np.var(learned.levels, ddof=1))), float(len(learned.levels) - 1))
    return ASSUMED_PODS


def _over_an_hour(noise: Noise, window: float) -> float:
    return float(noise.variation.of(np.array([_HOUR / window]))[0])


def _away_from_quantile(boundary: LearnedBoundary) -> float:
    return abs(math.log(boundary.share / (1.0 - BAND_POD_QUANTILE)))
