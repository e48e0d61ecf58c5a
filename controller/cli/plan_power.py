"""The figures of a plan: what each gate catches by when, what is missing for the rest, and how long a release takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import CAUGHT, HISTORY_SHARE, LEAST_LEVELS
from analysis.band import LearnedBand
from analysis.band_power import reaches_alone
from analysis.injection import Harm, How
from analysis.learned import LearnedBoundary, Noise, NotLearned
from analysis.learning.history import CountHistory, LatencyHistory, LevelHistory
from analysis.learning.latency import LatencyModel
from analysis.learning.levels import LevelModel
from analysis.learning.study import Study
from analysis.learning.study import Taught as TaughtGate
from analysis.power import Reach, Trial, harms_of, reach
from analysis.reach import Course, Lack, Missing, level_floor, level_power, missing, pod_ceiling
from controller.learning.gather import Gathered
from controller.learning.learn import Taught, band_series
from policies.schema import Gate, ReleasePolicy

_TIMES = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0)
_COLUMNS = 4
_EDGE = "at the edge of what this release can see: longer stages, more pods or more traffic each help a little"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: contender pods of all pods, and whether an incumbent is left to compare with."""

    name: str
    contender: int
    pods: int

    @property
    def compared(self) -> bool:
        return self.contender < self.pods


@dataclass(frozen=True, slots=True)
class GatePower:
    """What one gate catches. lacks: of each harm, None where it is caught. ceiling: the ratio below which nothing is.

    watched: the longest replay in minutes. alone: what the history band catches in an hour in which no incumbent is
    left. Without history there is only `not_learned`.
    """

    gate: Gate
    reaches: tuple[Reach, ...] = ()
    healthy: Reach | None = None
    lacks: tuple[Lack | None, ...] = ()
    ceiling: float | None = None
    segments: int = 0
    not_learned: NotLearned | None = None
    alone: tuple[Reach, ...] = ()

    @property
    def watched(self) -> float:
        """Minutes of the longest replay."""
        return max((one.minutes for one in self.reaches), default=0.0)


def stages_of(policy: ReleasePolicy, pods: int) -> list[Stage]:
    """The stages of a release of so many pods; batches that mean the same pods are merged."""
    from controller.strategies import targets_of

    targets = targets_of(policy.spec, pods)
    kept: list[Stage] = []
    for number, target in enumerate(targets):
        if not kept or target > kept[-1].contender:
            kept.append(Stage("canary" if number == 0 else f"batch {number} of {len(targets) - 1}", target, pods))
    return kept


def fleet_of(taught: Taught) -> int:
    """How many pods the app has had lately: those of the latest segment of the gate that saw most of them; 0: none."""
    latest = 0
    for told in (taught.required, taught.watched):
        for one in told.taught.values():
            segment = one.history.segments[-1]
            seen = segment.tally.seen if hasattr(segment, "tally") else segment.seen
            latest = max(latest, int((seen.sum(axis=1) * 2 >= seen.shape[1]).sum()))
    return latest


def gate_of(taught: Taught, name: str) -> tuple[Study, TaughtGate] | None:
    """The study that a gate was learned in, and what it holds of the gate; None where it was not learned."""
    for told in (taught.required, taught.watched):
        if name in told.taught:
            return told, told.taught[name]
    return None


