"""errorRatio: is the contender's share of failed requests higher than the incumbent's, beyond margin and chance?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import HEALTHY_MIN_WINDOWS, MARGIN_ALPHA
from analysis.comparisons.grounds import (
    Bars,
    assumed_noise,
    extra_share,
    known,
    limit_evidence,
    missing_side,
    number,
    percent,
    pod_to_blame,
    stale_side,
    weighed,
    what_is_missing,
    worse_lately,
)
from analysis.counting import count_events
from analysis.engine import ASSUMED_NOISE, Look, look
from analysis.learned import Guarantee, Learned, LearnedCounts, Noise, NotLearned, Standing
from analysis.permutation import Exact, exact
from analysis.question import ComparisonInput, Settings
from analysis.samples import Frame, Tally
from analysis.verdict import Absence, Effect, Evidence, Exposure, Verdict, blind

NOISE = ASSUMED_NOISE


def compare(request: ComparisonInput) -> Evidence:
    """Evidence on errors over requests in the settled windows of a release.

    Degraded: evidence against no change and evidence against the margin above their thresholds at this look, or the
    hard limit broken. The thresholds are those of replays where history has taught them, and ln(1/alpha) and ln 10
    where noise is assumed. Healthy: the interval's upper end is below the harm ratio, or the extra share of failures is
    bounded by the negligible share. Blind: no usable data for a side. Otherwise Undecided.
    """
    if request.unread is not None:
        return blind(request.unread)
    strata = [name for name, _ in request.learned.mix] if isinstance(request.learned, LearnedCounts) else None
    tally = count_events(request.term("requests"), request.term("errors"), request.frame, strata or None)
    if isinstance(tally, Absence):
        return blind(tally)
    return judge(tally, request.settings, request.frame, request.learned)


def judge(tally: Tally, settings: Settings, frame: Frame, learned: Learned | NotLearned | None = None) -> Evidence:
    """The same for counts that are at hand already."""
    above = limit_evidence(tally, settings.limit)
    if above > math.log(1.0 / settings.alpha):
        return _limit_broken(tally, settings, above)
    shared = tally.shared()
    missing = missing_side(tally)
    if missing is not None:
        return blind(missing, exposure=tally.summary(), freshness=tally.freshness)
    judged = _Judged.of(shared, settings, frame, learned)
    if judged.degraded:
        return judged.degradation(exact(tally, settings.alpha) if judged.learned is None else None)
    stale = stale_side(tally, frame)
    if stale is not None:
        return blind(stale, exposure=shared.summary(), freshness=tally.freshness)
    return judged.verdict()


def degraded(seen: Look, settings: Settings) -> bool:
    """Both promises broken at one look: a change beyond chance, and beyond the margin."""
    return seen.ln_change > math.log(1.0 / settings.alpha) and seen.ln_margin > math.log(1.0 / MARGIN_ALPHA)


def leaning(seen: Look) -> bool:
    """Not degraded, but the evidence points there: no time to advance early."""
    return seen.ln_change > math.log(1.0 / MARGIN_ALPHA) and seen.ln_margin > 0.0


@dataclass(frozen=True, slots=True)
class _Judged:
    """One look at the shared windows, held against its thresholds.

    tally: the requests as they were. weighed: the same with youth and route mix allowed for, which the look has seen.
    """

    tally: Tally
    weighed: Tally
    settings: Settings
    frame: Frame
    look: Look
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
        seen = look(fair, settings.margin, noise)
        return cls(tally, fair, settings, frame, seen, noise, bars, history, warnings)

    @property
    def change(self) -> float:
        """Evidence against no change, on the scale of its threshold."""
        return self._change(self.look)

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
    def extra(self) -> float:
        return extra_share(self.tally, self.look, self.noise)

    def evidence(self, verdict: Verdict, because: str, would_change: str) -> Evidence:
        seen = self.tally.summary()
        return Evidence(
            verdict=verdict,
            because=because,
            would_change=would_change,
            exposure=seen,
            freshness=self.tally.freshness,
            effect=_effect(seen, self.look),
            log_evidence=self.change,
            threshold=self.bars.change,
            margin_evidence=self.margin,
            margin_threshold=self.bars.margin,
            standing=self.bars.standing,
            leaning=self.leaning,
            could_hide=self.look.high if verdict is Verdict.UNDECIDED else None,
            warnings=self.warnings,
        )

    def degradation(self, confirmed: Exact | None) -> Evidence:
        """confirmed: the exact rule, asked where noise is assumed. If it agrees, the verdict rests on no assumption."""
        blame = pod_to_blame(self.weighed, lambda rest: not self._over(rest))
        told = self.evidence(
            Verdict.DEGRADED,
            f"{self.rates()}; evidence {self.change:.1f} above {self.bars.change:.1f}, margin "
            f"{self.margin_words()} exceeded by {self.margin:.1f} above {self.bars.margin:.1f}"
            + (f"; pod {blame} carries it, the others are inside the margin" if blame else ""),
            f"evidence at or below {self.bars.change:.1f}, or margin evidence at or below {self.bars.margin:.1f}",
        )
        if confirmed is not None and confirmed.degraded:
            told = replace(told, standing=Standing(Guarantee.EXACT, confirmed.level))
        return replace(told, blame=blame)

    def verdict(self) -> Evidence:
        harm, high, seen = self.settings.harm_ratio, self.look.high, self.tally.summary().contender_requests
        obstacle = next(self.obstacles(), None)
        if obstacle is None and high < harm:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.rates()}; at most {high:.2f}x, below the harm of {harm:.3g}x",
                f"an upper end of {harm:.3g}x or more, or more evidence of harm",
            )
        if obstacle is None and self.extra < self.settings.negligible:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.rates()}; at most {percent(self.extra)} extra failures, below the negligible "
                f"{percent(self.settings.negligible)}",
                f"extra failures that could reach {percent(self.settings.negligible)}",
            )
        # Without an incumbent's event the ratio has no upper end.
        not_ruled_out = (
            f"harm up to {number(high)}x is not ruled out" if math.isfinite(high) else "no harm is ruled out"
        )
        return self.evidence(
            Verdict.UNDECIDED,
            f"{self.rates()}; " + (obstacle or not_ruled_out),
            f"this no longer holds: {obstacle}"
            if obstacle
            else what_is_missing(self.look, math.log(harm), self.settings.negligible, seen),
        )

    def obstacles(self) -> Iterator[str]:
        """What forbids an early advance even when the interval is narrow."""
        if self.tally.freshness.silent:
            pods = self.tally.freshness.silent
            yield f"{len(pods)} contender pod(s) without recent samples, first {pods[0]}"
        if self.leaning or leaning(self.look):
            yield "the evidence leans towards harm: it has to fall first"
        if worse_lately(self.weighed, self.frame, math.log(self.settings.harm_ratio), self.settings.negligible):
            yield f"since the last settling alone, errors are {self.settings.harm_ratio:.3g}x or more"
        if self.tally.ends.size < HEALTHY_MIN_WINDOWS:
            yield f"fewer than {HEALTHY_MIN_WINDOWS} windows with samples of both sides"

    def rates(self) -> str:
        """Both sides in numbers."""
        seen = self.tally.summary()
        ours = seen.contender_events / seen.contender_requests
        theirs = seen.incumbent_events / seen.incumbent_requests
        ratio = "" if self.look.ratio is None else f": {self.look.ratio:.3g}x"
        return (
            f"errors {percent(ours)} of {number(seen.contender_requests)} contender requests against "
            f"{percent(theirs)} of {number(seen.incumbent_requests)}{ratio}{self.allowed_for()}"
        )

    def allowed_for(self) -> str:
        """What the ratio allows for, so that it may differ from the quotient of the two rates."""
        if self.learned is None or self.weighed.exposure is self.tally.exposure:
            return ""
        named = [
            *(["young pods"] if self.learned.age is not None and self.frame.groups.born else []),
            *(["the mix of requests"] if self.learned.mix and self.tally.strata is not None else []),
        ]
        return f" with {' and '.join(named)} allowed for" if named else ""

    def margin_words(self) -> str:
        margin = self.settings.margin
        return f"{100.0 * margin.points:.3g}pp" if margin.points else f"{margin.ratio:.3g}x"

    def _change(self, seen: Look) -> float:
        if self.learned is None:
            return seen.ln_change
        return float(self.learned.calibration.joined(np.array(seen.ln_pods), np.array(seen.ln_counts)))

    def _over(self, rest: Tally) -> bool:
        """Whether anything is left of the evidence in what remains of the contender."""
        again = look(rest, self.settings.margin, self.noise)
        return again.ln_margin > 0.0 and again.ln_change > 0.0


def _effect(seen: Exposure, found: Look) -> Effect:
    return Effect(
        ratio=found.ratio,
        low=found.low,
        high=found.high if math.isfinite(found.high) else None,
        contender_rate=seen.contender_events / seen.contender_requests,
        incumbent_rate=seen.incumbent_events / seen.incumbent_requests,
    )


def _limit_broken(tally: Tally, settings: Settings, above: float) -> Evidence:
    """Degraded by the hard bound alone; the incumbent is not asked."""
    seen = tally.summary()
    rate = seen.contender_events / seen.contender_requests
    threshold = math.log(1.0 / settings.alpha)
    limit = settings.limit or 0.0
    return Evidence(
        verdict=Verdict.DEGRADED,
        because=f"errors {percent(rate)} of {number(seen.contender_requests)} contender requests break the limit of "
        f"{percent(limit)} whatever the incumbent does; evidence {above:.1f} above {threshold:.1f}",
        would_change=f"a share of failures not above {percent(limit)} beyond chance",
        exposure=seen,
        freshness=tally.freshness,
        log_evidence=above,
        threshold=threshold,
        limit_broken=True,
    )
