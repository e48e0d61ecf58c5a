"""Learning errorRatio and throughput: events per unit of exposure, more of them, fewer, or either being harm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from analysis.assumptions import (
    INTERVAL_ALPHA,
    LEARNED_PRIOR_SD,
    LEAST_EVENTS,
    POD_QUANTILE,
    QUIET_REQUESTS,
    VARIATION_FLOOR,
)
from analysis.contrast import Releases, Sums, noise_between_sides
from analysis.engine import Traces, Worse, intervals, traces
from analysis.learned import AgeCurve, Calibration, LearnedCounts, Noise, NotLearned, Standing, Variation
from analysis.learning.ages import youthful
from analysis.learning.history import CountHistory
from analysis.learning.kinds import Family, Paths
from analysis.learning.present import unevenness, usual, worth
from analysis.learning.replay import Cast, Replay, cast, casts, played, smoothed
from analysis.learning.tails import tail_scale
from analysis.learning.variation import fit_noise
from analysis.question import Settings
from analysis.samples import BoolArray, Tally
from analysis.special import FloatArray, ln_gamma


@dataclass(frozen=True, slots=True)
class CountModel:
    """The fitted noise of counts, before thresholds."""

    settings: Settings
    noise: Noise
    rate: float
    age: AgeCurve | None
    mix: tuple[tuple[str, float], ...]
    usual: tuple[float, float] | None


class Counts:
    """The kind of errorRatio and throughput gates."""

    def family(self, settings: Settings) -> Family:
        """Errors unless fewer events are harm, too: then it is traffic, which counts as saturation."""
        return Family.ERRORS if settings.worse is Worse.HIGHER else Family.SATURATION

    def fit(self, history: CountHistory, settings: Settings) -> CountModel | NotLearned:
        """v(L), rho and the rate over all segments."""
        exposure = sum(float(one.exposure.sum()) for one in history.segments)
        events = sum(float(one.events.sum()) for one in history.segments)
        if exposure <= 0.0:
            return NotLearned("NoTraffic", f"no request in {len(history.segments)} segments of history")
        if events < LEAST_EVENTS:
            return NotLearned("TooFewEvents", f"{events:.0f} events in history, {LEAST_EVENTS:.0f} are needed")
        noise = fit_noise(
            history.segments, spread=1.0, floor=VARIATION_FLOOR, prior_sd=LEARNED_PRIOR_SD, latest=history.latest
        )
        age = history.ages[0] if history.ages else None
        return CountModel(settings, noise, events / exposure, age, history.mix, usual(history.segments, noise))

    def worth(self, model: CountModel, history: CountHistory) -> FloatArray:
        """Beside the last hour where noise has changed."""
        if not history.latest:
            return np.ones(len(history.segments))
        return worth([unevenness(one, model.noise) for one in history.segments], history.latest)

    def temper(self, model: CountModel) -> float:
        """As the margin test has it."""
        return model.noise.temper

    def silent(self, model: CountModel, on_trial: int) -> str | None:
        """Incumbents of the same windows are there in every stage."""
        return None

    def harmless(self, model: CountModel, history: CountHistory, replays: Sequence[Replay], looks: int) -> BoolArray:
        """The harm ratio excluded by the interval, or too few events in all for a harm worth waiting for."""
        harm = math.log(model.settings.harm_ratio)
        ruled_out = np.zeros((len(replays), looks), dtype=np.bool_)
        for which, cut in casts(history.segments, replays, looks):
            seen = intervals(cut.batch, model.noise)
            high = seen.high < harm
            if model.settings.worse is Worse.HIGHER:
                safe = high | (_extra_bound(cut, model.noise) < model.settings.negligible)
            elif model.settings.worse is Worse.LOWER:
                safe = seen.low > -harm
            else:
                safe = high & (seen.low > -harm)
            ruled_out[which] = cut.spread_out(safe.astype(np.float64)) == 1.0
        return ruled_out

    def raised(
        self,
        model: CountModel,
        history: CountHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
    ) -> tuple[CountModel, FloatArray]:
        """Events added (or, for fewer being harm, taken away) at a pod's smoothed rate, never at the observed count."""
        worse = [at_margin(tally, model.settings, rng, model.noise.variation) for tally in history.segments]
        found = self._traces(model, history, replays, looks, rng, worse)
        model = replace(model, noise=tempered(model.noise, found, replays))
        return model, replace(found, temper=model.noise.temper).ln_margin

    def paths(
        self,
        model: CountModel,
        history: CountHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
        worse: CountHistory | None = None,
    ) -> Paths:
        """G_0, B (or A) and the margin's G."""
        found = self._traces(model, history, replays, looks, rng, None if worse is None else worse.segments)
        return Paths(found.ln_pods, found.ln_counts, found.ln_margin)

    def finished(self, model: CountModel, calibration: Calibration, standing: Standing) -> LearnedCounts:
        """What is kept."""
        return LearnedCounts(model.noise, model.rate, calibration, standing, model.age, model.mix, model.usual)

    def _traces(
        self,
        model: CountModel,
        history: CountHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
        worse: Sequence[Tally] | None,
    ) -> Traces:
        """Evidence at every look."""
        young = None
        if history.ages:
            draws = [one.draw for one in replays]
            young = partial(Cast.aged, ages=history.ages, draws=draws, rng=rng, variation=model.noise.variation)
        asked = partial(traces, margin=model.settings.margin, noise=model.noise, worse=model.settings.worse)
        return replayed(history.segments, replays, looks, worse, asked, young)