def powers(
    policy: ReleasePolicy,
    found: Gathered,
    taught: Taught,
    pods: int,
    *,
    seed: int,
    told: Callable[[float, str], None],
) -> list[GatePower]:
    """What every gate of a policy catches. told: how far it is (0 to 1), and with what."""
    out = []
    for number, gate in enumerate(policy.spec.learnable):
        told(number / len(policy.spec.learnable), f"gate {gate.name}: its usual course")
        alone = _alone(found, taught, gate.name, pods)
        learned = gate_of(taught, gate.name)
        if learned is None:
            why = taught.baseline.gates[gate.name]
            assert isinstance(why, NotLearned)
            out.append(GatePower(gate, not_learned=why, alone=alone))
            continue
        one = learned[1]
        trial = Trial.inside(one)
        harms = harms_of(one.history, one.settings)
        reaches = []
        for place, harm in enumerate((None, *harms)):
            done = (number + (place + 1) / (len(harms) + 2)) / len(policy.spec.learnable)
            told(done, f"gate {gate.name}: {harm.label if harm is not None else 'no harm'}")
            reaches.append(reach(trial, harm, taught.plan, seed=seed))
        lacks = tuple(_lack(one, reached, taught, pods) for reached in reaches[1:])
        ceiling = _ceiling(one, taught, pods)
        segments = len({replay.segment for replay in one.replays})
        out.append(GatePower(gate, tuple(reaches[1:]), reaches[0], lacks, ceiling, segments, alone=alone))
    return out


def _alone(found: Gathered, taught: Taught, name: str, pods: int) -> tuple[Reach, ...]:
    """What the gate's history band catches while it is alone, all pods being new; nothing where it was not learned."""
    band = taught.baseline.bands.get(name)
    series = band_series(found.gates[name])
    if not isinstance(band, LearnedBand) or isinstance(series, NotLearned):
        return ()
    settings = taught.settings[name]
    left_out = [(one.start, one.end) for one in taught.baseline.excluded]
    # The replays of a calibrated gate have had the rest of the promise.
    share = HISTORY_SHARE if gate_of(taught, name) is not None else 1.0 - HISTORY_SHARE
    return tuple(reaches_alone(band, series, settings, alpha=share * settings.alpha, pods=pods, left_out=left_out))


def columns(longest: float) -> list[float]:
    """The minutes that a table shows, the last one being the whole observation."""
    inside = [minutes for minutes in _TIMES if minutes < 0.95 * longest]
    if len(inside) >= _COLUMNS:
        picked = np.linspace(0, len(inside) - 1, _COLUMNS - 1).round().astype(int)
        inside = [inside[int(place)] for place in picked]
    return [*inside, longest]


# ------------------------------------------------------------------------------------------- what is missing


def _course(one: TaughtGate, taught: Taught, pods: int) -> Course | None:
    """What the comparison has at its best: the stage in which both sides are largest, watched through all stages."""
    stages = taught.plan.stages(pods)
    if not stages:
        return None
    contender = min(stages, key=lambda k: 1.0 / k + 1.0 / (pods - k))
    windows = float(taught.plan.at_most * len(stages))
    window = one.replays[0].window if one.replays else 30.0
    return Course(contender, pods - contender, windows, window, _requests(one))


def _requests(one: TaughtGate) -> float:
    """Mean exposure of a pod in a window."""
    tallies = [s.tally if hasattr(s, "tally") else s for s in one.history.segments if not hasattr(s, "instants")]
    seen = sum(int(tally.seen.sum()) for tally in tallies)
    return max(sum(float(tally.exposure.sum()) for tally in tallies) / max(seen, 1), 1e-9)


def _lack(one: TaughtGate, reached: Reach, taught: Taught, pods: int) -> Lack | None:
    """What is missing where fewer than nine in ten are caught in the whole observation."""
    harm = reached.harm
    if harm is None or reached.within().value >= CAUGHT:
        return None
    size = harm.size if harm.size >= 1.0 else 1.0 / harm.size
    if harm.how is not How.TAIL and size <= one.settings.margin.ratio * 1.0001:
        return Lack(Missing.NOTHING, f"inside the margin (x{one.settings.margin.ratio:g}), so tolerated on purpose")
    course = _course(one, taught, pods)
    if course is None:
        return Lack(Missing.PODS, "more pods: with one pod there is nobody to compare with")
    found = min(_lacks(one, harm, course), key=lambda lack: _ORDER[lack.missing], default=None)
    if found is not None and found.missing is not Missing.NOTHING:
        return found
    if harm.how is not How.TAIL and size < one.settings.harm_ratio:
        return Lack(
            Missing.TIME,
            f"more time: a stage ends as soon as x{one.settings.harm_ratio:g} is ruled out, and {harm.label} is less; "
            "a longer observe.atLeast shows more of it",
        )
    return Lack(Missing.NOTHING, _EDGE)


