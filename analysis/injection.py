"""History made worse: what the same pods would have counted had their version been a bad one.

Harm is added to what was seen and never multiplied into it: an observed count holds its own luck, and twice the luck
is not twice the rate. Extra errors are drawn from the rate around the window; a slower answer is moved to the bucket
where it would have been counted, by the interpolated distribution of its own pod and window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from analysis.assumptions import SLOW_FACTOR
from analysis.contrast import IntArray
from analysis.learning.counts import rates
from analysis.learning.history import CountHistory, History, LatencyHistory, LevelHistory
from analysis.learning.replay import Replay, smoothed
from analysis.levels import Levels
from analysis.samples import BoolArray, Histogram, Tally
from analysis.special import FloatArray


class How(StrEnum):
    """In which way a version is worse."""

    RATE = "rate"  # events per request times `size`
    SCALE = "scale"  # every request takes `size` times as long
    TAIL = "tail"  # a share `size` of the requests takes 20 times as long
    LEVEL = "level"  # every reading times `size`


@dataclass(frozen=True, slots=True)
class Harm:
    """One way to be worse, and how much; `label` is how it is told."""

    how: How
    size: float
    label: str


def _of(how: How, form: str, *sizes: float) -> tuple[Harm, ...]:
    return tuple(Harm(how, size, form.format(size, 100.0 * (size - 1.0))) for size in sizes)


SLOW_TAIL = Harm(How.TAIL, 0.02, "2 % slow tail")
MORE_EVENTS = _of(How.RATE, "x{0:g}", 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
FEWER_EVENTS = _of(How.RATE, "{1:+.0f} %", 0.9, 0.8, 0.5, 0.25)
SLOWER = (*_of(How.SCALE, "x{0:g}", 1.15, 1.3, 1.5, 2.0), SLOW_TAIL)
HIGHER = _of(How.LEVEL, "{1:+.0f} %", 1.2, 1.5, 2.0, 3.0)
LOWER = _of(How.LEVEL, "{1:+.0f} %", 0.8, 0.5, 0.25)


def made_worse(history: History, harm: Harm, rng: np.random.Generator) -> History:
    """The same history with one harm in every pod. Raises ValueError for a harm that such a gate cannot have."""
    match history, harm.how:
        case CountHistory(), How.RATE:
            return replace(history, segments=tuple(more_events(one, harm.size, rng) for one in history.segments))
        case LatencyHistory(), How.SCALE:
            return replace(history, segments=tuple(slower_by(one, harm.size, rng) for one in history.segments))
        case LatencyHistory(), How.TAIL:
            return replace(history, segments=tuple(slow_tail(one, harm.size, rng) for one in history.segments))
        case LevelHistory(), How.LEVEL:
            return replace(
                history, segments=tuple(replace(one, values=one.values * harm.size) for one in history.segments)
            )
    raise ValueError(f"{harm.label} is not a harm of {type(history).__name__}")


def more_events(tally: Tally, factor: float, rng: np.random.Generator) -> Tally:
    """Events plus Binomial(n, (factor - 1) p), p the smoothed rate of the pod; a factor below 1 thins them instead.

    Where there are more events than exposure (events per pod, not per request) the extra ones are Poisson.
    """
    if factor < 1.0:
        fewer = rng.binomial(np.rint(tally.events).astype(np.int64), factor).astype(np.float64)
        return replace(tally, events=fewer)
    chance = (factor - 1.0) * pod_rates(tally)
    extra: FloatArray
    if bool((tally.events <= tally.exposure).all()):
        requests = np.rint(tally.exposure).astype(np.int64)
        extra = rng.binomial(requests, np.clip(chance, 0.0, 1.0)).astype(np.float64)
        return replace(tally, events=np.minimum(tally.events + extra, tally.exposure))
    extra = rng.poisson(chance * tally.exposure).astype(np.float64)
    return replace(tally, events=tally.events + extra)


def pod_rates(tally: Tally) -> FloatArray:
    """Events per unit of exposure of each pod around each window; shape (pods, windows).

    A pod that fails more than others would fail more in a worse version too, but its count holds luck as well. So the
    rate of all pods is corrected twice, by what the pod counted in the whole stretch and then by what it counted around
    the window, each time drawn back towards what was expected.
    """
    overall = rates(tally)
    expected = tally.exposure * overall
    own = _drawn_back(tally.events.sum(axis=1, keepdims=True), expected.sum(axis=1, keepdims=True))
    result: FloatArray = overall * own * _drawn_back(smoothed(tally.events), smoothed(expected * own))
    return result


def _drawn_back(events: FloatArray, expected: FloatArray) -> FloatArray:
    """(X + 1/v)/(E + 1/v), v the variance of X/E beyond chance over all entries (Gamma-Poisson shrinkage)."""
    beyond = float(((events - expected) ** 2 - expected).sum()) / max(float((expected**2).sum()), 1e-12)
    steady = 1.0 / max(beyond, 1e-4)
    result: FloatArray = (events + steady) / (expected + steady)
    return result


def slower_by(histogram: Histogram, factor: float, rng: np.random.Generator) -> Histogram:
    """Every request takes `factor` >= 1 times as long: it is above b now if it was above b / factor before.

    Of the bucket in which b / factor lies, each pod and window gives the part above it by chance. How large that part
    is follows from the distribution of all pods, ln share being straight in ln latency between two boundaries: inside a
    wide bucket of the tail most requests lie near its lower end.
    """
    bounds, slower = histogram.boundaries, histogram.slower
    layers = np.concatenate([histogram.tally.exposure[None], slower])
    shares = layers.sum(axis=(1, 2)) / max(float(layers[0].sum()), 1e-12)
    out = np.empty_like(slower)
    for j, bound in enumerate(bounds):
        sought = float(bound) / factor
        i = int(np.searchsorted(bounds, sought))
        part = _above(sought, 0.0 if i == 0 else float(bounds[i - 1]), float(bounds[i]), *map(float, shares[i : i + 2]))
        inside = np.maximum(np.rint(layers[i] - layers[i + 1]), 0.0).astype(np.int64)
        out[j] = layers[i + 1] + rng.binomial(inside, part)
    return replace(histogram, slower=np.minimum.accumulate(out, axis=0))


def _above(sought: float, left: float, right: float, upper: float, lower: float) -> float:
    """The part of a bucket's requests above a latency inside it; `upper` and `lower`: shares above its two ends."""
    if upper <= lower:
        return 0.0
    if left <= 0.0 or lower <= 0.0:
        return min(max((right - sought) / (right - left), 0.0), 1.0)
    along = math.log(sought / left) / math.log(right / left)
    share = upper * math.exp(along * math.log(lower / upper))
    return min(max((share - lower) / (upper - lower), 0.0), 1.0)