def replayed(
    segments: Sequence[Tally],
    replays: Sequence[Replay],
    looks: int,
    worse: Sequence[Tally] | None,
    asked: Callable[[Releases], Traces],
    young: Callable[[Cast], Cast] | None,
) -> Traces:
    """Evidence of replays at each look, of what `asked` says after so many shared windows.

    young: makes contender pods as young as they would be; its random draws are of all replays at once.
    """
    cuts = casts(segments, replays, looks, worse)
    if young is not None:
        cuts = iter([(slice(None), young(cast(segments, replays, looks, worse)))])
    pods, further, counts = np.empty((3, len(replays), looks))
    temper = 1.0
    for which, cut in cuts:
        found = asked(cut.batch)
        pods[which], further[which], counts[which] = (
            cut.spread_out(one) for one in (found.ln_pods, found.ln_pods_margin, found.ln_counts)
        )
        temper = found.temper
    return Traces(pods, further, counts, temper)


def tempered(noise: Noise, raised: Traces, replays: Sequence[Replay]) -> Noise:
    """How far the evidence of the sides' counts runs ahead of the pods' where contenders are at the margin.

    Its likelihood takes windows as independent. Where noise lasts for many windows its tail is several times as long,
    and a margin test that weighed both alike would be as blunt as the blunter one.
    """
    inside = played(replays, raised.ln_pods.shape[1])
    pods, counts = (
        tail_scale(np.where(inside, one, -np.inf).max(axis=1)).spread
        for one in (raised.ln_pods_margin, raised.ln_counts)
    )
    return replace(noise, temper=max(counts / pods, 1.0))


def at_margin(tally: Tally, settings: Settings, rng: np.random.Generator, variation: Variation | None = None) -> Tally:
    """The same stretch with every pod worse by exactly the margin, which multiplies the pod's own rate, noise and all.

    variation: of healthy pods; without one they do not differ.
    """
    margin = settings.margin
    if margin.points:
        more = rng.poisson(margin.points * tally.exposure)
        return replace(tally, events=np.minimum(tally.events + more, np.maximum(tally.exposure, tally.events)))
    up = settings.worse is Worse.HIGHER or (settings.worse is Worse.EITHER and bool(rng.integers(2)))
    if up:
        factor = np.full(tally.exposure.shape, margin.ratio)
        return replace(
            tally, events=youthful(tally.exposure, tally.events, rates(tally)[None, :], factor, variation, rng)
        )
    kept = rng.binomial(np.rint(tally.events).astype(np.int64), 1.0 / margin.ratio)
    return replace(tally, events=kept.astype(np.float64))


def rates(tally: Tally) -> FloatArray:
    """Events per unit of exposure over all pods, smoothed over windows; shape (windows,)."""
    served = smoothed(tally.exposure.sum(axis=0))
    result: FloatArray = smoothed(tally.events.sum(axis=0)) / np.maximum(served, 1e-12)
    return result


def _extra_bound(cut: Cast, noise: Noise) -> FloatArray:
    """Upper bound of the contender's own share of bad requests, pod noise included; (replays, windows)."""
    sums = Sums.of(cut.batch)
    looks = np.arange(1, cut.batch.events.shape[2] + 1)
    events, requests = np.cumsum(sums.ours, axis=1), sums.contender_requests[:, 1:]
    pods = noise_between_sides(sums, np.zeros_like(looks), looks, noise, slow=True)
    return rate_upper_bounds(events, requests, INTERVAL_ALPHA) * np.exp(POD_QUANTILE * pods)


def rate_upper_bounds(events: FloatArray, requests: FloatArray, alpha: float) -> FloatArray:
    """`rate_upper_bound` element by element: the root above x/n of n λ - x ln λ = target; inf without requests."""
    served = np.maximum(requests, 1e-9)
    target = (
        math.log(1.0 / alpha)
        - 0.5 * math.log(QUIET_REQUESTS)
        + (0.5 + events) * np.log(QUIET_REQUESTS + served)
        - ln_gamma(0.5 + events)
        + math.lgamma(0.5)
    )
    # Newton's method from the right of a convex function comes down to the root and never passes it.
    root = (target + 4.0 * events + 20.0) / served
    for _ in range(30):
        root = root - (served * root - events * np.log(root) - target) / np.maximum(served - events / root, 1e-300)
    result: FloatArray = np.where(requests > 0.0, root, np.inf)
    return result


COUNTS = Counts()
