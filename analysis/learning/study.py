"""One study of history: draw replays for all gates of a release, let stages end as they would, and set thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.assumptions import (
    ASSIGNMENTS,
    LATEST_SECONDS,
    LEAST_REPLAYS,
    LEAST_SEGMENTS,
    MOST_ASSIGNMENTS,
    MOST_REPLAY_PODS,
)
from analysis.contrast import IntArray
from analysis.learned import Calibration, Guarantee, Learned, NotLearned, Standing
from analysis.learning.calibrate import Sample, calibrate, realised
from analysis.learning.counts import COUNTS
from analysis.learning.history import CountHistory, History, LatencyHistory, LevelHistory, Stretch, careful, stretch_of
from analysis.learning.kinds import Kind, Paths
from analysis.learning.latency import LATENCY
from analysis.learning.levels import LEVELS
from analysis.learning.plan import ReplayPlan
from analysis.learning.replay import Replay
from analysis.levels import Levels
from analysis.question import Settings
from analysis.samples import BoolArray, Histogram, Tally
from analysis.special import FloatArray

KINDS: dict[type[History], Kind[Any, Any]] = {CountHistory: COUNTS, LatencyHistory: LATENCY, LevelHistory: LEVELS}


_Fitted = tuple[Kind[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Taught:
    """One gate in a study: its kind, history, fitted model, and where its replays stand among those of the release.

    replays: with `segment` counted in this gate's own history; rows: their numbers among the replays of the release.
    """

    kind: Kind[Any, Any]
    history: History
    settings: Settings
    model: Any
    replays: tuple[Replay, ...]
    sample: Sample
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Study:
    """What came out. learned: every gate asked for. taught: those that learned, for backtests and power.

    replays: of the release; segment counts distinct stretches. looks: windows of the longest replay.
    """

    learned: dict[str, Learned | NotLearned]
    taught: dict[str, Taught]
    replays: tuple[Replay, ...]
    looks: int


def learn(
    histories: Mapping[str, History],
    settings: Mapping[str, Settings],
    plan: ReplayPlan,
    *,
    alpha: float,
    pause_alpha: float,
    seed: int,
    guarantee: Guarantee = Guarantee.CALIBRATED,
) -> dict[str, Learned | NotLearned]:
    """What history teaches each gate by name; see `study`."""
    told = study(histories, settings, plan, alpha=alpha, pause_alpha=pause_alpha, seed=seed, guarantee=guarantee)
    return told.learned


def study(
    histories: Mapping[str, History],
    settings: Mapping[str, Settings],
    plan: ReplayPlan,
    *,
    alpha: float,
    pause_alpha: float,
    seed: int,
    guarantee: Guarantee = Guarantee.CALIBRATED,
) -> Study:
    """Learn every gate of a release together.

    alpha: chance of a false rollback that these gates may use up together, per release. guarantee: what the standing
    says; NOISE_CHANGED when only the last hours were taken. A gate that cannot be learned says why and leaves the
    others alone. The same arguments give the same result.
    """
    rng = np.random.default_rng(seed)
    if guarantee is Guarantee.NOISE_CHANGED:
        histories = {name: careful(history) for name, history in histories.items()}
    out: dict[str, Learned | NotLearned] = {}
    fitted: dict[str, _Fitted] = {}
    for name, history in histories.items():
        kind = KINDS[type(history)]
        if not history.segments:
            out[name] = NotLearned("TooLittleHistory", f"no segment of history, {LEAST_SEGMENTS} are needed")
            continue
        model = kind.fit(history, settings[name])
        if isinstance(model, NotLearned):
            out[name] = model
        else:
            fitted[name] = (kind, model)
    shared, refused = _stretches({name: histories[name] for name in fitted}, plan, fitted)
    out.update(refused)
    kept = {name: fitted[name] for name in fitted if name not in refused}
    if not kept:
        return Study({name: out[name] for name in histories}, {}, (), 0)
    window = _window(histories[next(iter(kept))])
    replays = _drawn(shared, plan, window, rng)
    replays = _ended(replays, shared, kept, histories, plan)
    looks = max(one.ends[-1] for one in replays)
    over = np.arange(1, looks + 1)[None, :] > np.array([one.ends[-1] for one in replays])[:, None]
    samples: dict[str, Sample] = {}
    models: dict[str, Any] = {}
    mine: dict[str, tuple[Replay, ...]] = {}
    for name, (kind, model) in kept.items():
        rows, mine[name] = _own(replays, shared, name)
        models[name], raised = kind.raised(model, histories[name], mine[name], looks, rng)
        paths = kind.paths(models[name], histories[name], mine[name], looks, rng)
        cut = (_until(values, over[rows]) for values in (paths.first, paths.second, paths.margin))
        worth = kind.worth(models[name], histories[name])[[one.segment for one in mine[name]]]
        samples[name] = Sample(
            kind.family(settings[name]),
            rows,
            Paths(*cut),
            _until(raised, over[rows]),
            worth,
            kind.temper(models[name]),
        )
    segments = np.array([one.segment for one in replays])
    latest = _latest(replays) if guarantee is Guarantee.NOISE_CHANGED else None
    found = calibrate(samples, segments, alpha=alpha, pause_alpha=pause_alpha, latest=latest)
    rate = realised(samples, segments, alpha=alpha, pause_alpha=pause_alpha, latest=latest)
    taught = {}
    for name, (kind, _) in kept.items():
        rows = samples[name].rows
        standing = Standing(guarantee, alpha, int(np.unique(segments[rows]).size), int(rows.size), rate)
        out[name] = kind.finished(models[name], found[name], standing)
        taught[name] = Taught(
            kind, histories[name], settings[name], models[name], mine[name], samples[name], found[name]
        )
    return Study({name: out[name] for name in histories}, taught, replays, looks)


@dataclass(frozen=True, slots=True)
class _Shared:
    """One stretch of history as the gates share it: pods that all of them know, and each gate's own segment number."""

    begin: float
    windows: int
    pods: tuple[str, ...]
    own: dict[str, int]


