"""throughput: does a contender pod get as much done as an incumbent pod, in the same windows?

Events of one counter per pod and window served, so the exposure of a pod is its time: the share of the traffic's weight
times the pods that are ready. What is harm is for the policy to say: less, more, or either. A decrease is the engine's
increase with the sides exchanged; for either, the evidence is the mean of both directions, so that each has half of
alpha. Counts are large, and what decides is how much healthy pods differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import HEALTHY_MIN_WINDOWS, INTERVAL_ALPHA, MARGIN_ALPHA, POD_QUANTILE
from analysis.comparisons.grounds import (
    Bars,
    assumed_noise,
    known,
    missing_side,
    number,
    stale_side,
    weighed,
)
from analysis.contrast import Releases, Sums, noise_between_sides
from analysis.counting import count_rate
from analysis.engine import Look, Worse, look
from analysis.learned import Learned, LearnedCounts, Noise, NotLearned
from analysis.question import ComparisonInput, Settings
from analysis.samples import Frame, Tally
from analysis.verdict import PER_SECOND, Absence, Effect, Evidence, Exposure, NoData, Verdict, blind


def compare(request: ComparisonInput) -> Evidence:
    """Evidence on events per pod in the settled windows of a release.

    Degraded: evidence against no change and against the margin above their thresholds at this look, in a direction that
    is harm. Healthy: the interval of the ratio excludes the harm. Blind: no usable data for a side, or nothing to
    compare with because the incumbents do nothing. Otherwise Undecided. A contender that does nothing while incumbents
    work has come to a stop, which is a finding and not a lack of data.
    """
    if request.unread is not None:
        return blind(request.unread)
    tally = count_rate(request.term("events"), request.frame)
    if isinstance(tally, Absence):
        return blind(tally)
    return judge(tally, request.settings, request.frame, request.learned)


def judge(tally: Tally, settings: Settings, frame: Frame, learned: Learned | NotLearned | None = None) -> Evidence:
    """The same for counts that are at hand already."""
    missing = missing_side(tally) or _idle(tally)
    if missing is not None:
        return blind(missing, exposure=_exposure(tally), freshness=tally.freshness)
    shared = tally.shared()
    judged = _Judged.of(shared, settings, frame, learned)
    if judged.degraded:
        return judged.degradation()
    stale = stale_side(tally, frame, traffic=False)
    if stale is not None:
        return blind(stale, exposure=_exposure(shared), freshness=tally.freshness)
    return judged.verdict()


@dataclass(frozen=True, slots=True)
class _Judged:
    """One look at the shared windows, held against its thresholds.

    tally: counts as they were. weighed: the same with youth allowed for, which the look has seen. low, high: interval
    of contender over incumbent events per pod.
    """

    tally: Tally
    weighed: Tally
    settings: Settings
    frame: Frame
    look: Look
    low: float
    high: float
    noise: Noise
    bars: Bars
    learned: LearnedCounts | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, tally: Tally, settings: Settings, frame: Frame, learned: Learned | NotLearned | None) -> _Judged:
        history, warnings = known(learned, LearnedCounts)
        noise = assumed_noise(tally) if history is None else history.noise
        bars = Bars.assumed(settings) if history is None else Bars.learned(history.calibration, history.standing)
        fair = weighed(tally, frame, history)
        low, high = interval(fair, noise)
        seen = look(fair, settings.margin, noise, settings.worse)
        return cls(tally, fair, settings, frame, seen, low, high, noise, bars, history, warnings)

    @property
    def change(self) -> float:
        """Evidence against no change, on the scale of its threshold."""
        if self.learned is None:
            return self.look.ln_change
        return float(self.learned.calibration.joined(np.array(self.look.ln_pods), np.array(self.look.ln_counts)))

    @property
    def margin(self) -> float:
        """Evidence against a change inside the margin, on the scale of its threshold."""
        return self.look.ln_margin

    @property
    def degraded(self) -> bool:
        return self.change > self.bars.change and self.margin > self.bars.margin

    @property
    def leaning(self) -> bool:
        return self.change > self.bars.pause and (self.learned is not None or self.look.ln_margin > 0.0)

    @property
    def hidden(self) -> float:
        """The largest harm inside the interval, as a factor of 1 or more."""
        fewer = 1.0 / self.low if self.low > 0.0 else math.inf
        match self.settings.worse:
            case Worse.HIGHER:
                return max(self.high, 1.0)
            case Worse.LOWER:
                return max(fewer, 1.0)
        return max(self.high, fewer, 1.0)

    def evidence(self, verdict: Verdict, because: str, would_change: str) -> Evidence:
        ours, theirs = _rates(self.tally)
        return Evidence(
            verdict=verdict,
            because=because,
            would_change=would_change,
            exposure=_exposure(self.tally),
            freshness=self.tally.freshness,
            effect=Effect(
                ratio=self.look.ratio,
                low=self.low,
                high=self.high if math.isfinite(self.high) else None,
                contender_rate=ours,
                incumbent_rate=theirs,
                measure=PER_SECOND,
            ),
            log_evidence=self.change,
            threshold=self.bars.change,
            margin_evidence=self.margin,
            margin_threshold=self.bars.margin,
            standing=self.bars.standing,
            leaning=self.leaning,
            could_hide=self.hidden if verdict is Verdict.UNDECIDED else None,
            warnings=self.warnings,
        )

    def degradation(self) -> Evidence:
        blame = self.pod_to_blame()
        told = self.evidence(
            Verdict.DEGRADED,
            f"{self.rates()}; evidence {self.change:.1f} above {self.bars.change:.1f}, margin "
            f"{self.settings.margin.ratio:.3g}x exceeded by {self.margin:.1f} above {self.bars.margin:.1f}"
            + (f"; pod {blame} carries it, the others are inside the margin" if blame else ""),
            f"evidence at or below {self.bars.change:.1f}, or margin evidence at or below {self.bars.margin:.1f}",
        )
        return replace(told, blame=blame)

    def verdict(self) -> Evidence:
        harm = self.settings.harm_ratio
        obstacle = next(self.obstacles(), None)
        if obstacle is None and self.hidden < harm:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.rates()}; at most {self.hidden:.2f}x {self.direction()}, below the harm of {harm:.3g}x",
                f"an interval in which {harm:.3g}x {self.direction()} could hide, or more evidence of harm",
            )
        could = f"up to {number(self.hidden)}x {self.direction()} is not ruled out"
        return self.evidence(
            Verdict.UNDECIDED,
            f"{self.rates()}; " + (obstacle or (could if math.isfinite(self.hidden) else "no harm is ruled out")),
            f"this no longer holds: {obstacle}" if obstacle else self.what_is_missing(),
        )

    def obstacles(self) -> Iterator[str]:
        """What forbids an early advance even when the interval is narrow."""
        silent = self.tally.freshness.silent
        if silent:
            yield f"{len(silent)} contender pod(s) without recent samples, first {silent[0]}"
        inclined = self.look.ln_change > math.log(1.0 / MARGIN_ALPHA) and self.look.ln_margin > 0.0
        if self.leaning or inclined:
            yield "the evidence leans towards harm: it has to fall first"
        if self.worse_lately():
            yield f"since the last settling alone, {self.settings.harm_ratio:.3g}x {self.direction()} at the least"
        if self.tally.ends.size < HEALTHY_MIN_WINDOWS:
            yield f"fewer than {HEALTHY_MIN_WINDOWS} windows with samples of both sides"

    def worse_lately(self) -> bool:
        """Whether harm is what the windows since the last settled span began look like, taken alone and beyond chance.

        A narrow interval over the whole release says little about pods that joined in the last batch.
        """
        since = max((begin for begin, _ in self.frame.settled), default=-math.inf)
        recent = self.weighed.keep_windows(self.weighed.ends > since)
        ours = recent.contender
        rate = recent.events[~ours].sum(axis=0) / recent.exposure[~ours].sum(axis=0)
        expected = float((recent.exposure[ours].sum(axis=0) * rate).sum())
        seen = float(recent.events[ours].sum())
        if abs(seen - expected) <= 3.0 * math.sqrt(max(seen, expected)):
            return False
        change = math.log((seen + 0.5) / (expected + 0.5))
        harm = math.log(self.settings.harm_ratio)
        up = self.settings.worse is not Worse.LOWER and change >= harm
        return up or (self.settings.worse is not Worse.HIGHER and -change >= harm)

    def what_is_missing(self) -> str:
        """What would rule the harm out: windows as far as chance is in the way, pods beyond that."""
        harm = self.settings.harm_ratio
        kept = math.exp(self.look.pod_half_width)
        if kept >= harm:
            return f"more contender pods: pod noise alone could hide {harm:.3g}x"
        return f"more windows: what could hide must fall from {number(self.hidden)}x below {harm:.3g}x"

    def rates(self) -> str:
        """Both sides in numbers."""
        ours, theirs = _rates(self.tally)
        ratio = "" if self.look.ratio is None else f": {self.look.ratio:.3g}x"
        young = self.learned is not None and self.learned.age is not None and bool(self.frame.groups.born)
        allowed = " with young pods allowed for" if young else ""
        return f"{number(ours)} events/s of a contender pod against {number(theirs)} of an incumbent's{ratio}{allowed}"

    def direction(self) -> str:
        """The harm in a word."""
        words = {Worse.HIGHER: "more", Worse.LOWER: "less", Worse.EITHER: "more or less"}
        return words[self.settings.worse]

    def pod_to_blame(self) -> str | None:
        """The one contender pod without which nothing is left of the evidence; None when no single one carries it."""
        tally = self.weighed
        rows = np.flatnonzero(tally.contender & tally.seen.any(axis=1))
        if rows.size < 2:
            return None
        rates = np.log((tally.events[rows].sum(axis=1) + 0.5) / tally.exposure[rows].sum(axis=1))
        change = math.log(self.look.ratio) if self.look.ratio else -math.inf
        farthest = np.argmax(rates) if change > 0.0 else np.argmin(rates)
        suspect = tally.pods[int(rows[int(farthest)])]
        rest = tally.without(suspect).shared()
        if not rest.ends.size:
            return None
        again = look(rest, self.settings.margin, self.noise, self.settings.worse)
        return None if again.ln_margin > 0.0 and again.ln_change > 0.0 else suspect


def interval(tally: Tally, noise: Noise) -> tuple[float, float]:
    """(low, high) of contender over incumbent events per pod, at all looks together.

    Chance and whatever a pod forgets within a few windows give ln ratio a variance s²; the mixture of normals over all
    ratios then bounds it by s √((1 + s²)(2 ln(1/α) + ln(1 + 1/s²))) at every look (Robbins 1970). What pods keep widens
    that in squares, as for shares. Counts are large here: the share of events would need a grid finer than its own.
    """
    sums = Sums.of(Releases(tally.contender, tally.exposure[None], tally.events[None], tally.window))
    ours, theirs = float(sums.ours.sum()), float(sums.theirs.sum())
    expected = float(sums.contender_expected[0, -1])
    if theirs <= 0.0 or expected <= 0.0:
        return 0.0, math.inf
    begin, end = np.array([0]), np.array([tally.ends.size])
    kept = float(noise_between_sides(sums, begin, end, noise, slow=True)[0, 0])
    passing = max(float(noise_between_sides(sums, begin, end, noise)[0, 0]) ** 2 - kept**2, 0.0)
    s2 = noise.spread * (1.0 / max(ours, 1.0) + 1.0 / theirs) + passing
    chance = math.sqrt(s2 * (1.0 + s2) * (2.0 * math.log(1.0 / INTERVAL_ALPHA) + math.log1p(1.0 / s2)))
    half = math.hypot(chance, POD_QUANTILE * kept)
    middle = math.log(max(ours, 0.5) / expected)
    return (math.exp(middle - half) if ours > 0.0 else 0.0), math.exp(middle + half)


def _idle(tally: Tally) -> Absence | None:
    """Nothing happened on either side, or nothing on the side that says how much is due."""
    ours, theirs = float(tally.events[tally.contender].sum()), float(tally.events[~tally.contender].sum())
    if theirs > 0.0:
        return None
    who = "neither side" if ours <= 0.0 else "no incumbent pod"
    return Absence(NoData.NO_TRAFFIC, f"{who} had an event: there is nothing to compare")


def _rates(tally: Tally) -> tuple[float, float]:
    """Events per second of a pod, contender and incumbent."""
    ours = tally.contender
    rates = (float(tally.events[s].sum() / max(float(tally.exposure[s].sum()), 1.0)) for s in (ours, ~ours))
    contender, incumbent = (rate / tally.window for rate in rates)
    return contender, incumbent


def _exposure(tally: Tally) -> Exposure:
    """Events stand for requests, as that is what they mostly are; there are no bad ones among them."""
    seen = tally.summary()
    return replace(
        seen,
        contender_requests=seen.contender_events,
        incumbent_requests=seen.incumbent_events,
        contender_events=0.0,
        incumbent_events=0.0,
    )
