"""gauge: do the contender's pods run at a level that healthy pods of their role do not have?

Memory, CPU, connections, threads: a number per pod, up or down. Every reading of one pod repeats the same few facts
about it, so the pods are the sample and time adds little: more pods, not more minutes, make this gate sharp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import HEALTHY_MIN_WINDOWS, LIMIT_READINGS, STALE_WINDOWS
from analysis.engine import Worse
from analysis.figures import number, times
from analysis.learned import Learned, LearnedLevels, NotLearned
from analysis.levels import GaugeSettings, Levels, read_levels
from analysis.position import enough_known
from analysis.question import ComparisonInput, Settings
from analysis.reach import level_power
from analysis.samples import Frame, lately
from analysis.verdict import LEVEL, Absence, Effect, Evidence, NoData, Verdict, blind
from analysis.weighing import Weighed, weigh


def compare(request: ComparisonInput) -> Evidence:
    """Evidence on the levels of a gauge (term "readings") in the settled windows of a release.

    Degraded: both joined evidence and margin evidence above their thresholds at this look, or a contender pod whose
    last readings all lie beyond the hard bound. Healthy: the interval of the ratio excludes the harm. Undecided also
    while pods are too young to be compared or too few. Blind: no usable data.
    """
    if request.unread is not None:
        return blind(request.unread)
    levels = read_levels(request.term("readings"), request.frame)
    if isinstance(levels, Absence):
        return blind(levels)
    told = judge(levels, request.settings, request.frame, request.learned)
    return replace(told, windows=levels.contender_windows())


def judge(levels: Levels, settings: Settings, frame: Frame, learned: Learned | NotLearned | None = None) -> Evidence:
    """The same for readings that are at hand already."""
    broken = _beyond_bound(levels, settings)
    if broken:
        return _bound_broken(levels, settings, broken)
    exposure, freshness = levels.summary(), levels.freshness
    if not levels.seen[levels.contender].any():
        missing = Absence(NoData.NO_SERIES, "no reading of any contender pod in a settled window")
        return blind(missing, exposure=exposure, freshness=freshness)
    history = _history(levels, learned)
    found = weigh(levels, settings, history)
    stale = _stale(levels, frame)
    if isinstance(found, Absence):
        return blind(stale, exposure=exposure, freshness=freshness) if stale else _not_yet(levels, found, history)
    if history is None and isinstance(learned, LearnedLevels):
        known = f"{len(learned.levels)} known pods are too few beside {exposure.contender_pods} on trial"
        found = replace(found, warnings=(*found.warnings, f"{known}: compared with the incumbents on assumed noise"))
    judged = _Judged(levels, settings, found, history)
    if found.degraded:
        return judged.degradation()
    if stale is not None:
        return blind(stale, exposure=exposure, freshness=freshness)
    return judged.verdict()


@dataclass(frozen=True, slots=True)
class _Judged:
    """One look at the readings, weighed against the settings."""

    levels: Levels
    settings: Settings
    found: Weighed
    learned: LearnedLevels | None

    def evidence(self, verdict: Verdict, because: str, would_change: str) -> Evidence:
        found = self.found
        return Evidence(
            verdict=verdict,
            because=because,
            would_change=would_change,
            exposure=self.levels.summary(),
            freshness=self.levels.freshness,
            effect=self.effect(),
            log_evidence=found.change,
            threshold=found.change_threshold,
            margin_evidence=found.margin,
            margin_threshold=found.margin_threshold,
            standing=found.standing,
            leaning=found.leaning,
            could_hide=math.exp(found.shift + found.half),
            warnings=found.warnings,
        )

    def effect(self) -> Effect:
        found = self.found
        ends = (found.shift - found.half, found.shift + found.half)
        if self.settings.worse is Worse.LOWER:
            low, ratio, high = -ends[1], -found.shift, -ends[0]
        else:
            low, ratio, high = ends[0], found.shift, ends[1]
        return Effect(math.exp(ratio), math.exp(low), math.exp(high), found.ours, found.theirs, LEVEL)

    def degradation(self) -> Evidence:
        found, blame = self.found, self.pod_to_blame()
        told = self.evidence(
            Verdict.DEGRADED,
            f"{self.told()}; evidence {found.change:.1f} above {found.change_threshold:.1f}, margin "
            f"{times(self.settings.margin.ratio)} exceeded by {found.margin:.1f} above {found.margin_threshold:.1f}"
            + (f"; pod {blame} carries it, the others are inside the margin" if blame else ""),
            f"evidence at or below {found.change_threshold:.1f}, or margin evidence at or below "
            f"{found.margin_threshold:.1f}",
        )
        return replace(told, blame=blame)

    def verdict(self) -> Evidence:
        harm, found = self.settings.harm_ratio, self.found
        high = math.exp(found.shift + found.half)
        obstacle = next(self.obstacles(), None)
        if obstacle is None and high < harm:
            return self.evidence(
                Verdict.HEALTHY,
                f"{self.told()}; at most {times(high)} {self.direction()}, below the harm of {times(harm)}",
                f"an upper end of {times(harm)} or more, or more evidence of harm",
            )
        return self.evidence(
            Verdict.UNDECIDED,
            f"{self.told()}; " + (obstacle or f"harm up to {times(high)} is not ruled out"),
            f"this no longer holds: {obstacle}" if obstacle else self.what_is_missing(),
        )

    def obstacles(self) -> Iterator[str]:
        """What forbids an early advance even when the interval is narrow."""
        silent = self.levels.freshness.silent
        if silent:
            yield f"{len(silent)} contender pod(s) without recent readings, first {silent[0]}"
        young = int(self.levels.seen[self.levels.contender].any(axis=1).sum()) - self.found.pods
        if young > 0:
            yield f"{young} contender pod(s) too young to be compared"
        if self.found.leaning:
            yield "the evidence leans towards harm: it has to fall first"
        if self.found.lately >= math.log(self.settings.harm_ratio):
            yield f"in the last minutes alone, levels are {times(self.settings.harm_ratio)} {self.direction()} or more"
        if self.levels.freshness.contender_windows < HEALTHY_MIN_WINDOWS:
            yield f"fewer than {HEALTHY_MIN_WINDOWS} windows with readings"

    def what_is_missing(self) -> str:
        """Time cannot help where pods differ: how many pods would."""
        found, room = self.found, math.log(self.settings.harm_ratio) - self.found.shift
        if room <= 0.0:
            return f"an upper end that falls below {times(self.settings.harm_ratio)}"
        wanted = math.ceil(found.pods * (found.half / room) ** 2)
        caught = level_power(self.settings.harm_ratio, found.sd, found.pods, found.known, alpha=self.settings.alpha)
        return (
            f"about {max(wanted, found.pods + 1)} contender pods instead of {found.pods}; with these, "
            f"{times(self.settings.harm_ratio)} is caught with P <= {caught:.2g}, however long one waits"
        )

    def told(self) -> str:
        """Both sides in numbers."""
        found = self.found
        against = "of history" if self.learned is not None else "of the incumbent"
        ratio = math.exp(-found.shift if self.settings.worse is Worse.LOWER else found.shift)
        return (
            f"level {number(found.ours)} of {found.pods} contender pods against {number(found.theirs)} of "
            f"{found.known} pods {against}: {times(ratio)}"
        )

    def direction(self) -> str:
        return "lower" if self.settings.worse is Worse.LOWER else "higher"

    def pod_to_blame(self) -> str | None:
        """The one contender pod without which the rest is inside the margin and shows no evidence."""
        each = self.found.each
        if len(each) < 2:
            return None
        suspect = max(each, key=lambda one: one[1])[0]
        rest = weigh(self.levels.without(suspect), self.settings, self.learned)
        if isinstance(rest, Absence):
            return None
        inside = rest.shift <= math.log(self.settings.margin.ratio)
        return suspect if inside and rest.change <= rest.pause else None


def _history(levels: Levels, learned: Learned | NotLearned | None) -> LearnedLevels | None:
    """What was learned, where its replays were judged with so many pods on trial; beyond that it promises nothing."""
    if not isinstance(learned, LearnedLevels):
        return None
    on_trial = int(levels.seen[levels.contender].any(axis=1).sum())
    return learned if enough_known(len(learned.levels), on_trial) else None


def _not_yet(levels: Levels, why: Absence, learned: LearnedLevels | None) -> Evidence:
    """There are readings, but nothing to compare them with: no pass and no failure."""
    told = Evidence(
        verdict=Verdict.UNDECIDED,
        because=f"Cannot be compared yet ({why.reason.value}): {why.detail}",
        would_change="contender pods past that age, or enough pods to compare with",
        exposure=levels.summary(),
        freshness=levels.freshness,
        no_data=why.reason,
    )
    return told if learned is None else replace(told, standing=learned.standing)


def _stale(levels: Levels, frame: Frame) -> Absence | None:
    """A contender that had readings and has fallen silent."""
    used = levels.instants[levels.seen[levels.contender].any(axis=0)]
    if used.size and used[-1] > lately(frame):
        return None
    return Absence(NoData.STALE, f"no contender reading in the last {STALE_WINDOWS} settled windows")


def _beyond_bound(levels: Levels, settings: Settings) -> list[tuple[str, float]]:
    """Contender pods whose last three readings all lie beyond the hard bound, with the least bad of them."""
    bound = settings.bound if isinstance(settings, GaugeSettings) else None
    if bound is None:
        return []
    broken = []
    for row in np.flatnonzero(levels.contender):
        last = levels.values[row][np.isfinite(levels.values[row])][-LIMIT_READINGS:]
        if last.size < LIMIT_READINGS:
            continue
        if settings.worse is Worse.LOWER and float(last.max()) < bound:
            broken.append((levels.pods[int(row)], float(last.max())))
        elif settings.worse is not Worse.LOWER and float(last.min()) > bound:
            broken.append((levels.pods[int(row)], float(last.min())))
    return broken


def _bound_broken(levels: Levels, settings: Settings, broken: list[tuple[str, float]]) -> Evidence:
    """Degraded by the hard bound alone; neither incumbent nor history is asked."""
    bound = settings.bound if isinstance(settings, GaugeSettings) else None
    side = "below" if settings.worse is Worse.LOWER else "above"
    name, level = broken[0]
    return Evidence(
        verdict=Verdict.DEGRADED,
        because=f"the last {LIMIT_READINGS} readings of {len(broken)} contender pod(s), first {name} at "
        f"{number(level)}, lie {side} the limit of {number(bound or 0.0)} whatever the incumbent does",
        would_change=f"a reading of each pod that is not {side} {number(bound or 0.0)}",
        exposure=levels.summary(),
        freshness=levels.freshness,
        limit_broken=True,
        blame=name if len(broken) == 1 and int(levels.contender.sum()) > 1 else None,
    )
