"""errorRatio: is the contender's share of failed requests higher than the incumbent's, beyond margin and chance?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.comparisons.counted import Counted, inclined, obstacles, over
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
from analysis.counting import count_events
from analysis.engine import ASSUMED_NOISE, Look, look
from analysis.figures import percent, times
from analysis.held import Bars, Held
from analysis.learned import Guarantee, Learned, LearnedCounts, NotLearned, Standing
from analysis.onset import onset
from analysis.permutation import Exact, exact
from analysis.question import ComparisonInput, Settings
from analysis.samples import Frame, Tally
from analysis.verdict import Absence, Evidence, Exposure, Verdict, blind

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
    told = judge(tally, request.settings, request.frame, request.learned)
    return replace(told, windows=tally.contender_windows())


def judge(tally: Tally, settings: Settings, frame: Frame, learned: Learned | NotLearned | None = None) -> Evidence:
    """The same for counts that are at hand already."""
    above = limit_evidence(tally, settings.limit)
    if above > math.log(1.0 / settings.alpha):
        return limit_broken(tally, settings, above, "failures", before="errors ")
    shared = tally.shared()
    missing = missing_side(tally)
    if missing is not None:
        return blind(missing, exposure=tally.summary(), freshness=tally.freshness)
    judged = _Judged.of(Counted.of(shared, settings, frame, learned), settings)
    if judged.held.degraded:
        return judged.degradation(exact(tally, settings.alpha) if judged.counted.learned is None else None)
    stale = stale_side(tally, frame)
    if stale is not None:
        return blind(stale, exposure=judged.seen, freshness=tally.freshness)
    return judged.verdict()


def degraded(seen: Look, settings: Settings) -> bool:
    """Both promises broken at one look at assumed noise: a change beyond chance, and beyond the margin."""
    return Held(seen.ln_change, seen.ln_margin, Bars.assumed(settings), leans_by_both=True).degraded


def leaning(seen: Look) -> bool:
    """Not degraded, but the evidence points there: no time to advance early."""
    return inclined(seen.ln_change, seen.ln_margin)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One look at the shared windows, held against its thresholds; seen: the totals as they were."""

    counted: Counted
    settings: Settings
    look: Look
    held: Held
    seen: Exposure

    @classmethod
    def of(cls, counted: Counted, settings: Settings) -> _Judged:
        seen = look(counted.weighed, settings.margin, counted.noise)
        return cls(counted, settings, seen, counted.held(seen), counted.tally.summary())

    def evidence(self, verdict: Verdict, because: str, would_change: str) -> Evidence:
        return self.held.evidence(
            verdict,
            because,
            would_change,
            exposure=self.seen,
            freshness=self.counted.tally.freshness,
            effect=effect_of(self.seen, self.look),
            could_hide=self.look.high if verdict is Verdict.UNDECIDED else None,
        )

    def degradation(self, confirmed: Exact | None) -> Evidence:
        """confirmed: the exact rule, asked where noise is assumed. If it agrees, the verdict rests on no assumption."""
        margin = self.settings.margin
        noise = self.counted.noise
        blame = pod_to_blame(self.counted.weighed, lambda rest: not over(look(rest, margin, noise)))
        words = f"{100.0 * margin.points:.3g}pp" if margin.points else times(margin.ratio)
        began = onset(self.counted.tally, self.counted.weighed, noise)
        because = f"{self.rates()}{told_since(began)}; {self.held.exceeded(words, blame)}"
        told = self.evidence(Verdict.DEGRADED, because, self.held.undone)
        if confirmed is not None and confirmed.degraded:
            told = replace(told, standing=Standing(Guarantee.EXACT, confirmed.level))
        return replace(told, blame=blame, onset=began)

    def verdict(self) -> Evidence:
        harm, high, negligible = self.settings.harm_ratio, self.look.high, self.settings.negligible
        obstacle = next(self.obstacles(), None)
        if obstacle is None and high < harm:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.rates()}; at most {times(high)}, below the harm of {times(harm)}",
                f"an upper end of {times(harm)} or more, or more evidence of harm",
            )
        extra = extra_share(self.seen, self.look, self.counted.noise)
        if obstacle is None and extra < negligible:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.rates()}; at most {percent(extra)} extra failures, below the negligible {percent(negligible)}",
                f"extra failures that could reach {percent(negligible)}",
            )
        # Without an incumbent's event the ratio has no upper end.
        not_ruled_out = f"harm up to {times(high)} is not ruled out" if math.isfinite(high) else "no harm is ruled out"
        return self.evidence(
            Verdict.UNDECIDED,
            f"{self.rates()}; " + (obstacle or not_ruled_out),
            f"this no longer holds: {obstacle}"
            if obstacle
            else what_is_missing(self.look, math.log(harm), negligible, self.seen.contender_requests),
        )

    def obstacles(self) -> Iterator[str]:
        """What forbids an early advance even when the interval is narrow."""
        harm = self.settings.harm_ratio

        def lately() -> str | None:
            counted, negligible = self.counted, self.settings.negligible
            worse = worse_lately(counted.weighed, counted.frame, math.log(harm), negligible)
            return f"errors are {times(harm)} or more" if worse else None

        return obstacles(self.counted.tally, self.held.leaning or leaning(self.look), lately)

    def rates(self) -> str:
        """Both sides in numbers."""
        allowed = self.counted.allows
        told = f" with {' and '.join(allowed)} allowed for" if allowed else ""
        return f"errors {shares_told(self.seen, self.look)}{told}"
