"""Do the pods of the last hour still differ as they did in history? Replays protect only while they do.

D is the mean, over pods and blocks of five minutes, of the squared distance of a pod's log rate from the mean of all
pods, in units of what learned noise and chance make of it; each term is cut off at 9, so that one pod does not decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from analysis.assumptions import PRESENT_BAND, PRESENT_CLIP, PRESENT_SECONDS
from analysis.contrast import log_variances
from analysis.learned import LearnedCounts, LearnedLatency, LearnedLevels, Noise
from analysis.levels import Levels
from analysis.samples import Histogram, Tally
from analysis.special import FloatArray


class Present(StrEnum):
    """How the noise of the last hour compares with history's."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


def unevenness(tally: Tally, noise: Noise) -> float | None:
    """D of one stretch; None without a whole block in which two pods served and events were seen."""
    length = max(round(PRESENT_SECONDS / tally.window), 1)
    blocks = tally.ends.size // length
    if not blocks or not tally.events.any():
        return None
    shape = (len(tally.pods), blocks, length)
    kept = blocks * length
    x, n = (values[:, -kept:].reshape(shape) for values in (tally.events, tally.exposure))
    total = n.sum(axis=0)
    e = (n * (x.sum(axis=0) / np.where(total > 0.0, total, 1.0))).sum(axis=2)
    served = (n > 0.0).sum(axis=2)
    there = served >= 0.8 * length
    pods = there.sum(axis=0)
    usable = there & (pods >= 2)
    if not usable.any():
        return None
    h = np.log((x.sum(axis=2) + 1.0) / (e + 1.0))
    middle = np.where(there, h, 0.0).sum(axis=0) / np.maximum(pods, 1)
    variance = log_variances(noise, length + 1)[length] + noise.spread / (e + 1.0)
    terms = np.minimum((h - middle) ** 2 / variance, PRESENT_CLIP) * (pods / np.maximum(pods - 1, 1))
    return float(terms[usable].mean())


def usual(segments: Sequence[Tally], noise: Noise) -> tuple[float, float] | None:
    """The 5 and 95 % points of D over the segments of history."""
    return usual_of([unevenness(one, noise) for one in segments])


def usual_of(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The same for values of D that are at hand; None where none is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, PRESENT_BAND)
    return float(low), float(high)


def worth(values: Sequence[float | None], latest: int) -> FloatArray:
    """How much each stretch says about the noise of the last ones: 1 for one as uneven, less for a calmer one.

    values: D of each stretch in order of time, under one noise. latest: how many the last ones are, 0 for none.
    """
    known = [value for value in values[len(values) - latest :] if value]
    last = float(np.mean(known)) if known else 0.0
    return np.array([min(value / last, 1.0) if value is not None and last else 1.0 for value in values])


def latency_unevenness(histogram: Histogram, noises: Sequence[tuple[float, Noise]]) -> float | None:
    """D of bucket counts: the mean over boundaries (seconds, noise) that the histogram has."""
    values = []
    for seconds, noise in noises:
        index = int(np.argmin(np.abs(histogram.boundaries - seconds)))
        if abs(float(histogram.boundaries[index]) - seconds) <= 1e-9 * seconds:
            found = unevenness(histogram.above(index), noise)
            if found is not None:
                values.append(found)
    return float(np.mean(values)) if values else None


def compared(learned: LearnedCounts | LearnedLatency | LearnedLevels, last_hour: Tally | Histogram | Levels) -> Present:
    """Whether the last hour is like history. Exposures must be made with the learned mix, as history's were.

    Unknown for gauges: D asks how the counts of pods differ, and levels are no counts.
    """
    if isinstance(learned, LearnedLevels) or learned.usual is None:
        return Present.UNKNOWN
    if isinstance(learned, LearnedLatency):
        if not isinstance(last_hour, Histogram):
            raise TypeError("latency is compared by its histogram")
        found = latency_unevenness(last_hour, [(bound.seconds, bound.noise) for bound in learned.boundaries])
    else:
        if not isinstance(last_hour, Tally):
            raise TypeError("counts are compared by their tally")
        found = unevenness(last_hour, learned.noise)
    if found is None:
        return Present.UNKNOWN
    low, high = learned.usual
    return Present.SAME if low <= found <= high else Present.CHANGED