def slow_tail(histogram: Histogram, share: float, rng: np.random.Generator) -> Histogram:
    """A share of the requests of every pod takes 20 times as long, whichever they were."""
    total = np.rint(histogram.tally.exposure).astype(np.int64)
    slow = rng.binomial(total, share)
    far = slower_by(histogram, SLOW_FACTOR, rng).slower
    # Above each boundary as many more as the slow ones would be there and were not: monotone, as both parts are.
    part = np.where(total > 0, slow / np.maximum(total, 1), 0.0)
    mixed = np.rint((1.0 - part) * histogram.slower + part * np.maximum(far, histogram.slower))
    return replace(histogram, slower=np.minimum.accumulate(mixed, axis=0))


def turned_tally(usual: Tally, worse: Tally, replay: Replay, onset: int) -> Tally:
    """The windows of a replay: its contenders' counts are the worse ones from when they turn, and from `onset` on.

    onset: windows after the beginning of the release.
    """
    place = _places(usual.ends, replay)
    keep = (place >= 0) & (place < replay.ends[-1])
    bad = _bad(usual.pods, place[keep], replay, onset)
    kept = usual.keep_windows(keep)
    return replace(
        kept,
        exposure=np.where(bad, worse.exposure[:, keep], kept.exposure),
        events=np.where(bad, worse.events[:, keep], kept.events),
    )


def turned_histogram(usual: Histogram, worse: Histogram, replay: Replay, onset: int) -> Histogram:
    """The same for bucket counts."""
    place = _places(usual.tally.ends, replay)
    keep = (place >= 0) & (place < replay.ends[-1])
    bad = _bad(usual.tally.pods, place[keep], replay, onset)
    slower = np.where(bad[None], worse.slower[:, :, keep], usual.slower[:, :, keep])
    return Histogram(usual.boundaries, slower, usual.tally.keep_windows(keep))


def turned_levels(usual: Levels, worse: Levels, replay: Replay, onset: int) -> Levels:
    """The same for the readings of a gauge; all instants are kept."""
    bad = _bad(usual.pods, _places(usual.instants, replay), replay, onset)
    return replace(usual, values=np.where(bad, worse.values, usual.values))


def _places(ends: FloatArray, replay: Replay) -> IntArray:
    """Which window of the replay each window of its segment is; negative before it begins."""
    result: IntArray = np.rint((ends - replay.begin) / replay.window).astype(np.int64) - 1
    return result


def _bad(pods: Sequence[str], place: IntArray, replay: Replay, onset: int) -> BoolArray:
    """Which pod-windows are those of a contender that is worse; shape (pods, windows)."""
    turns = replay.turns()
    never = np.iinfo(np.int64).max
    since = np.array([max(turns.get(pod, never), onset) for pod in pods])
    result: BoolArray = (place[None, :] >= since[:, None]) & (place < replay.ends[-1])
    return result
