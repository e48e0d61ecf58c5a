"""Learning latency: which bucket boundaries to watch, the noise of the share of requests above each, and the margin.

The gate's two statistics are the means over boundaries of G_0 and of B. Its margin test is the largest, over
boundaries, of ln G at the boundary's own margin, brought to a common scale by replays whose latencies were scaled by
the margin: boundaries answer to the same latency very differently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist

import numpy as np

from analysis.assumptions import LEARNED_PRIOR_SD, LEAST_EVENTS, SHARE_VARIATION_FLOOR
from analysis.comparisons.boundaries import Boundary, watched
from analysis.engine import Margin, Traces, intervals, traces
from analysis.learned import (
    AgeCurve,
    Calibration,
    LearnedBoundary,
    LearnedLatency,
    Noise,
    NotLearned,
    Scale,
    Standing,
)
from analysis.learning.counts import replayed, tempered
from analysis.learning.history import LatencyHistory
from analysis.learning.kinds import Family, Paths
from analysis.learning.present import latency_unevenness, usual_of, worth
from analysis.learning.replay import Cast, Replay, casts, played
from analysis.learning.tails import tail_scale
from analysis.learning.variation import fit_noise
from analysis.question import Settings
from analysis.samples import BoolArray, Histogram, Tally
from analysis.special import FloatArray, log_sum_exp
from analysis.verdict import Freshness

_NORMAL = NormalDist()
UNSCALED = Scale(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Fitted boundaries, before thresholds. learned: with scales still to be found from raised replays."""

    settings: Settings
    learned: tuple[LearnedBoundary, ...]
    age: AgeCurve | None
    usual: tuple[float, float] | None


class Latency:
    """The kind of latency gates."""

    def family(self, settings: Settings) -> Family:
        """Latency."""
        return Family.LATENCY

    def fit(self, history: LatencyHistory, settings: Settings) -> LatencyModel | NotLearned:
        """Boundaries nearest to 50, 10, 2 and 0.5 % of slower requests, and the noise at each."""
        pooled = pool(history.segments)
        if isinstance(pooled, NotLearned):
            return pooled
        requests = float(pooled.tally.exposure.sum())
        if requests <= 0.0:
            return NotLearned("NoTraffic", f"no request in {len(history.segments)} segments of history")
        bounds = [b for b in watched(pooled) if LEAST_EVENTS <= b.share * requests <= requests - LEAST_EVENTS]
        if not bounds:
            return NotLearned("TooFewEvents", f"no bucket boundary divides the {requests:.0f} requests of history")
        learned = tuple(_fitted(history, bound, settings) for bound in bounds)
        noises = [(one.seconds, one.noise) for one in learned]
        usual = usual_of([latency_unevenness(segment, noises) for segment in history.segments])
        return LatencyModel(settings, learned, history.ages[0] if history.ages else None, usual)

    def worth(self, model: LatencyModel, history: LatencyHistory) -> FloatArray:
        """Beside the last hour where noise has changed."""
        if not history.latest:
            return np.ones(len(history.segments))
        noises = [(one.seconds, one.noise) for one in model.learned]
        return worth([latency_unevenness(one, noises) for one in history.segments], history.latest)

    def temper(self, model: LatencyModel) -> float:
        """That of the boundary where it is most: the mean over boundaries is led by it."""
        return max(one.noise.temper for one in model.learned)

    def silent(self, model: LatencyModel, on_trial: int) -> str | None:
        """Incumbents of the same windows are there in every stage."""
        return None

    def harmless(
        self, model: LatencyModel, history: LatencyHistory, replays: Sequence[Replay], looks: int
    ) -> BoolArray:
        """Harm excluded at the boundary where it stands out most against noise, and likely at no other."""
        harm = model.settings.harm_ratio
        sharpest = int(np.argmax([_harm(one, harm) / math.sqrt(_variance(one)) for one in model.learned]))
        safe = np.ones((len(replays), looks), dtype=np.bool_)
        for place, one in enumerate(model.learned):
            for which, cut in casts(_at(history.segments, one.seconds), replays, looks):
                seen = intervals(cut.batch, one.noise)
                here = seen.high < _harm(one, harm) if place == sharpest else seen.likely <= 0.5 * _harm(one, harm)
                safe[which] &= cut.spread_out(here.astype(np.float64)) == 1.0
        return safe

    def raised(
        self,
        model: LatencyModel,
        history: LatencyHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
    ) -> tuple[LatencyModel, FloatArray]:
        """Contenders whose latencies are all longer by exactly the margin; learns the scale of each boundary."""
        slower = [slowed(segment, model.settings.margin.ratio, rng) for segment in history.segments]
        worse = replace(history, segments=tuple(slower))
        found = self._each(model, history, replays, looks, rng, worse)
        noises = [tempered(one.noise, seen, replays) for one, seen in zip(model.learned, found, strict=True)]
        margins = [replace(seen, temper=noise.temper).ln_margin for seen, noise in zip(found, noises, strict=True)]
        inside = played(replays, looks)
        scales = [tail_scale(np.where(inside, one, -np.inf).max(axis=1)) for one in margins]
        learned = tuple(
            replace(one, noise=noise, scale=scale)
            for one, noise, scale in zip(model.learned, noises, scales, strict=True)
        )
        model = replace(model, learned=learned)
        return model, _largest(model, margins)

    def paths(
        self,
        model: LatencyModel,
        history: LatencyHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
        worse: LatencyHistory | None = None,
    ) -> Paths:
        """Means over boundaries of G_0 and B, and the largest standardised margin evidence."""
        each = self._each(model, history, replays, looks, rng, worse)
        first, second = (
            log_sum_exp(np.stack(values, axis=-1)) - math.log(len(each))
            for values in ([one.ln_pods for one in each], [one.ln_counts for one in each])
        )
        return Paths(first, second, _largest(model, [one.ln_margin for one in each]))

    def finished(self, model: LatencyModel, calibration: Calibration, standing: Standing) -> LearnedLatency:
        """What is kept."""
        return LearnedLatency(model.learned, calibration, standing, model.age, model.usual)

    def _each(
        self,
        model: LatencyModel,
        history: LatencyHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
        worse: LatencyHistory | None,
    ) -> list[Traces]:
        """Evidence at every boundary."""
        draws = [replay.draw for replay in replays]
        out = []
        for one in model.learned:
            slower = None if worse is None else _at(worse.segments, one.seconds)
            young = None
            if history.ages:
                young = partial(
                    Cast.aged, ages=history.ages, draws=draws, rng=rng, variation=one.noise.variation, power=one.slope
                )
            asked = partial(traces, margin=Margin(math.exp(one.margin)), noise=one.noise)
            out.append(replayed(_at(history.segments, one.seconds), replays, looks, slower, asked, young))
        return out


