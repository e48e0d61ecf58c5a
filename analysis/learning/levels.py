"""What history teaches about a gauge: the levels that healthy pods of the role have had, and how they grow with age.

A replay lets pods of history play the contender. At each look the pods on trial by then are left out of the reference
that they are held against, as a new pod's level is in no reference, and so is their segment; the same statistics run
over the stages of the release. A stage that would leave fewer than 12 pods says nothing, in a replay as in a release.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.assumptions import (
    BURSTY_SHARE,
    LEAST_LEVELS,
    LEAST_READINGS,
    LEVEL_BLOCK,
    MOST_LEVELS,
    TAIL_SHARE,
)
from analysis.engine import Worse
from analysis.learned import Calibration, Learned, LearnedLevels, NotLearned, Scale, Standing
from analysis.learning.growth import growth_of
from analysis.learning.history import LevelHistory
from analysis.learning.kinds import Family, Paths
from analysis.learning.replay import NOTHING_SEEN, Replay
from analysis.levels import Levels, Spans, offset_of
from analysis.position import Reference, enough_known, position, reference
from analysis.question import Settings
from analysis.samples import BoolArray
from analysis.special import FloatArray
from analysis.weighing import TWO_SIDED, adjusted, drift, placed


@dataclass(frozen=True, slots=True)
class LevelModel:
    """A gauge's reference before thresholds are known.

    learned: all of it but the thresholds. totals, counts: (pods, segments) sums and numbers of ln readings of grown
    pods, in the direction of harm, from which levels without one segment are made.
    """

    learned: LearnedLevels
    settings: Settings
    totals: FloatArray
    counts: FloatArray
    # Each replay is walked several times over, and most of a walk was making these anew.
    _without: dict[tuple[int, frozenset[str]], tuple[Reference, dict[str, float]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def margin(self) -> float:
        """ln of the tolerated ratio."""
        return math.log(self.settings.margin.ratio)

    def without(self, segment: int, out: frozenset[str]) -> tuple[Reference, dict[str, float]]:
        """The reference without some pods and without one segment, and the level of each pod outside that segment.

        A pod that lived in this segment alone keeps its level in the reference, for it is one that a healthy pod had;
        but it has none to drift from.
        """
        found = self._without.get((segment, out))
        if found is None:
            found = self._without[segment, out] = self._made_without(segment, out)
        return found

    def _made_without(self, segment: int, out: frozenset[str]) -> tuple[Reference, dict[str, float]]:
        many = self.counts.sum(axis=1) - self.counts[:, segment]
        outside = (self.totals.sum(axis=1) - self.totals[:, segment]) / np.maximum(many, 1.0)
        whole = self.totals.sum(axis=1) / np.maximum(self.counts.sum(axis=1), 1.0)
        levels = np.where(many >= LEAST_READINGS, outside, whole)
        kept = np.array([name not in out for name in self.learned.pods], dtype=np.bool_)
        known = {
            name: float(level)
            for name, level, enough in zip(self.learned.pods, outside, many >= LEAST_READINGS, strict=True)
            if enough
        }
        return reference(levels[kept], self.learned.within), known


@dataclass(frozen=True, slots=True)
class LevelKind:
    """Gauges, for the calibration."""

    def family(self, settings: Settings) -> Family:
        """A gauge tells how full something is."""
        return Family.SATURATION

    def fit(self, history: LevelHistory, settings: Settings) -> LevelModel | NotLearned:
        """The levels of pods of the role: at least 12 pods with ten readings each, the latest 200 of them."""
        readings = np.concatenate([one.values[np.isfinite(one.values)] for one in history.segments] or [np.zeros(0)])
        if not readings.size:
            return NotLearned("TooLittleHistory", "history holds no reading of this gauge")
        idle = float((readings == 0.0).mean())
        if idle > BURSTY_SHARE:
            return NotLearned("BurstyGauge", f"at zero in {100.0 * idle:.0f} % of readings: it has no level to compare")
        growing = growth_of((*history.segments, *history.rollouts), offset_of(readings))
        bare = LearnedLevels(
            (), 0.0, offset_of(readings), _UNSET, Standing(), plateau=growing.plateau, growth=growing.steps
        )
        names, totals, counts = _sums(history.segments, bare, settings.worse)
        enough = counts.sum(axis=1) >= LEAST_READINGS
        if int(enough.sum()) < LEAST_LEVELS:
            return NotLearned(
                "TooFewPods",
                f"{int(enough.sum())} pods with {LEAST_READINGS} readings or more, {LEAST_LEVELS} are needed",
            )
        last = np.array([int(np.flatnonzero(row)[-1]) if row.any() else -1 for row in counts > 0.0])
        latest = np.argsort(np.where(enough, -last, 1), kind="stable")[: min(int(enough.sum()), MOST_LEVELS)]
        totals, counts = totals[latest], counts[latest]
        turned = -1.0 if settings.worse is Worse.LOWER else 1.0
        levels = turned * totals.sum(axis=1) / counts.sum(axis=1)
        learned = replace(
            bare,
            levels=tuple(float(level) for level in levels),
            pods=tuple(names[row] for row in latest),
            within=_within(history.segments, bare, settings.worse),
        )
        return LevelModel(learned, settings, totals, counts)

    def worth(self, model: LevelModel, history: LevelHistory) -> FloatArray:
        """Levels are compared with all of history."""
        return np.ones(len(history.segments))

    def temper(self, model: LevelModel) -> float:
        """Ranks of levels run ahead of nothing."""
        return 1.0

    def silent(self, model: LevelModel, on_trial: int) -> str | None:
        """Pods on trial are left out of the reference, and 12 must stay in it."""
        known = len(model.learned.levels)
        if enough_known(known, on_trial):
            return None
        return f"{known} known pods, {on_trial} of them on trial: {LEAST_LEVELS} others are needed"

    def harmless(self, model: LevelModel, history: LevelHistory, replays: Sequence[Replay], looks: int) -> BoolArray:
        """Whether the interval of the ratio excludes the harm at each look, the last minutes alone included."""
        out = np.zeros((len(replays), looks), dtype=np.bool_)
        harm = math.log(model.settings.harm_ratio)
        for at, one in enumerate(replays):
            for stage in _stages(model, history, one, looks):
                out[at, stage.part] = _harmless(stage, harm)
        return out

    def raised(
        self,
        model: LevelModel,
        history: LevelHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
    ) -> tuple[LevelModel, FloatArray]:
        """Margin evidence of contenders whose readings are worse by the margin ratio."""
        out = np.stack([self._walk(model, history, one, looks, model.margin)[2] for one in replays])
        return model, out

    def paths(
        self,
        model: LevelModel,
        history: LevelHistory,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
        worse: LevelHistory | None = None,
    ) -> Paths:
        """Evidence of healthy pods in the place of the contender; with `worse`, of the same pods from there."""
        walked = np.stack([np.stack(self._walk(model, history, one, looks, 0.0, worse)) for one in replays])
        return Paths(walked[:, 0], walked[:, 1], walked[:, 2])

    def finished(self, model: LevelModel, calibration: Calibration, standing: Standing) -> Learned:
        """What is kept: levels with the names of their pods, and the thresholds.

        Segments are not what healthy releases of a gauge differ by: their pods are, and many segments show the same
        pods. Where the reference has fewer pods than there are segments, the thresholds' distance from no evidence
        grows by the caution that so few pods deserve.
        """
        more = max(caution(len(model.learned.levels)) / caution(standing.segments), 1.0)
        none = float(calibration.joined(np.zeros(1), np.zeros(1))[0])
        widened = replace(
            calibration,
            change=none + more * (calibration.change - none),
            pause=none + more * (calibration.pause - none),
            margin=more * max(calibration.margin, 0.0),
        )
        return replace(model.learned, calibration=widened, standing=standing)

    def _walk(
        self,
        model: LevelModel,
        history: LevelHistory,
        one: Replay,
        looks: int,
        shift: float,
        worse: LevelHistory | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Likelihood, rank and margin evidence at every look of one replay, contender levels raised by `shift`."""
        out = np.full((3, looks), NOTHING_SEEN)
        for stage in _stages(model, history, one, looks, worse):
            found = position(stage.known, stage.levels + shift, stage.spans.weights, model.margin)
            seen = np.isfinite(stage.levels[:, 0]).any(axis=0)
            told = np.stack([found.likelihood, found.ranks, found.margin])
            out[:, stage.part] = np.where(seen, told, NOTHING_SEEN)
        return out[0], out[1], out[2]