def _stretches(
    histories: Mapping[str, History], plan: ReplayPlan, fitted: Mapping[str, _Fitted]
) -> tuple[list[_Shared], dict[str, NotLearned]]:
    """Stretches long enough for the plan, with the gates that know them, and the gates left with too few of them."""
    refused: dict[str, NotLearned] = {}
    while True:
        wanted = {name: history for name, history in histories.items() if name not in refused}
        if not wanted:
            return [], refused
        found, short, lonely, silent = _common(wanted, plan, fitted)
        counts = {name: sum(name in one.own for one in found) for name in wanted}
        few = [name for name, count in counts.items() if count < LEAST_SEGMENTS]
        if not few:
            return found, refused
        for name in few:
            total = len(wanted[name].segments)
            if 2 * lonely[name] > total:
                why = f"{lonely[name]} of {total} segments have fewer than two pods to compare"
                refused[name] = NotLearned("TooFewPods", why)
            elif 2 * len(silent[name]) > total:
                why = f"{len(silent[name])} of {total} segments cannot be replayed: {silent[name][-1]}"
                refused[name] = NotLearned("TooFewPods", why)
            else:
                why = f"{counts[name]} usable segments of {total}, {LEAST_SEGMENTS} are needed"
                if short[name]:
                    why += f"; {short[name]} are shorter than the release"
                refused[name] = NotLearned("TooLittleHistory", why)


def _common(
    histories: Mapping[str, History], plan: ReplayPlan, fitted: Mapping[str, _Fitted]
) -> tuple[list[_Shared], dict[str, int], dict[str, int], dict[str, list[str]]]:
    """Usable stretches in order of time; per gate how many were too short, and how many had too few pods.

    Last, why a gate says nothing in a stretch, not even in the first stage, once for each such stretch.
    """
    window = _window(next(iter(histories.values())))
    short, lonely = dict.fromkeys(histories, 0), dict.fromkeys(histories, 0)
    silent: dict[str, list[str]] = {name: [] for name in histories}
    by_begin: dict[int, dict[str, tuple[int, Stretch]]] = {}
    for name, history in histories.items():
        segments: tuple[Tally | Histogram | Levels, ...] = history.segments
        for index, segment in enumerate(segments):
            there = stretch_of(segment)
            if there is not None:
                by_begin.setdefault(round(there.begin / window), {})[name] = (index, there)
    out = []
    for _, known in sorted(by_begin.items()):
        pods: set[str] = set()
        own: dict[str, int] = {}
        begin, end = -math.inf, math.inf
        for name, (index, there) in known.items():
            both = pods & set(there.pods) if own else set(there.pods)
            # A gate that sees other pods than the gates before it would leave nobody to draw from.
            if len(both) < 2 or 2 * len(both) < len(pods):
                lonely[name] += 1
                continue
            pods, own[name] = both, index
            begin, end = max(begin, there.begin), min(end, there.end)
        if not own:
            continue
        windows = round((end - begin) / window)
        size = min(len(pods), MOST_REPLAY_PODS)
        stages = plan.stages(size)
        if not stages or windows < plan.at_most * len(stages):
            for name in own:
                short[name] += 1
            continue
        for name in tuple(own):
            kind, model = fitted[name]
            why = kind.silent(model, stages[0])
            if why is not None:
                silent[name].append(why)
                del own[name]
        if own:
            out.append(_Shared(begin, windows, tuple(sorted(pods)), own))
    return out, short, lonely, silent


