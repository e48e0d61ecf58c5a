"""What a gate will catch, measured: the release's own pseudo-releases from history, with a worse contender in them.

A replay with harm runs as a release with harm would: the same pods turn at the same time, a stage ends early when this
gate has ruled harm out, and the gate stops the release at the first look at which both of its thresholds are exceeded.
Stages that other gates would end later are taken as ending here already, so what is said is less than what is true.
Minutes are those of settled observation, without the time in which pods start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.engine import Worse
from analysis.injection import (
    FEWER_EVENTS,
    HIGHER,
    LOWER,
    MORE_EVENTS,
    SLOWER,
    Harm,
    made_worse,
    turned_histogram,
    turned_levels,
    turned_tally,
)
from analysis.learned import Calibration
from analysis.learning.history import CountHistory, History, LatencyHistory, LevelHistory
from analysis.learning.kinds import Paths
from analysis.learning.plan import ReplayPlan
from analysis.learning.replay import Replay
from analysis.learning.study import Study, Taught
from analysis.learning.tails import clopper_pearson
from analysis.question import Settings
from analysis.samples import BoolArray
from analysis.special import FloatArray

MOST_REPLAYS = 240
"""Replays that a figure of power is made from: enough for a 95 % interval of six points either way."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of replays with its 95 % interval; replays of one segment are one trial in parts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reach:
    """How one gate fares against one harm; `harm` None for a contender that differs in nothing.

    caught: minutes from the beginning of each replay to its rollback, inf where there was none; (replays,). segments:
    of which stretch each replay is. minutes: the longest replay.
    """

    harm: Harm | None
    caught: FloatArray
    segments: FloatArray
    minutes: float

    def within(self, minutes: float = math.inf) -> Share:
        """The share of replays that were stopped by then."""
        hit = self.caught <= minutes if math.isfinite(minutes) else np.isfinite(self.caught)
        distinct = np.unique(self.segments)
        shares = [float(hit[self.segments == one].mean()) for one in distinct]
        low, high = clopper_pearson(sum(shares), float(distinct.size))
        return Share(float(hit.mean()) if hit.size else 0.0, low, high)

    def minutes_at(self, share: float) -> float | None:
        """The minutes by which so large a share of all replays is stopped; None where it never is."""
        if not self.caught.size:
            return None
        at = float(np.sort(self.caught)[min(math.ceil(share * self.caught.size), self.caught.size) - 1])
        return at if math.isfinite(at) else None


@dataclass(frozen=True, slots=True)
class Trace:
    """One replay as a gate saw it: J and margin evidence at each look of `minutes`, against the gate's thresholds."""

    minutes: FloatArray
    joined: FloatArray
    margin: FloatArray
    stages: tuple[tuple[float, int], ...]  # (minute in which a stage begins, its contender pods)


def harms_of(history: History, settings: Settings) -> tuple[Harm, ...]:
    """What is injected into a gate's replays, in the direction that the gate calls worse."""
    match history:
        case LatencyHistory():
            return SLOWER
        case LevelHistory():
            return LOWER if settings.worse is Worse.LOWER else HIGHER
        case CountHistory():
            return FEWER_EVENTS if settings.worse is Worse.LOWER else MORE_EVENTS


def reaches(
    study: Study, gate: str, harms: Sequence[Harm], plan: ReplayPlan, *, seed: int, onset: float = 0.0
) -> list[Reach]:
    """How a gate of a study fares against each harm, by injection. onset: minutes after which contenders are worse.

    Raises KeyError for a gate that has not learned.
    """
    taught = study.taught[gate]
    return [reach(taught, taught.model, taught.calibration, harm, plan, seed=seed, onset=onset) for harm in harms]


def reach(
    taught: Taught,
    model: Any,
    calibration: Calibration,
    harm: Harm | None,
    plan: ReplayPlan,
    *,
    seed: int,
    onset: float = 0.0,
) -> Reach:
    """How thresholds fare on the replays of `taught`; model and calibration may come from another stretch of time."""
    replays, paths = _told(taught, model, harm, plan, seed=seed, onset=onset)
    window = replays[0].window if replays else 60.0
    over = _exceeded(paths, calibration, replays)
    first = np.where(over.any(axis=1), (np.argmax(over, axis=1) + 1.0) * window / 60.0, np.inf)
    segments = np.array([float(one.segment) for one in replays])
    return Reach(harm, first, segments, max((one.ends[-1] for one in replays), default=0) * window / 60.0)


def trace(
    taught: Taught, calibration: Calibration, harm: Harm | None, plan: ReplayPlan, *, seed: int, onset: float = 0.0
) -> list[Trace]:
    """Evidence over time of every replay, for a picture."""
    replays, paths = _told(taught, taught.model, harm, plan, seed=seed, onset=onset)
    joined = calibration.joined(paths.first, paths.second)
    out = []
    for at, one in enumerate(replays):
        looks = one.ends[-1]
        begins = (0, *one.ends[:-1])
        stages = tuple((begin * one.window / 60.0, pods) for begin, pods in zip(begins, one.stages, strict=True))
        minutes: FloatArray = np.arange(1.0, looks + 1.0) * one.window / 60.0
        out.append(Trace(minutes, joined[at, :looks], paths.margin[at, :looks], stages))
    return out


