"""From what was gathered to a Baseline: the gates of a policy studied together, and the usual course of each.

Pure: the same history gives the same baseline, because the seed comes from the policy's name and the day.
`learn_policy` is the whole way from a store to a baseline, for the controller's own job and the command line alike.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.allowance import mixed
from analysis.assumptions import HISTORY_SHARE
from analysis.band import LearnedBand
from analysis.band_pods import PodSpread
from analysis.band_terms import Series, Unit, series_of
from analysis.learned import AgeCurve, Guarantee, Learned, LearnedCounts, LearnedLatency, NotLearned
from analysis.learning import CountHistory, History, LatencyHistory, LevelHistory, ReplayPlan, Study, compared, study
from analysis.learning.ages import Rollout, learned_ages
from analysis.learning.band import learn_band
from analysis.learning.band_pods import pod_spread
from analysis.learning.latency import LATENCY
from analysis.learning.mix import Mix, learned_mix
from analysis.learning.present import Present as Likelihood
from analysis.levels import Levels
from analysis.question import Settings
from analysis.samples import Histogram, Tally
from controller.baseline import Baseline, Excluded, Likeness, Present, learning_digest
from controller.gates import settings
from controller.learning import fetch_plan
from controller.learning.gather import GateHistory, Gathered, Progress, Subject, gather, recent, release_seconds
from controller.strategies import targets_of
from policies.schema import Gate, ReleasePolicy

_REFITS = 16  # age curves refitted on resampled rollouts, beside the learned one


@dataclass(frozen=True, slots=True)
class Taught:
    """What was learned, and the studies that it came from: the gates that can stop a release, and the others."""

    baseline: Baseline
    required: Study
    watched: Study
    settings: Mapping[str, Settings]
    plan: ReplayPlan


def learn_policy(
    subject: Subject,
    now: float,
    *,
    releases: Sequence[Mapping[str, Any]] = (),
    progress: Callable[[Progress], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Baseline:
    """Everything that a store's history teaches about a policy.

    subject: the policy, its namespace, the store and how it scrapes. now: epoch seconds. releases: Release objects of
    the policy; their time teaches nothing. progress: told before each question. Raises Stopped. A fault of the store is
    a NotLearned of the gates that it concerns.
    """
    gathered = gather(subject, now, releases=releases, progress=progress, stopping=stopping)
    return learn(gathered, subject.policy, subject.namespace, now).baseline


def relearn_lately(
    subject: Subject,
    now: float,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Baseline:
    """The gates as the last three hours alone teach them, for a release whose noise is not that of history."""
    gathered = gather(subject, now, span=fetch_plan.FALLBACK_SPAN, bands=False, progress=progress, stopping=stopping)
    return learn(gathered, subject.policy, subject.namespace, now, guarantee=Guarantee.NOISE_CHANGED).baseline


def look_at_present(
    baseline: Baseline,
    subject: Subject,
    now: float,
    release: str,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> Present:
    """Whether the last hour is like the history that a baseline was learned from. release: its uid."""
    gathered = recent(subject, now, fetch_plan.PRESENT_SPAN, stopping=stopping)
    return Present(
        release, now, {name: _likeness(baseline.gates.get(name), one) for name, one in gathered.gates.items()}
    )


def learn(
    gathered: Gathered,
    policy: ReleasePolicy,
    namespace: str,
    now: float,
    *,
    guarantee: Guarantee = Guarantee.CALIBRATED,
) -> Taught:
    """What was gathered, studied. Gates that can stop a release share its alpha; the others are studied apart.

    Where history has no stretch as long as a release may be, a shorter release is replayed, and its alpha is smaller by
    as much: the chance of a false alarm in a time is at most the sum of those of its parts.
    """
    seed = seed_of(namespace, policy.name, now)
    alpha = policy.spec.promise.false_rollback.fraction
    pause = policy.spec.promise.false_pause.fraction
    plan, share = replay_plan(policy, gathered.window, gathered.length)
    asked = {gate.name: settings(gate, policy) for gate in policy.spec.learnable}
    histories = {name: history_of(one, seed, asked[name]) for name, one in gathered.gates.items()}
    studies = []
    for required in (True, False):
        names = [gate.name for gate in policy.spec.learnable if gate.required is required]
        known = {name: one for name in names if not isinstance(one := histories[name], NotLearned)}
        studies.append(
            study(
                known,
                {name: asked[name] for name in known},
                plan,
                alpha=alpha * (1.0 - HISTORY_SHARE) * share,
                pause_alpha=pause * (1.0 - HISTORY_SHARE) * share,
                seed=seed,
                guarantee=guarantee,
            )
            if known
            else Study({}, {}, (), 0)
        )
    gates: dict[str, Learned | NotLearned] = {
        name: one for name, one in histories.items() if isinstance(one, NotLearned)
    }
    for told in studies:
        gates.update({name: _promised(found, alpha) for name, found in told.learned.items()})
    baseline = Baseline(
        digest=learning_digest(policy, gathered.window),
        learned_at=now,
        window=gathered.window,
        start=gathered.start,
        end=gathered.end,
        coverage=gathered.coverage,
        excluded=gathered.excluded,
        gates={gate.name: gates[gate.name] for gate in policy.spec.learnable},
        bands={
            name: _band(one, gathered.excluded, pod_spread(gates[name], one.segments))
            for name, one in gathered.gates.items()
            if one.line is not None
        },
    )
    return Taught(baseline, studies[0], studies[1], asked, plan)


def replay_plan(policy: ReleasePolicy, window: float, segment: float) -> tuple[ReplayPlan, float]:
    """The release as windows, cut to fit into a segment (seconds), and the share of the whole that this leaves."""
    spec = policy.spec
    stages = len(targets_of(spec, 1_000))
    most = max(1, math.floor(spec.observe.at_most.seconds / window))
    least = min(most, max(1, math.ceil(spec.observe.at_least.seconds / window)))
    room = max(1, math.floor(segment / window) - fetch_plan.SLACK)
    fitting = min(most, max(1, room // stages))
    plan = ReplayPlan(lambda pods: targets_of(spec, pods), min(least, fitting), fitting)
    return plan, fitting / most


def history_of(one: GateHistory, seed: int, settings: Settings) -> History | NotLearned:
    """A gate's counts in the shape that its kind learns from, with the curves of young pods and the route mix."""
    if one.trouble is not None:
        return one.trouble
    if not one.segments:
        return NotLearned("TooLittleHistory", "no stretch of history has data of this gate")
    tallies = [segment for segment in one.segments if isinstance(segment, Tally)]
    histograms = [segment for segment in one.segments if isinstance(segment, Histogram)]
    levels = [segment for segment in one.segments if isinstance(segment, Levels)]
    if levels:
        return LevelHistory(tuple(levels))
    if histograms:
        latency = LatencyHistory(tuple(histograms))
        return replace(latency, ages=_curves(_slow_rollouts(one, latency, settings), seed))
    found = learned_mix(tallies)
    mix: Mix = () if isinstance(found, NotLearned) else found
    fair = tuple(mixed(tally, mix) if mix else tally for tally in tallies)
    return CountHistory(fair, age_curves(one, seed, mix), mix)