def _drawn(shared: Sequence[_Shared], plan: ReplayPlan, window: float, rng: np.random.Generator) -> tuple[Replay, ...]:
    """Replays with stages of full length: nested random assignments, and random beginnings in longer stretches."""
    each = min(max(ASSIGNMENTS, math.ceil(LEAST_REPLAYS / len(shared))), MOST_ASSIGNMENTS)
    out = []
    for number, one in enumerate(shared):
        for _ in range(each):
            order = [one.pods[int(place)] for place in rng.permutation(len(one.pods))][:MOST_REPLAY_PODS]
            stages = plan.stages(len(order))
            ends = tuple(plan.at_most * (stage + 1) for stage in range(len(stages)))
            begin = one.begin + window * int(rng.integers(one.windows - ends[-1] + 1))
            out.append(Replay(number, tuple(order), begin, window, stages, ends, int(rng.integers(2**31))))
    return tuple(out)


def _ended(
    replays: tuple[Replay, ...],
    shared: Sequence[_Shared],
    fitted: Mapping[str, _Fitted],
    histories: Mapping[str, History],
    plan: ReplayPlan,
) -> tuple[Replay, ...]:
    """Stages end at the first look, not before `at_least`, at which every gate has ruled harm out."""
    if plan.at_least == plan.at_most:
        return replays
    for stage in range(max(len(one.stages) for one in replays)):
        looks = max(one.ends[stage] for one in replays if stage < len(one.ends))
        safe = np.ones((len(replays), looks), dtype=np.bool_)
        for name, (kind, model) in fitted.items():
            rows, mine = _own(replays, shared, name)
            safe[rows] &= kind.harmless(model, histories[name], mine, looks)
        replays = tuple(_ending(one, stage, plan.at_least, safe[at]) for at, one in enumerate(replays))
    return replays


def _ending(one: Replay, stage: int, at_least: int, safe: BoolArray) -> Replay:
    """The replay with a stage ended at the first look from `at_least` on that is safe; as it is without one."""
    if stage >= len(one.ends):
        return one
    first = (one.ends[stage - 1] if stage else 0) + at_least
    ruled_out = np.flatnonzero(safe[first - 1 : one.ends[stage]])
    return one.ending(stage, first + int(ruled_out[0])) if ruled_out.size else one


def _latest(replays: Sequence[Replay]) -> BoolArray:
    """Which replays begin within the last hour of history; the last ones in any case."""
    begins = np.array([one.begin for one in replays])
    last = max(one.begin + one.window * one.ends[-1] for one in replays)
    latest: BoolArray = begins >= min(last - LATEST_SECONDS, float(begins.max()))
    return latest


def _own(replays: Sequence[Replay], shared: Sequence[_Shared], name: str) -> tuple[IntArray, tuple[Replay, ...]]:
    """The replays whose stretch a gate knows, with its own segment numbers."""
    rows = [at for at, one in enumerate(replays) if name in shared[one.segment].own]
    mine = tuple(replace(replays[at], segment=shared[replays[at].segment].own[name]) for at in rows)
    return np.array(rows, dtype=np.int64), mine


def _until(values: FloatArray, over: BoolArray) -> FloatArray:
    result: FloatArray = np.where(over, -np.inf, values)
    return result


def _window(history: History) -> float:
    segment = history.segments[0]
    return segment.tally.window if hasattr(segment, "tally") else segment.window
