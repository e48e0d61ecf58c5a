"""latency: are the contender's requests slower than the incumbent's, in the middle or in the tail?

Each watched bucket boundary counts the requests above it and runs the same evidence as errors do. The gate's evidence
is the mean over the boundaries; the margin must be exceeded at one of them. Where noise is assumed the evidences are
e-values, and so is their mean; where history has taught it, boundaries, margins, noise and thresholds come from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import MIN_BUCKET_REQUESTS
from analysis.comparisons.boundaries import Boundary, learning_windows, quantiles_of, too_coarse
from analysis.comparisons.counted import inclined, obstacles, over
from analysis.comparisons.grounds import (
    effect_of,
    extra_share,
    limit_broken,
    limit_evidence,
    missing_side,
    pod_to_blame,
    shares_told,
    stale_side,
    told_since,
    what_is_missing,
    worse_lately,
)
from analysis.comparisons.watches import Watch, assumed_watches, counts_above, learned_watches, usable
from analysis.counting import count_buckets
from analysis.engine import Look, Margin, look, look_each
from analysis.figures import times
from analysis.held import Bars, Held
from analysis.learned import Learned, LearnedLatency, NotLearned
from analysis.onset import onset
from analysis.question import ComparisonInput, Settings
from analysis.samples import Frame, Histogram, Tally
from analysis.verdict import Absence, Evidence, Exposure, NoData, Verdict, blind

LEVELS = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


def compare(request: ComparisonInput) -> Evidence:
    """Evidence on a classic latency histogram in the settled windows of a release.

    Degraded: mean evidence against no change and margin evidence of some boundary above their thresholds at this look
    (those of replays, or ln(1/alpha) and ln(10 x boundaries) where noise is assumed), or more than `limit` of requests
    slower than `objective` beyond chance. Healthy: the harm is ruled out at the sharpest boundary and likely at none.
    Blind: no usable data for a side. Otherwise Undecided.
    """
    if request.unread is not None:
        return blind(request.unread)
    histogram = count_buckets(request.term("buckets"), request.frame)
    if isinstance(histogram, Absence):
        return blind(histogram)
    told = judge(histogram, request.settings, request.frame, request.learned)
    return replace(told, windows=histogram.tally.contender_windows())


def judge(
    histogram: Histogram, settings: Settings, frame: Frame, learned: Learned | NotLearned | None = None
) -> Evidence:
    """The same for counts that are at hand already."""
    tally = histogram.tally
    slow = _slower_than_objective(histogram, settings)
    above = -math.inf if slow is None else limit_evidence(slow, settings.limit)
    if slow is not None and above > math.log(1.0 / settings.alpha):
        late = f" slower than {settings.objective or 0.0:g} s"
        return replace(limit_broken(slow, settings, above, "slow requests", after=late), quantiles=quantiles(histogram))
    missing = missing_side(tally)
    if missing is not None:
        return blind(missing, exposure=tally.summary(), freshness=tally.freshness)
    shared = histogram.shared()
    history, warnings = usable(shared, learned)
    if history is None and shared.tally.exposure[~tally.contender].sum() < MIN_BUCKET_REQUESTS:
        few = Absence(NoData.TOO_FEW_EVENTS, f"fewer than {MIN_BUCKET_REQUESTS:.0f} incumbent requests to learn from")
        return blind(few, exposure=shared.tally.summary(), freshness=tally.freshness)
    watches = assumed_watches(shared, settings) if history is None else learned_watches(shared, history)
    if not watches:
        coarse = Absence(NoData.BUCKETS_TOO_COARSE, "every incumbent request lies above the last finite bucket")
        return blind(coarse, exposure=shared.tally.summary(), freshness=tally.freshness)
    judged = _Judged.of(shared, watches, settings, frame, history, warnings)
    if judged.held.degraded:
        return judged.degradation()
    stale = stale_side(tally, frame)
    if stale is not None:
        return blind(stale, exposure=judged.seen, freshness=tally.freshness)
    return judged.verdict()


@dataclass(frozen=True, slots=True)
class _Judged:
    """One look at the shared windows at every watched boundary, held against its thresholds.

    counts: per boundary the requests above it, over requests with youth allowed for, which the looks have seen. seen:
    the totals as they were. sharpest: the boundary that has to rule harm out.
    """

    histogram: Histogram
    watches: list[Watch]
    counts: list[Tally]
    looks: list[Look]
    held: Held
    settings: Settings
    frame: Frame
    seen: Exposure
    sharpest: int

    @classmethod
    def of(
        cls,
        histogram: Histogram,
        watches: list[Watch],
        settings: Settings,
        frame: Frame,
        learned: LearnedLatency | None,
        warnings: tuple[str, ...],
    ) -> _Judged:
        counts = [counts_above(histogram, one.bound, frame, learned) for one in watches]
        looks = look_each(counts, [Margin(math.exp(one.delta)) for one in watches], [one.noise for one in watches])
        coarse = too_coarse(histogram)
        held = Held(
            _change(looks, learned),
            max(watch.margin(one) for watch, one in zip(watches, looks, strict=True)),
            Bars.assumed(settings, len(watches))
            if learned is None
            else Bars.learned(learned.calibration, learned.standing),
            leans_by_both=learned is None,
            warnings=(*warnings, *((coarse,) if coarse else ())),
        )
        sharpest = _sharpest(histogram, watches, settings.harm_ratio)
        return cls(histogram, watches, counts, looks, held, settings, frame, histogram.tally.summary(), sharpest)

    @property
    def bounds(self) -> list[Boundary]:
        return [one.bound for one in self.watches]

    @property
    def carrier(self) -> int:
        """The boundary that carries the evidence."""
        return int(np.argmax([one.ln_change for one in self.looks]))

    @property
    def open_boundary(self) -> int | None:
        """The boundary at which harm may still hide, or None.

        Harm is ruled out when the interval of the sharpest boundary excludes it and nowhere else is it likely. To ask
        for all intervals would be in vain: near the median, pod noise is as large as what a harmful shift does there.
        """
        sharpest, harm = self.sharpest, self.settings.harm_ratio
        excluded = math.log(self.looks[sharpest].high) < self.bounds[sharpest].harm(harm)
        extra = extra_share(self.above(sharpest), self.looks[sharpest], self.watches[sharpest].noise)
        if not excluded and extra >= self.settings.negligible:
            return sharpest
        likely = (
            place
            for place, (bound, one) in enumerate(zip(self.bounds, self.looks, strict=True))
            if one.ratio is not None and one.likely > 0.5 * bound.harm(harm)
        )
        return next(likely, None)

    def above(self, place: int) -> Exposure:
        """Totals at a boundary, the events being the requests slower than that."""
        ours = self.histogram.tally.contender
        slower = self.histogram.slower[self.bounds[place].index].sum(axis=1)
        return replace(
            self.seen, contender_events=float(slower[ours].sum()), incumbent_events=float(slower[~ours].sum())
        )

    def evidence(self, verdict: Verdict, because: str, would_change: str, place: int, since: str = "") -> Evidence:
        bound, one, total = self.bounds[place], self.looks[place], self.above(place)
        told = self.held.evidence(
            verdict,
            f"slower than {bound.seconds:g} s: {shares_told(total, one)}{since}; {because}",
            would_change,
            exposure=total,
            freshness=self.histogram.tally.freshness,
            effect=effect_of(total, one),
            could_hide=bound.latency(one.high) if verdict is Verdict.UNDECIDED else None,
        )
        return replace(told, boundary=bound.seconds, quantiles=quantiles(self.histogram))

    def degradation(self) -> Evidence:
        place = self.carrier
        margin, noise = Margin(math.exp(self.watches[place].delta)), self.watches[place].noise
        blame = pod_to_blame(self.counts[place], lambda rest: not over(look(rest, margin, noise)))
        began = onset(self.histogram.above(self.bounds[place].index), self.counts[place], noise)
        exceeded = self.held.exceeded(times(self.settings.margin.ratio), blame)
        told = self.evidence(Verdict.DEGRADED, exceeded, self.held.undone, place, since=told_since(began))
        return replace(told, blame=blame, onset=began)

    def verdict(self) -> Evidence:
        harm, place = self.settings.harm_ratio, self.open_boundary
        obstacle = next(self.obstacles(), None)
        if obstacle is None and place is None:
            return self.evidence(
                Verdict.HEALTHY,
                f"latency {times(harm)} worse is ruled out there, and not likely at any other boundary",
                f"an interval in which {times(harm)} could hide, or more evidence of harm",
                self.sharpest,
            )
        at = self.carrier if place is None else place
        return self.evidence(
            Verdict.UNDECIDED,
            (obstacle or f"latency {times(harm)} worse is not ruled out above {self.bounds[at].seconds:g} s"),
            f"this no longer holds: {obstacle}" if obstacle else self.missing(at),
            at,
        )

    def obstacles(self) -> Iterator[str]:
        """What forbids an early advance even when the intervals are narrow."""
        ratio, sharpest = self.settings.harm_ratio, self.sharpest
        harm = self.bounds[sharpest].harm(ratio)
        e_value = _ln_mean(one.ln_change for one in self.looks)

        def lately() -> str | None:
            worse = worse_lately(self.counts[sharpest], self.frame, harm, self.settings.negligible)
            return f"latency is {times(ratio)} or more" if worse else None

        leans = self.held.leaning or inclined(e_value, max(one.ln_margin for one in self.looks))
        return obstacles(self.histogram.tally, leans, lately)

    def missing(self, place: int) -> str:
        """What would rule harm out at one boundary."""
        harm = self.bounds[place].harm(self.settings.harm_ratio)
        requests = self.seen.contender_requests
        return what_is_missing(self.looks[place], harm, self.settings.negligible, requests)


def _change(looks: list[Look], learned: LearnedLatency | None) -> float:
    """Evidence against no change, on the scale of its threshold: the mean over the boundaries."""
    if learned is None:
        return _ln_mean(one.ln_change for one in looks)
    pods, shares = _ln_mean(one.ln_pods for one in looks), _ln_mean(one.ln_counts for one in looks)
    return float(learned.calibration.joined(np.array(pods), np.array(shares)))


def _sharpest(histogram: Histogram, watches: list[Watch], harm: float) -> int:
    """The boundary that has to rule harm out: where the harm stands out most against pod noise and chance.

    Judged by the requests of the learning windows, so that it does not move once the boundaries are learned.
    """
    tally = histogram.tally
    requests = float(tally.exposure[tally.contender, : learning_windows(histogram)].sum())

    def contrast(watch: Watch) -> float:
        bound, noise = watch.bound, watch.noise
        variance = sum(noise.variation.slow().variances) + noise.spread / (bound.share * requests + 1.0)
        return bound.harm(harm) / math.sqrt(variance)

    return int(np.argmax([contrast(watch) for watch in watches]))


def _ln_mean(values: Iterable[float]) -> float:
    many = list(values)
    top = max(many)
    if not math.isfinite(top):
        return top
    return top + math.log(math.fsum(math.exp(one - top) for one in many) / len(many))


def quantiles(histogram: Histogram) -> tuple[tuple[str, float | None, float | None], ...]:
    """(name, contender, incumbent) for p50, p95 and p99, in seconds."""
    ours, theirs = (quantiles_of(histogram, [level for _, level in LEVELS], contender=side) for side in (True, False))
    return tuple((name, one, other) for (name, _), one, other in zip(LEVELS, ours, theirs, strict=True))


def _slower_than_objective(histogram: Histogram, settings: Settings) -> Tally | None:
    """Requests certainly slower than the objective: above the first boundary at or beyond it; None without one."""
    if settings.objective is None or settings.limit is None:
        return None
    beyond = np.flatnonzero(histogram.boundaries >= settings.objective * (1.0 - 1e-9))
    return histogram.above(int(beyond[0])) if beyond.size else None
