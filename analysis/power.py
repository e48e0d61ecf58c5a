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

from analysis.assumptions import POWER_REPLAYS
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
from analysis.learning.study import Taught
from analysis.learning.tails import clopper_pearson
from analysis.question import Settings
from analysis.samples import BoolArray
from analysis.special import FloatArray


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
    of which stretch each replay is. draws: which release it is, for replays of several gates. minutes: the longest one.
    """

    harm: Harm | None
    caught: FloatArray
    segments: FloatArray
    draws: FloatArray
    minutes: float

    def within(self, minutes: float = math.inf) -> Share:
        """The share of replays that were stopped by then."""
        hit = self.caught <= minutes if math.isfinite(minutes) else np.isfinite(self.caught)
        return _share(hit, self.segments)

    def minutes_at(self, share: float) -> float | None:
        """The minutes by which so large a share of all replays is stopped; None where it never is."""
        if not self.caught.size:
            return None
        at = float(np.sort(self.caught)[min(math.ceil(share * self.caught.size), self.caught.size) - 1])
        return at if math.isfinite(at) else None


@dataclass(frozen=True, slots=True)
class Trial:
    """Thresholds learned in one stretch of time, tried on replays cut out of another one, or of the same.

    replays: their `segment` is an index into `history`.
    """

    taught: Taught
    history: History
    replays: tuple[Replay, ...]
    model: Any
    calibration: Calibration

    @classmethod
    def inside(cls, taught: Taught) -> Trial:
        """The replays that the thresholds were learned from."""
        return cls(taught, taught.history, taught.replays, taught.model, taught.calibration)

    @classmethod
    def later(cls, before: Taught, after: Taught) -> Trial:
        """What `before` learned, on replays of a time that it has not seen."""
        if not (isinstance(before.history, LevelHistory) and isinstance(after.history, LevelHistory)):
            return cls(before, after.history, after.replays, before.model, before.calibration)
        # A gauge's model knows pods by the segments of its own history: the later segments come behind them, empty.
        known, more = len(before.history.segments), len(after.history.segments)
        model = replace(
            before.model,
            totals=np.pad(before.model.totals, ((0, 0), (0, more))),
            counts=np.pad(before.model.counts, ((0, 0), (0, more))),
        )
        segments = (*before.history.segments, *after.history.segments)
        moved = tuple(replace(one, segment=one.segment + known) for one in after.replays)
        return cls(before, replace(after.history, segments=segments), moved, model, before.calibration)


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


def reach(trial: Trial, harm: Harm | None, plan: ReplayPlan, *, seed: int, onset: float = 0.0) -> Reach:
    """How a gate fares against a harm, None for none, by injection. onset: minutes after which contenders are worse."""
    replays, paths = _told(trial, harm, plan, seed=seed, onset=onset)
    window = replays[0].window if replays else 60.0
    over = _exceeded(paths, trial.calibration, replays)
    first = np.where(over.any(axis=1), (np.argmax(over, axis=1) + 1.0) * window / 60.0, np.inf)
    longest = max((one.ends[-1] for one in replays), default=0) * window / 60.0
    segments = np.array([float(one.segment) for one in replays])
    return Reach(harm, first, segments, np.array([float(one.draw) for one in replays]), longest)


def trace(trial: Trial, harm: Harm | None, plan: ReplayPlan, *, seed: int, onset: float = 0.0) -> list[Trace]:
    """Evidence over time of every replay, for a picture."""
    replays, paths = _told(trial, harm, plan, seed=seed, onset=onset)
    joined = trial.calibration.joined(paths.first, paths.second)
    out = []
    for at, one in enumerate(replays):
        looks = one.ends[-1]
        begins = (0, *one.ends[:-1])
        stages = tuple((begin * one.window / 60.0, pods) for begin, pods in zip(begins, one.stages, strict=True))
        minutes: FloatArray = np.arange(1.0, looks + 1.0) * one.window / 60.0
        out.append(Trace(minutes, joined[at, :looks], paths.margin[at, :looks], stages))
    return out


def any_stopped(told: Sequence[Reach]) -> Share:
    """The share of releases that at least one of several gates stopped; replays are matched by their draws."""
    stopped: dict[float, tuple[float, bool]] = {}
    for one in told:
        for draw, segment, at in zip(one.draws.tolist(), one.segments.tolist(), one.caught.tolist(), strict=True):
            before = stopped.get(draw, (segment, False))[1]
            stopped[draw] = segment, before or math.isfinite(at)
    hits = np.array([hit for _, hit in stopped.values()], dtype=np.bool_)
    return _share(hits, np.array([segment for segment, _ in stopped.values()]))


def _share(hits: BoolArray, segments: FloatArray) -> Share:
    distinct = np.unique(segments)
    shares = [float(hits[segments == one].mean()) for one in distinct]
    low, high = clopper_pearson(sum(shares), float(distinct.size))
    return Share(float(hits.mean()) if hits.size else 0.0, low, high)


# ------------------------------------------------------------------------------------------------- the replays


def _told(
    trial: Trial, harm: Harm | None, plan: ReplayPlan, *, seed: int, onset: float
) -> tuple[tuple[Replay, ...], Paths]:
    """Replays as they would have run with the harm in them, and the evidence at each look."""
    rng = np.random.default_rng(seed)
    replays = _whole(_thinned(trial.replays), plan)
    worse = trial.history if harm is None else made_worse(trial.history, harm, rng)
    scene = _Scene(trial, worse, round(onset * 60.0 / replays[0].window) if replays else 0, rng)
    if plan.at_least < plan.at_most:
        replays = _advanced(scene, replays, plan.at_least)
    looks = max((one.ends[-1] for one in replays), default=0)
    return replays, scene.paths(replays, looks)


def _advanced(scene: _Scene, replays: tuple[Replay, ...], at_least: int) -> tuple[Replay, ...]:
    """The replays with every stage ended where this gate has ruled harm out.

    A stage that ends early moves all later ones, and the contenders of those turn earlier: then the gate is asked
    again. Against a plain harm it never is.
    """
    safe: BoolArray | None = None
    for stage in range(max((len(one.stages) for one in replays), default=0)):
        if safe is None:
            safe = scene.harmless(replays, max(one.ends[-1] for one in replays))
        ended = tuple(_ended(one, stage, at_least, safe[at]) for at, one in enumerate(replays))
        if ended != replays:
            replays, safe = ended, None
    return replays


@dataclass(frozen=True, slots=True)
class _Scene:
    """A gate's history, as it was and made worse; asked about replays with the worse counts where contenders are."""

    trial: Trial
    worse: History
    onset: int
    rng: np.random.Generator

    def harmless(self, replays: Sequence[Replay], looks: int) -> BoolArray:
        def ask(history: History, many: Sequence[Replay]) -> BoolArray:
            told: BoolArray = self.trial.taught.kind.harmless(self.trial.model, history, many, looks)
            return told

        return np.concatenate([ask(history, many) for history, many in self._played(replays)])

    def paths(self, replays: Sequence[Replay], looks: int) -> Paths:
        parts = [
            self.trial.taught.kind.paths(self.trial.model, history, many, looks, self.rng)
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
        usual, worse, onset = self.trial.history, self.worse, self.onset
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
    if len(replays) <= POWER_REPLAYS:
        return tuple(replays)
    places = np.linspace(0, len(replays) - 1, POWER_REPLAYS).round().astype(np.int64)
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