def age_curves(one: GateHistory, seed: int, mix: Mix = ()) -> tuple[AgeCurve, ...]:
    """The learned curve of young pods and refits of it, or none where past rollouts do not tell."""
    rollouts = [
        Rollout(mixed(counted, mix) if mix else counted, born)
        for counted, born in one.rollouts
        if isinstance(counted, Tally)
    ]
    return _curves(rollouts, seed)


def _slow_rollouts(one: GateHistory, history: LatencyHistory, settings: Settings) -> list[Rollout]:
    """Rollouts as each watched boundary tells them: youth changes latency, and boundaries answer to it differently."""
    model = LATENCY.fit(history, settings)
    if isinstance(model, NotLearned):
        return []
    found = []
    for counted, born in one.rollouts:
        if isinstance(counted, Histogram):
            bounds = counted.boundaries.tolist()
            found += [
                Rollout(counted.above(bounds.index(bound.seconds)), born, bound.slope)
                for bound in model.learned
                if bound.seconds in bounds and bound.slope > 0.0
            ]
    return found


def _curves(rollouts: Sequence[Rollout], seed: int) -> tuple[AgeCurve, ...]:
    found = learned_ages(rollouts)
    if isinstance(found, NotLearned):
        return ()
    return (found.curve, *(found.resampled((seed, number)) for number in range(_REFITS)))


def seed_of(namespace: str, name: str, now: float) -> int:
    """The same for one policy on one day (UTC), so that learning twice learns the same."""
    digest = hashlib.sha256(f"{namespace}/{name}/{int(now // 86_400)}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def band_series(one: GateHistory) -> Series | NotLearned:
    """The gate's number of all pods together, every five minutes."""
    line = one.line
    if line is None or isinstance(line, NotLearned):
        return line if line is not None else NotLearned("NoSeries", "the usual course was not asked for")
    series = series_of(line.times, line.values)
    return series if isinstance(series, Series) else NotLearned(series.reason.value, series.detail)


def unit_of(gate: Gate) -> Unit:
    """The scale of a gate's number: shares have two ends."""
    return Unit.SHARE if gate.kind == "errorRatio" else Unit.LEVEL


def _band(one: GateHistory, excluded: Sequence[Excluded], pods: PodSpread) -> LearnedBand | NotLearned:
    series = band_series(one)
    if isinstance(series, NotLearned):
        return series
    # learn_band adds the time around each span by itself.
    inner = [(span.start + fetch_plan.BEFORE, span.end - fetch_plan.AFTER) for span in excluded]
    return learn_band(series, unit_of(one.gate), inner, pods=pods)


def _promised(one: Learned | NotLearned, alpha: float) -> Learned | NotLearned:
    """With the promise that people made, of which the replays had the part that is not the history band's."""
    return one if isinstance(one, NotLearned) else replace(one, standing=replace(one.standing, alpha=alpha))


def _likeness(learned: Learned | NotLearned | None, one: GateHistory) -> Likeness:
    if not isinstance(learned, LearnedCounts | LearnedLatency) or not one.segments:
        return Likeness.UNKNOWN
    last = one.segments[-1]
    if isinstance(last, Tally) and isinstance(learned, LearnedCounts):
        return _LIKENESS[compared(learned, mixed(last, learned.mix) if learned.mix else last)]
    if isinstance(last, Histogram) and isinstance(learned, LearnedLatency):
        return _LIKENESS[compared(learned, last)]
    return Likeness.UNKNOWN


_LIKENESS: Mapping[Likelihood, Likeness] = {
    Likelihood.SAME: Likeness.SAME,
    Likelihood.CHANGED: Likeness.CHANGED,
    Likelihood.UNKNOWN: Likeness.UNKNOWN,
}

__all__ = [
    "Progress", "Subject", "Taught", "age_curves", "band_series", "history_of", "learn", "learn_policy",
    "look_at_present", "relearn_lately", "release_seconds", "replay_plan", "seed_of", "unit_of",
]  # fmt: skip
