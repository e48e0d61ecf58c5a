"""What readings of a gauge say about the contender's pods: against history, or against the incumbents of now."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import (
    BURSTY_SHARE,
    EARLY_READINGS,
    LEAST_INCUMBENTS,
    LEVEL_DRIFT_SHARE,
    LEVEL_NOISE_SD,
    LEVEL_PLATEAU,
    MARGIN_ALPHA,
)
from analysis.contrast import ln_half_normal_ratio
from analysis.engine import Worse
from analysis.learned import LearnedLevels, Standing
from analysis.levels import Levels, Spans, ln_levels, mixed_roles, offset_of
from analysis.position import Reference, known_reference, position
from analysis.question import Settings
from analysis.samples import BoolArray
from analysis.special import FloatArray, log_sum_exp
from analysis.verdict import ASSUMED, Absence, NoData

TWO_SIDED = 1.96
"""Normal quantile of the interval. New looks at the same pods bring no new pods, so one look is all there is."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """One look at a gauge; logs are in the direction of harm, so that more is worse whichever way that is.

    shift, half: mean ln level of the contender's pods over that of healthy pods, and half the width of its 95 %
    interval. lately: the same shift since the last start of the evidence alone. change, margin: ln evidence, each with
    its threshold; pause: what holds a release back. ours, theirs: geometric mean levels. pods, known, sd: how many
    pods stand on either side, and how much the healthy ones differ in ln level. each: the shift of every contender pod.
    """

    shift: float
    half: float
    lately: float
    change: float
    change_threshold: float
    margin: float
    margin_threshold: float
    pause: float
    ours: float
    theirs: float
    pods: int
    known: int
    sd: float
    each: tuple[tuple[str, float], ...]
    standing: Standing
    warnings: tuple[str, ...] = ()

    @property
    def degraded(self) -> bool:
        """Both promises broken at one look: a change beyond chance, and beyond the margin."""
        return self.change > self.change_threshold and self.margin > self.margin_threshold

    @property
    def leaning(self) -> bool:
        """Not degraded, but the evidence points there: the release must not go on by itself."""
        return self.change > self.pause and self.margin > 0.0


def weigh(levels: Levels, settings: Settings, learned: LearnedLevels | None) -> Weighed | Absence:
    """The contender's levels against those of history; without history against the incumbents of this release.

    Absence: TooYoung while no contender pod has a reading that can be compared, TooFewPods without enough incumbents,
    TooFewEvents for a gauge that is at zero most of the time.
    """
    spans = Spans.of(np.array([levels.instants.size]), levels.window)
    if learned is not None:
        return _against_history(levels, settings, learned, spans)
    return _against_incumbents(levels, settings, spans)


def adjusted(levels: Levels, learned: LearnedLevels, worse: Worse) -> tuple[FloatArray, FloatArray]:
    """ln readings (pods, instants) as if every pod were grown up, and the variance that this leaves in each.

    Readings below the plateau are NaN where growth was not learned.
    """
    values = ln_levels(levels.values, learned.offset, worse)
    variance = np.zeros(values.shape)
    turned = -1.0 if worse is Worse.LOWER else 1.0
    begin = 0.0
    for step in learned.growth:
        young = (levels.ages >= begin) & (levels.ages < step.until)
        values = np.where(young, values - turned * step.shift, values)
        variance = np.where(young, step.sd**2, variance)
        begin = step.until
    return np.where((levels.ages >= begin) & (levels.ages < learned.plateau), np.nan, values), variance


def drift(levels: FloatArray, expected: FloatArray, spans: Spans) -> FloatArray:
    """How far incumbents lie from their own levels in history, the median over pods; shape (starts, looks).

    levels: ln readings (pods, instants); expected: (pods,) ln levels of the same pods, NaN for pods that have none. 0
    with fewer than three such pods: the median of one or two is their noise.
    """
    known = np.isfinite(expected)
    moved = spans.means(levels[known]) - expected[known, None, None]
    count = np.isfinite(moved).sum(axis=0)
    if moved.shape[0] < LEAST_INCUMBENTS:
        return np.zeros(count.shape)
    # NaN sorts last, so the middle of the others stands at the middle of their number.
    ordered = np.sort(moved, axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, np.maximum(count - 1, 0))
    middle = 0.5 * (
        np.take_along_axis(ordered, low[None], axis=0)[0] + np.take_along_axis(ordered, high[None], axis=0)[0]
    )
    return np.where(count >= LEAST_INCUMBENTS, middle, 0.0)


def placed(
    levels: FloatArray, extra: FloatArray | None, moved: FloatArray, known: Reference, spans: Spans
) -> FloatArray:
    """Mean ln level of each contender pod in each span, shape (pods, starts, looks), ready to be compared.

    levels: (pods, instants) of the contender; half the incumbents' drift is taken off. extra: variance s² of young age
    per span; the distance from the reference's mean shrinks by sd / √(sd² + s²), to the scale of the reference.
    """
    y = spans.means(levels) - LEVEL_DRIFT_SHARE * moved
    if extra is None or not (extra > 0.0).any():
        return y
    shrunk: FloatArray = known.mean + (y - known.mean) / np.sqrt(1.0 + extra / known.sd**2)
    return shrunk


@dataclass(frozen=True, slots=True)
class Course:
    """Learned evidence over looks. y: (pods, starts, looks) levels of the contender; extra: the variance of young age.

    joined, margin: (looks,) evidence against no change and against the margin.
    """

    known: Reference
    y: FloatArray
    extra: FloatArray
    joined: FloatArray
    margin: FloatArray


def course(levels: Levels, settings: Settings, learned: LearnedLevels, spans: Spans) -> Course:
    """The evidence against history at each look of `spans`; contender pods must be among the pods of `levels`."""
    turned = -1.0 if settings.worse is Worse.LOWER else 1.0
    values, variance = adjusted(levels, learned, settings.worse)
    ours = levels.contender
    own = {name: turned * level for name, level in zip(learned.pods, learned.levels, strict=False)}
    theirs = [name for name, mine in zip(levels.pods, ours.tolist(), strict=True) if not mine]
    expected = np.array([own.get(name, math.nan) for name in theirs])
    known = known_reference(tuple(turned * level for level in learned.levels), learned.within)
    moved = drift(values[~ours], expected, spans)
    extra = spans.means(np.where(np.isfinite(values[ours]), variance[ours], np.nan))
    y = placed(values[ours], extra, moved, known, spans)
    found = position(known, y, spans.weights, math.log(settings.margin.ratio))
    return Course(known, y, extra, learned.calibration.joined(found.likelihood, found.ranks), found.margin)


def _against_history(levels: Levels, settings: Settings, learned: LearnedLevels, spans: Spans) -> Weighed | Absence:
    seen = course(levels, settings, learned, spans)
    known, now = seen.known, seen.y[:, 0, 0]
    there = np.isfinite(now)
    if not there.any():
        return _too_young(
            levels, learned.plateau, np.isfinite(adjusted(levels, learned, settings.worse)[0][levels.contender])
        )
    pods, shift = int(there.sum()), float(now[there].mean()) - known.mean
    variance = known.sd**2 + float(seen.extra[there, 0, 0].mean())
    turned = -1.0 if settings.worse is Worse.LOWER else 1.0
    return Weighed(
        shift=shift,
        half=TWO_SIDED * math.sqrt(variance / pods + known.sd**2 / known.levels.size),
        lately=_lately(seen.y) - known.mean,
        change=float(seen.joined[0]),
        change_threshold=learned.calibration.change,
        margin=float(seen.margin[0]),
        margin_threshold=learned.calibration.margin,
        pause=learned.calibration.pause,
        ours=max(math.exp(turned * (known.mean + shift)) - learned.offset, 0.0),
        theirs=max(math.exp(turned * known.mean) - learned.offset, 0.0),
        pods=pods,
        known=known.levels.size,
        sd=known.sd,
        each=_each(levels, now - known.mean),
        standing=learned.standing,
        warnings=_mixed(known.levels),
    )


def _against_incumbents(levels: Levels, settings: Settings, spans: Spans) -> Weighed | Absence:
    """Contrast of the sides' mean ln levels, with an assumed spread of pods or the incumbents' own where larger."""
    ours, grown = levels.contender, levels.grown(LEVEL_PLATEAU)
    if not np.isfinite(spans.means(grown.values[ours])).any():
        return _too_young(levels, LEVEL_PLATEAU, grown.seen[ours])
    theirs_seen = grown.values[~ours]
    readings = theirs_seen[np.isfinite(theirs_seen)]
    if readings.size and float((readings == 0.0).mean()) > BURSTY_SHARE:
        return Absence(
            NoData.TOO_FEW_EVENTS, f"the gauge is at zero in {100.0 * (readings == 0.0).mean():.0f} % of readings"
        )
    offset = offset_of(readings)
    values = ln_levels(grown.values, offset, settings.worse)
    mine, other = spans.means(values[ours])[:, :, 0], spans.means(values[~ours])[:, :, 0]
    steady = other[np.isfinite(other[:, 0]), 0]
    if steady.size < LEAST_INCUMBENTS:
        return Absence(
            NoData.TOO_FEW_PODS,
            f"{steady.size} incumbent pods with readings, and nothing was learned from history: "
            f"{LEAST_INCUMBENTS} are needed",
        )
    sd = max(LEVEL_NOISE_SD, float(steady.std(ddof=1)))
    d, se = _contrast(mine, other, sd)
    weights = spans.weights[:, 0]
    with np.errstate(divide="ignore"):
        ln_weights = np.log(np.where(np.isfinite(d), weights, 0.0))
    margin = math.log(settings.margin.ratio)
    change, beyond = (
        float(log_sum_exp(np.where(np.isfinite(d), ln_half_normal_ratio(d, se, delta, 1.0), 0.0) + ln_weights))
        for delta in (0.0, margin)
    )
    turned = -1.0 if settings.worse is Worse.LOWER else 1.0
    there = np.isfinite(mine[:, 0])
    base = float(steady.mean())
    last = d[np.isfinite(d)][-1] if np.isfinite(d).any() else math.nan
    return Weighed(
        shift=float(d[0]),
        half=TWO_SIDED * float(se[0]),
        lately=float(last),
        change=change,
        change_threshold=math.log(1.0 / settings.alpha),
        margin=beyond,
        margin_threshold=math.log(1.0 / MARGIN_ALPHA),
        pause=math.log(1.0 / settings.pause_alpha),
        ours=max(math.exp(turned * (base + float(d[0]))) - offset, 0.0),
        theirs=max(math.exp(turned * base) - offset, 0.0),
        pods=int(there.sum()),
        known=steady.size,
        sd=sd,
        each=_each(levels, mine[:, 0] - base),
        standing=ASSUMED,
        warnings=_mixed(steady),
    )


def _contrast(mine: FloatArray, other: FloatArray, sd: float) -> tuple[FloatArray, FloatArray]:
    """Difference of mean ln levels per start and its standard error, shape (starts,); NaN without pods on a side."""
    sides = []
    for part in (mine, other):
        there = np.isfinite(part)
        count = there.sum(axis=0)
        total = np.where(there, part, 0.0).sum(axis=0)
        sides.append((np.where(count > 0, total / np.maximum(count, 1), np.nan), np.maximum(count, 1)))
    (ours, k), (theirs, m) = sides
    return ours - theirs, sd * np.sqrt(1.0 / k + 1.0 / m)


def _too_young(levels: Levels, plateau: float, grown: BoolArray) -> Absence:
    """grown: (contender pods, instants), where there is a reading that can be compared."""
    if not levels.seen[levels.contender].any():
        return Absence(NoData.NO_SERIES, "no reading of any contender pod in a settled window")
    most = int(grown.sum(axis=1).max(initial=0))
    if most:
        detail = f"no contender pod has more than {most} of the {EARLY_READINGS} readings that make a level"
        return Absence(NoData.TOO_YOUNG, detail)
    return Absence(
        NoData.TOO_YOUNG,
        f"nothing is known of levels before {plateau / 60.0:.3g} min of age: too few pods were seen from their birth",
    )


def _lately(y: FloatArray) -> float:
    """Mean over pods since the last start that any pod has readings from."""
    for start in range(y.shape[1] - 1, -1, -1):
        there = np.isfinite(y[:, start, 0])
        if there.any():
            return float(y[there, start, 0].mean())
    return math.nan


def _each(levels: Levels, shifts: FloatArray) -> tuple[tuple[str, float], ...]:
    names = [name for name, mine in zip(levels.pods, levels.contender.tolist(), strict=True) if mine]
    return tuple((name, float(shift)) for name, shift in zip(names, shifts, strict=True) if math.isfinite(shift))


def _mixed(levels: FloatArray) -> tuple[str, ...]:
    why = mixed_roles(levels)
    return () if why is None else (f"{NoData.MIXED_ROLES.value}: {why}; give each role a gate of its own",)
