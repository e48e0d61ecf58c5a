"""From replays to thresholds: of each gate, and of all gates of a release together.

With maxima J_k over the looks of a replay, u_k their 80 % point and b_k their mean excess, the release is judged by
T = max_k [(J_k - u_k)/b̃_k + ln(K w_k)], b̃_k = sqrt(b_k · geometric mean of b), and T > tail(alpha) of its own
replays. Solved for J_k that is a threshold for each gate, so gates need not know each other afterwards. w_k: the weight
of the gate's family, split equally inside it.

Where only the last hours are learned from, all replays are of the same few pods, who may by luck differ less than pods
of that app do. So a stretch that was calmer than the last hour counts for less than one. G, a likelihood ratio with
that noise in it, exceeds x in healthy releases with chance e^-x at most, and is not asked for much less than that,
whatever replays say. And B takes windows as independent: its tail is as long as that of G times how far it runs ahead
(`temper`), even where none of these pods showed it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import FAMILY_WEIGHTS, FEW_PODS_VILLE, FOLDS, MARGIN_ALPHA
from analysis.contrast import IntArray
from analysis.learned import Calibration, Scale
from analysis.learning.kinds import Family, Paths
from analysis.learning.tails import apart, clopper_pearson, tail, tail_scale
from analysis.samples import BoolArray
from analysis.special import FloatArray


@dataclass(frozen=True, slots=True)
class Sample:
    """The replays of one gate. rows: their numbers among the replays of the release; (replays,).

    paths, raised: ln evidence at each look, -inf after the end of a replay; raised is the margin evidence of
    contenders at the margin. worth: (replays,), what the stretch of each counts for, one at most. temper: how far the
    second statistic runs ahead of the first there, as in `Noise`.
    """

    family: Family
    rows: IntArray
    paths: Paths
    raised: FloatArray
    worth: FloatArray
    temper: float = 1.0

    def only(self, wanted: BoolArray) -> Sample:
        """The replays of the release that are wanted."""
        keep = wanted[self.rows]
        p = self.paths
        kept = Paths(p.first[keep], p.second[keep], p.margin[keep])
        return replace(self, rows=self.rows[keep], paths=kept, raised=self.raised[keep], worth=self.worth[keep])


def weights(families: Mapping[str, Family]) -> dict[str, float]:
    """What part of the chance of a false rollback each gate gets; they add up to one."""
    inside = Counter(families.values())
    raw = {name: FAMILY_WEIGHTS[family.value] / inside[family] for name, family in families.items()}
    total = sum(raw.values())
    return {name: value / total for name, value in raw.items()}


def calibrate(
    samples: Mapping[str, Sample],
    segments: IntArray,
    *,
    alpha: float,
    pause_alpha: float,
    latest: BoolArray | None = None,
) -> dict[str, Calibration]:
    """Thresholds of every gate. segments: which segment each replay of the release was cut from; (replays,).

    latest: replays of the last hour, where noise may have changed within the history and only its last hours are
    learned from: every scale and threshold is then the larger one of all replays and of these, so that calm older ones
    do not make the gate too keen, and few pods are allowed for.
    """
    groups = [np.ones(segments.size, dtype=np.bool_)] if latest is None else [np.ones_like(latest), latest]
    part = weights({name: one.family for name, one in samples.items()})
    scaled = {name: _scaled(one, groups, few_pods=latest is not None) for name, one in samples.items()}
    maxima = {name: one.joined(samples[name].paths.first, samples[name].paths.second).max(axis=1)
              for name, one in scaled.items()}  # fmt: skip
    scales = {name: _largest(values, samples[name].rows, groups) for name, values in maxima.items()}
    common = math.exp(sum(math.log(one.spread) for one in scales.values()) / len(scales))
    steps = {name: math.sqrt(one.spread * common) for name, one in scales.items()}
    handicap = {name: math.log(len(part) * weight) for name, weight in part.items()}
    release = np.full(segments.size, -np.inf)
    worth = np.full(segments.size, np.inf)
    above = np.zeros((len(samples), segments.size), dtype=np.bool_)
    for row, (name, one) in enumerate(samples.items()):
        value = (maxima[name] - scales[name].location) / steps[name]
        above[row, one.rows] = value > 0.0
        release[one.rows] = np.maximum(release[one.rows], value + handicap[name])
        worth[one.rows] = np.minimum(worth[one.rows], one.worth)
    known = np.isfinite(worth)
    distinct = _stretches(segments[known], worth[known])
    joint = _largest(release, np.arange(segments.size), groups)
    gates = apart(list(above))

    def threshold(name: str, share: float) -> float:
        found = scales[name].location + steps[name] * (tail(joint, share, distinct, gates) - handicap[name])
        return found if latest is None else max(found, _least(scaled[name].first, share * part[name]))

    out = {}
    for name, one in samples.items():
        own = _stretches(segments[one.rows], one.worth)
        out[name] = Calibration(
            first=scaled[name].first,
            second=scaled[name].second,
            change=threshold(name, alpha),
            margin=tail(_largest(one.raised.max(axis=1), one.rows, groups), MARGIN_ALPHA, own),
            pause=threshold(name, pause_alpha),
        )
    return out


def _stretches(segments: IntArray, worth: FloatArray) -> float:
    """How many stretches replays were cut from, each for what it is worth."""
    _, first = np.unique(segments, return_index=True)
    return float(worth[first].sum())


def _least(first: Scale, share: float) -> float:
    """J where G alone has the evidence that a likelihood ratio exceeds with so small a chance (Ville's inequality)."""
    return (math.log(FEW_PODS_VILLE / share) - first.location) / first.spread


def _scaled(sample: Sample, groups: Sequence[BoolArray], *, few_pods: bool) -> Calibration:
    """Only the scales of the two statistics."""
    maxima = (values.max(axis=1) for values in (sample.paths.first, sample.paths.second))
    first, second = (_largest(values, sample.rows, groups) for values in maxima)
    if few_pods:
        second = replace(second, spread=max(second.spread, sample.temper * first.spread))
    return Calibration(first, second, math.inf, math.inf, math.inf)


def _largest(maxima: FloatArray, rows: IntArray, groups: Sequence[BoolArray]) -> Scale:
    """The largest u and β over groups of replays; a group without replays has no say."""
    scales = [tail_scale(maxima[group[rows]]) for group in groups if group[rows].any()]
    return Scale(max(one.location for one in scales), max(one.spread for one in scales))


def rolled_back(sample: Sample, calibration: Calibration) -> BoolArray:
    """Whether the gate would have stopped each replay: both tests exceeded at one look."""
    joined = calibration.joined(sample.paths.first, sample.paths.second)
    over = np.logical_and(joined > calibration.change, sample.paths.margin > calibration.margin)
    result: BoolArray = np.any(over, axis=1)
    return result


def realised(
    samples: Mapping[str, Sample],
    segments: IntArray,
    *,
    alpha: float,
    pause_alpha: float,
    latest: BoolArray | None = None,
) -> tuple[float, float]:
    """95 % Clopper-Pearson interval of the rate of false rollbacks on segments left out of the calibration.

    Thresholds are calibrated anew without each fold of neighbouring segments; the fitted noise is not. Replays of one
    segment are not independent: a segment is one trial, and counts by the share of its replays that were stopped.
    """
    distinct = np.unique(segments)
    folds = min(FOLDS, distinct.size)
    if folds < 2:
        return 0.0, 1.0
    fold = np.searchsorted(distinct, segments) * folds // distinct.size
    stopped = np.zeros(segments.size, dtype=np.bool_)
    for number in range(folds):
        rest = {name: one.only(fold != number) for name, one in samples.items()}
        known = {name: one for name, one in rest.items() if one.rows.size}
        if not known:
            continue
        learned = calibrate(known, segments, alpha=alpha, pause_alpha=pause_alpha, latest=latest)
        for name in known:
            one = samples[name].only(fold == number)
            stopped[one.rows] = np.logical_or(stopped[one.rows], rolled_back(one, learned[name]))
    shares = [float(stopped[segments == segment].mean()) for segment in distinct]
    return clopper_pearson(sum(shares), float(distinct.size))