_ORDER: Mapping[Missing, int] = {Missing.NOTHING: 0, Missing.TRAFFIC: 1, Missing.TIME: 2, Missing.PODS: 3}


def _lacks(one: TaughtGate, harm: Harm, course: Course) -> Iterator[Lack]:
    """For latency of each boundary: the gate sees what the best of them sees."""
    alpha = one.settings.alpha
    match one.history:
        case CountHistory():
            size = harm.size if harm.size >= 1.0 else 1.0 / harm.size
            yield _named(missing(size, one.model.rate, one.model.noise, course, alpha=alpha), size, harm)
        case LatencyHistory():
            for bound in _boundaries(one):
                effect = _effect(bound, harm)
                yield _named(missing(effect, bound.share, bound.noise, course, alpha=alpha), effect, harm)
        case LevelHistory():
            most = max((stage for replay in one.replays for stage in replay.stages), default=0)
            yield _level_lack(one.model, harm, course, alpha, most)


def _named(lack: Lack, effect: float, harm: Harm) -> Lack:
    """The same, told about the harm instead of the ratio of events that it makes."""
    return Lack(lack.missing, lack.detail.replace(f"x{effect:g}", harm.label))


def _boundaries(one: TaughtGate) -> tuple[LearnedBoundary, ...]:
    return one.model.learned if isinstance(one.model, LatencyModel) else ()


def _effect(bound: LearnedBoundary, harm: Harm) -> float:
    """By how much a harm multiplies the share of requests above a boundary."""
    most = 0.95 / bound.share
    if harm.how is How.TAIL:
        return min((bound.share + harm.size * (1.0 - bound.share)) / bound.share, most)
    return min(math.exp(bound.slope * math.log(harm.size)), most)


def _level_lack(model: LevelModel, harm: Harm, course: Course, alpha: float, on_trial: int) -> Lack:
    known = len(model.learned.levels)
    if known - on_trial < LEAST_LEVELS:
        return Lack(
            Missing.PODS,
            f"more history: it knows {known} pods, and with {on_trial} of them on trial too few are left to compare "
            "with; every rollout adds its pods",
        )
    spread = float(np.std(model.learned.levels, ddof=1))
    ratio = harm.size if harm.size >= 1.0 else 1.0 / harm.size
    most = level_power(ratio, spread, course.contender, known, alpha=alpha)
    if most < CAUGHT:
        return Lack(
            Missing.PODS,
            f"more pods, not more time: levels of healthy pods differ by {100 * spread:.0f} %, so {course.contender} "
            f"among {known} known ones show {harm.label} with at most {100 * most:.0f} %",
        )
    if level_floor(course.contender, known) > alpha:
        return Lack(Missing.PODS, f"more history: {known} known pods are too few for {100 * alpha:g} %")
    return Lack(Missing.NOTHING, _EDGE)


def _ceiling(one: TaughtGate, taught: Taught, pods: int) -> float | None:
    """The ratio of events below which no traffic and no time helps; None where it says nothing."""
    course = _course(one, taught, pods)
    if course is None or not isinstance(one.history, CountHistory):
        return None
    noise: Noise = one.model.noise
    pairs = zip(noise.variation.times, noise.variation.variances, strict=True)
    lasting = sum(variance for time, variance in pairs if math.isinf(time) or time >= course.windows)
    if lasting <= 0.0:
        return None
    return pod_ceiling(math.sqrt(math.log1p(lasting)), course.contender, course.incumbent, alpha=one.settings.alpha)


def hopeless(power: GatePower) -> Sequence[tuple[Harm, Lack]]:
    """The harms that are not caught in nine of ten releases, with what is missing; each reason once."""
    out: list[tuple[Harm, Lack]] = []
    for one, lack in zip(power.reaches, power.lacks, strict=True):
        if lack is not None and one.harm is not None:
            out.append((one.harm, lack))
    return out
