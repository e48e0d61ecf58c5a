"""The interval of a ratio of large counts, by a mixture of normals: a share's grid would be too coarse for it."""

from __future__ import annotations

import math

import numpy as np

from analysis.assumptions import INTERVAL_ALPHA, POD_QUANTILE
from analysis.contrast import IntArray, Noises, Sums, noises_between_sides
from analysis.special import FloatArray


def normal_intervals(
    sums: Sums, looks: IntArray, noises: Noises
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(low, most likely, high, what pods keep) of ln contender over incumbent events per exposure, at all looks.

    Each of shape (releases, looks). Chance and whatever a pod forgets within a few windows give ln ratio a variance s²;
    the mixture of normals over all ratios then bounds it by s √((1 + s²)(2 ln(1/α) + ln(1 + 1/s²))) at every look
    (Robbins 1970). What pods keep is for the caller to widen that with, in squares, as for shares. Without events of
    the incumbents both ends are infinite, and without any of the contender the lower one.
    """
    since = np.zeros_like(looks)
    ours, theirs = (np.cumsum(x, axis=1)[:, looks - 1] for x in (sums.ours, sums.theirs))
    expected = sums.contender_expected[:, looks]
    kept = noises_between_sides(sums, since, looks, noises, slow=True)
    passing = np.maximum(noises_between_sides(sums, since, looks, noises) ** 2 - kept**2, 0.0)
    spread = noises.spread[:, :, 0]
    s2 = spread * (1.0 / np.maximum(ours, 1.0) + 1.0 / np.maximum(theirs, 1e-9)) + passing
    chance = np.sqrt(s2 * (1.0 + s2) * (2.0 * math.log(1.0 / INTERVAL_ALPHA) + np.log1p(1.0 / s2)))
    told = (theirs > 0.0) & (expected > 0.0)
    middle = np.where(told, np.log(np.maximum(ours, 0.5) / np.where(told, expected, 1.0)), 0.0)
    low = np.where(told & (ours > 0.0), middle - chance, -np.inf)
    return low, middle, np.where(told, middle + chance, np.inf), POD_QUANTILE * kept