LEVELS = LevelKind()


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage of a replay as a gate would see it, with its own reference.

    part: its looks. levels: (contender pods, starts, looks of the stage). seen: (contender pods, looks of the stage),
    whether a pod has had a reading yet.
    """

    part: slice
    known: Reference
    levels: FloatArray
    spans: Spans
    seen: BoolArray


def _stages(
    model: LevelModel, history: LevelHistory, one: Replay, looks: int, worse: LevelHistory | None = None
) -> Iterator[_Stage]:
    """The stages that can be heard. Left out of a reference are the pods on trial by then and nobody else."""
    turns = one.turns()
    laid = _laid_out(history.segments[one.segment], model, one, looks)
    turned = laid if worse is None else _laid_out(worse.segments[one.segment], model, one, looks)
    turn = np.array([turns.get(pod, looks) for pod in one.order])[:, None]
    place = np.arange(looks)
    theirs = np.where(place < turn, laid, np.nan)
    ours = np.where(place >= turn, turned, np.nan)
    seen = np.logical_or.accumulate(np.isfinite(ours), axis=1)
    whole = Spans.of(np.arange(1, looks + 1), one.window)
    last = len(one.stages) - 1
    for number, on_trial in enumerate(one.stages):
        begin = one.ends[number - 1] if number else 0
        part = slice(begin, looks if number == last else min(one.ends[number], looks))
        if part.start >= part.stop or not enough_known(len(model.learned.levels), on_trial):
            continue
        known, own = model.without(one.segment, frozenset(one.order[:on_trial]))
        expected = np.array([own.get(pod, math.nan) for pod in one.order])
        spans = whole.only(part)
        moved = drift(theirs, expected, spans)
        levels = placed(ours[:on_trial], None, moved, known, spans)
        yield _Stage(part, known, levels, spans, seen[:on_trial, part])


def _harmless(stage: _Stage, harm: float) -> BoolArray:
    """Whether harm is ruled out at each look of a stage, with a level of every pod that has readings."""
    known, there = stage.known, np.isfinite(stage.levels)
    pods = there.sum(axis=0)
    mean = np.where(there, stage.levels, 0.0).sum(axis=0) / np.maximum(pods, 1) - known.mean
    half = TWO_SIDED * known.sd * np.sqrt(1.0 / np.maximum(pods[0], 1) + 1.0 / known.levels.size)
    # The last start from which there is a level, at each look.
    last = np.where(pods > 0, np.arange(pods.shape[0])[:, None], -1).max(axis=0)
    lately = np.take_along_axis(mean, np.maximum(last, 0)[None], axis=0)[0]
    enough = (pods[0] > 0) & (pods[0] == stage.seen.sum(axis=0))
    safe: BoolArray = enough & (mean[0] + half < harm) & (lately < harm)
    return safe


def _laid_out(segment: Levels, model: LevelModel, one: Replay, looks: int) -> FloatArray:
    """ln readings of the replay's pods, in its order, at its own looks; NaN where there is none."""
    values, _ = adjusted(segment, model.learned, model.settings.worse)
    place = np.rint((segment.instants - one.begin) / one.window).astype(np.int64) - 1
    inside = (place >= 0) & (place < looks)
    number = {pod: row for row, pod in enumerate(segment.pods)}
    out = np.full((len(one.order), looks), np.nan)
    for row, pod in enumerate(one.order):
        if pod in number:
            out[row, place[inside]] = values[number[pod], inside]
    return out