# ------------------------------------------------------------------------------------------------- the replays


def _told(
    taught: Taught, model: Any, harm: Harm | None, plan: ReplayPlan, *, seed: int, onset: float
) -> tuple[tuple[Replay, ...], Paths]:
    """Replays as they would have run with the harm in them, and the evidence at each look."""
    rng = np.random.default_rng(seed)
    replays = _whole(_thinned(taught.replays), plan)
    worse = taught.history if harm is None else made_worse(taught.history, harm, rng)
    since = round(onset * 60.0 / replays[0].window) if replays else 0
    scene = _Scene(taught, model, worse, since, rng)
    for stage in range(max((len(one.stages) for one in replays), default=0)):
        if plan.at_least == plan.at_most:
            break
        looks = max(one.ends[stage] for one in replays if stage < len(one.ends))
        safe = scene.harmless(replays, looks)
        replays = tuple(_ended(one, stage, plan.at_least, safe[at]) for at, one in enumerate(replays))
    looks = max((one.ends[-1] for one in replays), default=0)
    return replays, scene.paths(replays, looks)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A gate's history, as it was and made worse; asked about replays with the worse counts where contenders are."""

    taught: Taught
    model: Any
    worse: History
    onset: int
    rng: np.random.Generator

    def harmless(self, replays: Sequence[Replay], looks: int) -> BoolArray:
        def ask(history: History, many: Sequence[Replay]) -> BoolArray:
            told: BoolArray = self.taught.kind.harmless(self.model, history, many, looks)
            return told

        return np.concatenate([ask(history, many) for history, many in self._played(replays)])

    def paths(self, replays: Sequence[Replay], looks: int) -> Paths:
        parts = [
            self.taught.kind.paths(self.model, history, many, looks, self.rng)
            for history, many in self._played(replays)
        ]
        first, second, margin = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "second", "margin")
        )
        return Paths(first, second, margin)

    def _played(self, replays: Sequence[Replay]) -> list[tuple[History, Sequence[Replay]]]:
        """Histories in which the contenders are worse, with the replays to be asked about in each.

        Counts are asked all at once, one segment for each replay. A gauge leaves the segment of a replay out of its
        reference, so there each replay has a history of its own in which just that segment is another.
        """
        usual, worse, onset = self.taught.history, self.worse, self.onset
        match usual, worse:
            case CountHistory(), CountHistory():
                tallies = [turned_tally(*_both(usual, worse, one), one, onset) for one in replays]
                return [(replace(usual, segments=tuple(tallies)), _renumbered(replays))]
            case LatencyHistory(), LatencyHistory():
                histograms = [turned_histogram(*_both(usual, worse, one), one, onset) for one in replays]
                return [(replace(usual, segments=tuple(histograms)), _renumbered(replays))]
            case LevelHistory(), LevelHistory():
                out: list[tuple[History, Sequence[Replay]]] = []
                for one in replays:
                    segments = list(usual.segments)
                    segments[one.segment] = turned_levels(*_both(usual, worse, one), one, onset)
                    out.append((LevelHistory(tuple(segments)), [one]))
                return out
        raise TypeError(f"{type(worse).__name__} is no history of the kind of {type(usual).__name__}")


def _both(usual: Any, worse: Any, replay: Replay) -> tuple[Any, Any]:
    return usual.segments[replay.segment], worse.segments[replay.segment]


def _renumbered(replays: Sequence[Replay]) -> list[Replay]:
    return [replace(one, segment=number) for number, one in enumerate(replays)]


def _thinned(replays: Sequence[Replay]) -> tuple[Replay, ...]:
    """At most so many replays, evenly over all segments."""
    if len(replays) <= MOST_REPLAYS:
        return tuple(replays)
    places = np.linspace(0, len(replays) - 1, MOST_REPLAYS).round().astype(np.int64)
    return tuple(replays[int(place)] for place in places)


def _whole(replays: Sequence[Replay], plan: ReplayPlan) -> tuple[Replay, ...]:
    """Replays with stages of full length, as they were drawn."""
    return tuple(
        replace(one, ends=tuple(plan.at_most * (stage + 1) for stage in range(len(one.stages)))) for one in replays
    )


def _ended(one: Replay, stage: int, at_least: int, safe: BoolArray) -> Replay:
    """The replay with a stage ended at the first safe look from `at_least` on; as it is without one."""
    if stage >= len(one.ends):
        return one
    first = (one.ends[stage - 1] if stage else 0) + at_least
    ruled_out = np.flatnonzero(safe[first - 1 : one.ends[stage]])
    return one.ending(stage, first + int(ruled_out[0])) if ruled_out.size else one


def _exceeded(paths: Paths, calibration: Calibration, replays: Sequence[Replay]) -> BoolArray:
    """Whether both thresholds are exceeded, at each look within the replay."""
    ends = np.array([one.ends[-1] for one in replays])
    inside = np.arange(1, paths.first.shape[1] + 1)[None, :] <= ends[:, None]
    joined = calibration.joined(paths.first, paths.second)
    result: BoolArray = (joined > calibration.change) & (paths.margin > calibration.margin) & inside
    return result
