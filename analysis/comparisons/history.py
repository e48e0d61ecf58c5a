"""history: does a number of the whole app leave the band that its own past drew, by more than the margin?

It stands alone where there is no incumbent to compare with, and tells an environment that got worse from a version that
is worse where there is one: when the incumbents' own numbers breach their band too, the change is shared.

The band judges the hour after its origin. What it has not decided by then it will not decide: forecasts further ahead
are guesses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import (
    BAND_FILL,
    BAND_HEALTHY_POINTS,
    BAND_HORIZON,
    BAND_OLDEST_POINT,
    BAND_SMALL_INCUMBENT,
    BAND_STEP,
    HISTORY_SHARE,
    MARGIN_ALPHA,
)
from analysis.band import LearnedBand, Opening, Weighed, evidence
from analysis.band_pods import NOBODY_CAME, Turnover
from analysis.band_terms import Series, Unit, filled
from analysis.engine import Worse
from analysis.figures import number, times
from analysis.learned import Guarantee, NotLearned, Standing
from analysis.question import Settings
from analysis.special import FloatArray
from analysis.verdict import Absence, Effect, Evidence, Exposure, Freshness, NoData, Verdict, blind

AGAINST_HISTORY = "history"
"""Evidence.effect.measure: the two rates are what was observed and what history let expect."""


@dataclass(frozen=True, slots=True)
class HistoryInput:
    """One question to the band of one gate.

    made: the forecast at the origin, kept since. after: the same series from the origin on, points up to the origin are
    ignored. now: epoch seconds. settings: of the gate, with its whole alpha. share: the part of it that history has.
    turnover: which pods of the forecast serve still, and how many new ones.
    """

    band: LearnedBand | NotLearned
    made: Opening | Absence
    after: Series | Absence
    now: float
    settings: Settings
    share: float = HISTORY_SHARE
    turnover: Turnover = NOBODY_CAME


def history_share(incumbent_share: float) -> float:
    """The part of a gate's alpha that history has: 20 %, and 80 % once the incumbent serves less than a fifth."""
    return HISTORY_SHARE if incumbent_share >= BAND_SMALL_INCUMBENT else 1.0 - HISTORY_SHARE


def compare(asked: HistoryInput) -> Evidence:
    """Evidence on the app against its own history.

    Degraded: a change above ln(1/alpha) and, at that look, one beyond the margin above ln 10. Healthy: the interval
    excludes the harm. Blind: a hole of more than 15 minutes, a last point older than that, no band, or numbers that are
    none. Undecided: anything else, and whatever one hour has not decided.
    """
    if isinstance(asked.band, NotLearned):
        return _blind(Absence(NoData.NO_HISTORY, f"{asked.band.reason}: {asked.band.detail}"))
    if isinstance(asked.made, Absence):
        return _blind(asked.made)
    if isinstance(asked.after, Absence):
        early = asked.after.reason is NoData.NO_SERIES and asked.now - asked.made.origin <= BAND_OLDEST_POINT
        return _waiting(asked.band, asked) if early else _blind(asked.after)
    points = points_after(asked.made.origin, asked.after)
    if isinstance(points, Absence):
        return _blind(points)
    return _Judged(asked.band, asked.made, asked, points).verdict()


def points_after(origin: float, after: Series) -> FloatArray | Absence:
    """The up to 12 values after the origin, short holes filled; NaN for longer ones, nothing behind the last point."""
    steps = (after.start - origin) / BAND_STEP
    first = round(steps)
    if abs(steps - first) > 0.1:
        return Absence(NoData.MISALIGNED, f"the series is {abs(steps - first) * BAND_STEP:.0f} s off the forecast")
    grid = np.full(BAND_HORIZON, np.nan)
    values = after.values[max(1 - first, 0) :]
    begin = max(first, 1) - 1
    kept = values[: max(BAND_HORIZON - begin, 0)]
    grid[begin : begin + kept.size] = kept
    if (grid < 0.0).any():
        return Absence(NoData.NEGATIVE, f"a value of {np.nanmin(grid):.4g} is below zero")
    known = np.flatnonzero(np.isfinite(grid))
    if not known.size:
        return grid[:0]
    if 0 < known[0] <= BAND_FILL:
        grid[: known[0]] = grid[known[0]]
    return filled(grid)[: known[-1] + 1]