def _sums(segments: Sequence[Levels], bare: LearnedLevels, worse: Worse) -> tuple[list[str], FloatArray, FloatArray]:
    """Sums and numbers of grown pods' ln readings, (pods, segments) in the direction of harm, over all names."""
    rows: dict[str, int] = {}
    for segment in segments:
        for pod in segment.pods:
            rows.setdefault(pod, len(rows))
    totals, counts = np.zeros((len(rows), len(segments))), np.zeros((len(rows), len(segments)))
    for column, segment in enumerate(segments):
        values, variance = adjusted(segment, bare, worse)
        there = np.isfinite(values) & (variance <= 0.0)
        at = [rows[pod] for pod in segment.pods]
        totals[at, column] = np.where(there, values, 0.0).sum(axis=1)
        counts[at, column] = there.sum(axis=1)
    return list(rows), totals, counts


def _within(segments: Sequence[Levels], bare: LearnedLevels, worse: Worse) -> float:
    """The median over pods of the sd of their half-hour means (of shorter ones where segments are shorter)."""
    blocks: dict[str, list[float]] = {}
    for segment in segments:
        values, _ = adjusted(segment, bare, worse)
        number: FloatArray = np.floor((segment.instants - segment.instants[:1]) / LEVEL_BLOCK)
        for run in np.unique(number):
            part = values[:, number == run]
            there = np.isfinite(part)
            for row in np.flatnonzero(there.sum(axis=1) >= LEAST_READINGS):
                blocks.setdefault(segment.pods[int(row)], []).append(float(part[row][there[row]].mean()))
    spreads = [float(np.std(many, ddof=1)) for many in blocks.values() if len(many) > 1]
    return float(np.median(spreads)) if spreads else 0.0


def caution(distinct: float) -> float:
    """By how much the mean excess of a tail is distrusted when so many distinct things have shown it: 1 + 1/√(.2 n)."""
    return 1.0 + 1.0 / math.sqrt(TAIL_SHARE * max(distinct, 1.0))


_UNSET = Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), math.inf, math.inf, math.inf)
"""Thresholds that nothing exceeds, until the replays have given real ones."""
