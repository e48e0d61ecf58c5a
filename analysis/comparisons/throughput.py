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

from analysis.comparisons.counted import Counted, inclined, obstacles, over
from analysis.comparisons.grounds import missing_side, shown, since_settled, stale_side, told_since
from analysis.counting import count_rate
from analysis.engine import Look, Worse, look_at_rates
from analysis.figures import number, times
from analysis.held import Held
from analysis.learned import Learned, NotLearned
from analysis.onset import onset
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
    told = judge(tally, request.settings, request.frame, request.learned)
    return replace(told, windows=tally.contender_windows())


def judge(tally: Tally, settings: Settings, frame: Frame, learned: Learned | NotLearned | None = None) -> Evidence:
    """The same for counts that are at hand already."""
    missing = missing_side(tally) or _idle(tally)
    if missing is not None:
        return blind(missing, exposure=_exposure(tally), freshness=tally.freshness)
    shared = tally.shared()
    judged = _Judged.of(Counted.of(shared, settings, frame, learned), settings)
    if judged.held.degraded:
        return judged.degradation()
    stale = stale_side(tally, frame, traffic=False)
    if stale is not None:
        return blind(stale, exposure=_exposure(shared), freshness=tally.freshness)
    return judged.verdict()


@dataclass(frozen=True, slots=True)
class _Judged:
    """One look at the shared windows, held against its thresholds; low, high of the look are of events per pod."""

    counted: Counted
    settings: Settings
    look: Look
    held: Held

    @classmethod
    def of(cls, counted: Counted, settings: Settings) -> _Judged:
        seen = look_at_rates(counted.weighed, settings.margin, counted.noise, settings.worse)
        return cls(counted, settings, seen, counted.held(seen))

    @property
    def hidden(self) -> float:
        """The largest harm inside the interval, as a factor of 1 or more."""
        high, fewer = self.look.high, 1.0 / self.look.low if self.look.low > 0.0 else math.inf
        match self.settings.worse:
            case Worse.HIGHER:
                return max(high, 1.0)
            case Worse.LOWER:
                return max(fewer, 1.0)
        return max(high, fewer, 1.0)

    def evidence(self, verdict: Verdict, because: str, would_change: str) -> Evidence:
        tally = self.counted.tally
        ours, theirs = _rates(tally)
        return self.held.evidence(
            verdict,
            because,
            would_change,
            exposure=_exposure(tally),
            freshness=tally.freshness,
            effect=Effect(self.look.ratio, *shown(self.look), ours, theirs, PER_SECOND),
            could_hide=self.hidden if verdict is Verdict.UNDECIDED else None,
        )

    def degradation(self) -> Evidence:
        blame = self.pod_to_blame()
        seen = self.counted
        began = onset(seen.tally, seen.weighed, seen.noise, self.settings.worse, PER_SECOND)
        exceeded = self.held.exceeded(times(self.settings.margin.ratio), blame)
        because = f"{self.rates()}{told_since(began, per=' events/s')}; {exceeded}"
        return replace(self.evidence(Verdict.DEGRADED, because, self.held.undone), blame=blame, onset=began)

    def verdict(self) -> Evidence:
        harm = self.settings.harm_ratio
        obstacle = next(self.obstacles(), None)
        if obstacle is None and self.hidden < harm:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.rates()}; at most {times(self.hidden)} {self.direction()}, below the harm of {times(harm)}",
                f"an interval in which {times(harm)} {self.direction()} could hide, or more evidence of harm",
            )
        could = f"up to {times(self.hidden)} {self.direction()} is not ruled out"
        return self.evidence(
            Verdict.UNDECIDED,
            f"{self.rates()}; " + (obstacle or (could if math.isfinite(self.hidden) else "no harm is ruled out")),
            f"this no longer holds: {obstacle}" if obstacle else self.what_is_missing(),
        )

    def obstacles(self) -> Iterator[str]:
        """What forbids an early advance even when the interval is narrow."""
        harm = f"{times(self.settings.harm_ratio)} {self.direction()} at the least"
        leans = self.held.leaning or inclined(self.look.ln_change, self.look.ln_margin)
        return obstacles(self.counted.tally, leans, lambda: harm if self.worse_lately() else None)

    def worse_lately(self) -> bool:
        """Whether harm is what the windows since the last settled span began look like, beyond chance."""
        seen, due, _ = since_settled(self.counted.weighed, self.counted.frame)
        if abs(seen - due) <= 3.0 * math.sqrt(max(seen, due)):
            return False
        change = math.log((seen + 0.5) / (due + 0.5))
        harm = math.log(self.settings.harm_ratio)
        up = self.settings.worse is not Worse.LOWER and change >= harm
        return up or (self.settings.worse is not Worse.HIGHER and -change >= harm)

    def what_is_missing(self) -> str:
        """What would rule the harm out: windows as far as chance is in the way, pods beyond that."""
        harm = self.settings.harm_ratio
        kept = math.exp(self.look.pod_half_width)
        if kept >= harm:
            return f"more contender pods: pod noise alone could hide {times(harm)}"
        return f"more windows: what could hide must fall from {times(self.hidden)} below {times(harm)}"

    def rates(self) -> str:
        """Both sides in numbers."""
        ours, theirs = _rates(self.counted.tally)
        ratio = "" if self.look.ratio is None else f": {times(self.look.ratio)}"
        allowed = " with young pods allowed for" if self.counted.allows else ""
        return f"{number(ours)} events/s of a contender pod against {number(theirs)} of an incumbent's{ratio}{allowed}"

    def direction(self) -> str:
        """The harm in a word."""
        words = {Worse.HIGHER: "more", Worse.LOWER: "less", Worse.EITHER: "more or less"}
        return words[self.settings.worse]

    def pod_to_blame(self) -> str | None:
        """The one contender pod without which nothing is left of the evidence; None when no single one carries it."""
        tally = self.counted.weighed
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
        again = look_at_rates(rest, self.settings.margin, self.counted.noise, self.settings.worse)
        return None if over(again) else suspect


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