def pool(segments: Sequence[Histogram]) -> Histogram | NotLearned:
    """All segments as one pod in one window, on the boundaries that all of them have."""
    common = set.intersection(*({float(b) for b in one.boundaries} for one in segments))
    bounds = np.array(sorted(common))
    if not bounds.size:
        return NotLearned("BucketsDiffer", f"{len(segments)} segments share no bucket boundary")
    slower = np.zeros((bounds.size, 1, 1))
    for one in segments:
        wanted = np.searchsorted(one.boundaries, bounds)
        slower[:, 0, 0] += one.slower[wanted].sum(axis=(1, 2))
    total = np.array([[sum(float(one.tally.exposure.sum()) for one in segments)]])
    tally = Tally(
        pods=("history",),
        contender=np.array([False]),
        exposure=total,
        events=np.zeros((1, 1)),
        seen=total > 0.0,
        ends=np.zeros(1),
        window=segments[0].tally.window,
        freshness=Freshness(),
    )
    return Histogram(bounds, slower, tally)


def slowed(histogram: Histogram, ratio: float, rng: np.random.Generator) -> Histogram:
    """The same requests, each taking `ratio` times as long: requests cross a boundary by chance, from its own bucket.

    A request is slower than b afterwards if it was slower than b / ratio before. The part of a bucket that lies above
    b / ratio is read from the requests of all pods, see `part_above`. Made for the small ratio of a margin and used for
    nothing else: it knows no more of a bucket than its ends, so a large ratio asks for more than it can tell.
    """
    bounds = histogram.boundaries
    layers = np.concatenate([histogram.tally.exposure[None], histogram.slower])
    shares = layers.sum(axis=(1, 2)) / max(float(layers[0].sum()), 1e-12)
    edges = np.concatenate([[0.0], bounds])
    out = np.empty_like(histogram.slower)
    for j, bound in enumerate(bounds):
        i = int(np.searchsorted(bounds, float(bound) / ratio))
        part = part_above(float(bound) / ratio, edges[i], edges[i + 1], shares[i], shares[i + 1])
        inside = np.maximum(np.rint(layers[i] - layers[i + 1]), 0.0).astype(np.int64)
        out[j] = layers[i + 1] + rng.binomial(inside, part)
    return replace(histogram, slower=np.minimum.accumulate(out, axis=0))


def part_above(sought: float, left: float, right: float, before: float, after: float) -> float:
    """Which part of the requests in a bucket (left, right] took longer than `sought`.

    before, after: shares of requests slower than left and right. The normal score of the share that is slower is taken
    as linear in ln latency, as it is for a log-normal; log odds would let a tenth too few across in a tail, and mass
    spread evenly over ln latency half too many. In the first bucket, and where nothing or everything is slower, mass is
    spread evenly.
    """
    if not left < sought < right:
        return float(sought <= left)
    if left <= 0.0:
        return (right - sought) / (right - left)
    way = math.log(right / sought) / math.log(right / left)
    if not 0.0 < after < before < 1.0:
        return way
    scores = [_NORMAL.inv_cdf(share) for share in (before, after)]
    here = _NORMAL.cdf(scores[1] + way * (scores[0] - scores[1]))
    return min(max((here - after) / (before - after), 0.0), 1.0)


def _fitted(history: LatencyHistory, bound: Boundary, settings: Settings) -> LearnedBoundary:
    noise = fit_noise(
        _at(history.segments, bound.seconds),
        spread=1.0 - bound.share,
        floor=SHARE_VARIATION_FLOOR,
        prior_sd=LEARNED_PRIOR_SD,
        latest=history.latest,
    )
    margin = bound.margin(settings.margin.ratio)
    return LearnedBoundary(bound.seconds, bound.share, bound.slope, margin, noise, UNSCALED)


def _at(segments: Sequence[Histogram], seconds: float) -> list[Tally]:
    """Counts of the requests slower than one boundary."""
    return [one.above(int(np.argmin(np.abs(one.boundaries - seconds)))) for one in segments]


def _largest(model: LatencyModel, margins: Sequence[FloatArray]) -> FloatArray:
    scaled = [
        (value - one.scale.location) / one.scale.spread for one, value in zip(model.learned, margins, strict=True)
    ]
    result: FloatArray = np.max(np.stack(scaled), axis=0)
    return result


def _harm(bound: LearnedBoundary, ratio: float) -> float:
    """Log ratio of shares at which latency is `ratio` times worse."""
    return Boundary(0, bound.seconds, bound.share, bound.slope).harm(ratio)


def _variance(bound: LearnedBoundary) -> float:
    noise: Noise = bound.noise
    return float(noise.variation.of(np.array([20.0]))[0]) + noise.spread * 1e-3 / bound.share


LATENCY = Latency()