@dataclass(frozen=True, slots=True)
class _Judged:
    """The known beginning of the hour, weighed."""

    band: LearnedBand
    made: Opening
    asked: HistoryInput
    points: FloatArray

    def verdict(self) -> Evidence:
        whole = np.isfinite(self.points)
        n = int(np.argmin(whole)) if not whole.all() else whole.size
        seen = self._weighed(self.points[:n]) if n else None
        # What was already too strange stays so, whatever became of the series afterwards.
        if seen is not None and self._degraded(seen):
            return self._told(seen, Verdict.DEGRADED, self._numbers(seen), "numbers back inside what history expects")
        if n < whole.size:
            hole = f"more than {BAND_FILL} points are missing after point {n} of {BAND_HORIZON}"
            return _blind(Absence(NoData.STALE, hole), self._freshness(n), n)
        newest = self.made.origin + BAND_STEP * n
        if n < BAND_HORIZON and self.asked.now - newest > BAND_OLDEST_POINT:
            late = f"the last point is {(self.asked.now - newest) / 60:.0f} minutes old"
            return _blind(Absence(NoData.STALE, late), self._freshness(n), n)
        if seen is None:
            return _waiting(self.band, self.asked)
        return self._open(seen)

    def _open(self, seen: Weighed) -> Evidence:
        """Not degraded: has the harm been excluded?"""
        told = self._numbers(seen)
        harm = self.asked.settings.harm_ratio
        if self._leaning(seen):
            return self._told(seen, Verdict.UNDECIDED, f"{told}; leaning towards harm", self._more(seen, "it to fall"))
        if seen.points < BAND_HEALTHY_POINTS:
            few = f"fewer than {BAND_HEALTHY_POINTS} points"
            return self._told(seen, Verdict.UNDECIDED, f"{told}; {few}", "the next points")
        hidden = self._could_hide(seen)
        if hidden < harm or self._extra(seen) < self.asked.settings.negligible:
            return self._told(
                seen,
                Verdict.HEALTHY,
                f"{told}; a change of {times(hidden)} is ruled out, harm begins at {times(harm)}",
                f"a change that could reach {times(harm)}",
            )
        return self._told(
            seen,
            Verdict.UNDECIDED,
            f"{told}; {times(hidden)} is not ruled out, harm begins at {times(harm)}",
            self._more(seen, f"an interval that excludes {times(harm)}"),
        )

    def _more(self, seen: Weighed, wanted: str) -> str:
        if seen.points < BAND_HORIZON:
            return f"{BAND_HORIZON - seen.points} more points, and {wanted}"
        return "nothing further from history: its hour is over"

    def _weighed(self, points: FloatArray) -> Weighed:
        margin = self.asked.settings.margin
        return evidence(
            self.band,
            self.made,
            points,
            self._worse,
            margin=margin.ratio,
            points=margin.points,
            turnover=self.asked.turnover,
        )

    @property
    def _worse(self) -> Worse:
        return self.asked.settings.worse

    @property
    def _threshold(self) -> float:
        """ln(1/alpha) of history's share; a direction gets half of it where both are harm."""
        sides = 2.0 if self._worse is Worse.EITHER else 1.0
        return math.log(sides / (self.asked.settings.alpha * self.asked.share))

    @property
    def _pause(self) -> float:
        sides = 2.0 if self._worse is Worse.EITHER else 1.0
        return math.log(sides / (self.asked.settings.pause_alpha * self.asked.share))

    def _degraded(self, seen: Weighed) -> bool:
        return seen.nats > self._threshold and seen.margin_nats > math.log(1.0 / MARGIN_ALPHA)

    def _leaning(self, seen: Weighed) -> bool:
        return seen.nats > self._pause and seen.margin_nats > 0.0

    def _could_hide(self, seen: Weighed) -> float:
        """The largest change for the worse inside the interval, as a ratio of at least 1."""
        down = 1.0 / seen.low if seen.low > 0.0 else math.inf
        match self._worse:
            case Worse.HIGHER:
                return max(seen.high, 1.0)
            case Worse.LOWER:
                return max(down, 1.0)
            case Worse.EITHER:
                return max(seen.high, down, 1.0)

    def _extra(self, seen: Weighed) -> float:
        """Bound on the extra share of bad requests; for shares only."""
        if self.band.unit is not Unit.SHARE or self._worse is not Worse.HIGHER or not math.isfinite(seen.high):
            return math.inf
        return max(seen.high - 1.0, 0.0) * seen.expected

    def _numbers(self, seen: Weighed) -> str:
        return (
            f"{number(seen.observed)} over the first {seen.at} points where history expects {number(seen.expected)}: "
            f"{times(seen.effect)}, evidence {seen.nats:.1f} against {self._threshold:.1f}{self._luck(seen)}"
        )

    def _luck(self, seen: Weighed) -> str:
        if seen.offset <= 0.0:
            return ""
        pods, told = self.asked.turnover, "assumed to be" if math.isinf(self.band.pods.freedom) else "usually"
        served = f"{pods.came} new pods" + (f" and {pods.stayed} of {pods.before} old ones" if pods.stayed else "")
        return f" ({served} are {told} {100.0 * math.expm1(seen.offset):.2g} % off by chance)"

    def _told(self, seen: Weighed, verdict: Verdict, because: str, would_change: str) -> Evidence:
        hidden = self._could_hide(seen)
        return Evidence(
            verdict=verdict,
            because=because,
            would_change=would_change,
            exposure=Exposure(windows=seen.points, minutes=seen.points * BAND_STEP / 60.0),
            freshness=self._freshness(seen.points),
            effect=Effect(
                ratio=seen.likely if math.isfinite(seen.likely) else None,
                low=seen.low if math.isfinite(seen.low) else 0.0,
                high=seen.high if math.isfinite(seen.high) else None,
                contender_rate=seen.observed,
                incumbent_rate=seen.expected,
                measure=AGAINST_HISTORY,
            ),
            log_evidence=seen.nats,
            threshold=self._threshold,
            margin_evidence=seen.margin_nats,
            margin_threshold=math.log(1.0 / MARGIN_ALPHA),
            standing=standing(self.band, self.asked.settings.alpha * self.asked.share),
            leaning=self._leaning(seen),
            could_hide=hidden if math.isfinite(hidden) else None,
            warnings=("the level changed a day before: learned from the last days",) if self.band.shifted else (),
        )

    def _freshness(self, n: int) -> Freshness:
        newest = self.made.origin + BAND_STEP * n
        return Freshness(last_contender_end=newest if n else None, contender_windows=n)


def standing(band: LearnedBand, alpha: float) -> Standing:
    """What stands behind a verdict of the band: the distinct hours that its tail rests on."""
    return Standing(Guarantee.CALIBRATED, alpha, band.upper_tail.segments, band.upper_tail.segments, band.realised)


def _waiting(band: LearnedBand, asked: HistoryInput) -> Evidence:
    return Evidence(
        verdict=Verdict.UNDECIDED,
        because="no point after the origin yet: they come every five minutes",
        would_change="the first points",
        standing=standing(band, asked.settings.alpha * asked.share),
    )


def _blind(absence: Absence, freshness: Freshness | None = None, points: int = 0) -> Evidence:
    seen = Exposure(windows=points, minutes=points * BAND_STEP / 60.0)
    told = blind(absence, exposure=seen, freshness=freshness)
    return replace(told, would_change="a point every five minutes of the app's own series, and a day of it before")
