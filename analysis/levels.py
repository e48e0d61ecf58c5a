"""From readings of a gauge to levels per pod and instant; absence is a value.

A gauge may go up and down, so a reading counts as it stands: there is nothing to difference and no reset to find. What
is refused is the same as for counters: one malformed, negative, non-finite or doubled series makes the whole answer
unusable, because dropping just that pod could hide the bad one. A reading counts when the window before it lies inside
a settled span: what a query such as rate(...[1m]) says at an instant is about the time before it. The instant after a
container restart is void.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from analysis.assumptions import (
    EARLY_READINGS,
    LEVEL_OFFSET_SHARE,
    MIXED_GAP,
    MIXED_SD,
    RESTART_SECONDS,
    RESTARTS,
)
from analysis.counting import MOST_INSTANTS
from analysis.engine import Margin, Worse
from analysis.question import Settings
from analysis.samples import BoolArray, CounterSeries, Frame, lately
from analysis.special import FloatArray
from analysis.verdict import Absence, Exposure, Freshness, NoData
from analysis.windows import ALIGNMENT, ContenderWindows

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GaugeSettings(Settings):
    """Settings of a gauge: `worse` is higher or lower, and `bound` a hard limit of the level itself, any number >= 0.

    The share `limit` of other gates is not read. Raises ValueError for a bound that is no level and for `either`.
    """

    bound: float | None = None

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        if self.bound is not None and not (math.isfinite(self.bound) and self.bound >= 0.0):
            raise ValueError(f"the limit of a gauge must be a number of 0 or more, not {self.bound!r}")
        if self.worse is Worse.EITHER:
            raise ValueError("a gauge is worse when higher or when lower, not both")


def gauge_settings(
    *,
    alpha: float = 0.01,
    margin_ratio: float = 1.10,
    limit: float | None = None,
    harm_ratio: float = 1.5,
    worse: Worse = Worse.HIGHER,
) -> GaugeSettings:
    """Settings of a gauge gate: margin and harm are ratios of levels; for `lower` they count the other way round."""
    return GaugeSettings(
        Margin(margin_ratio), max(harm_ratio, margin_ratio * 1.15), 0.001, alpha, worse=worse, bound=limit
    )


@dataclass(frozen=True, slots=True)
class Levels:
    """Readings per pod and settled instant.

    contender: (pods,) flags. values: shape (pods, instants), >= 0, NaN where absent. ages: the same shape, seconds
    since the pod was born or its container restarted, inf where that is not known. instants: seconds, ascending, one
    `window` or more apart.
    """

    pods: tuple[str, ...]
    contender: BoolArray
    values: FloatArray
    ages: FloatArray
    instants: FloatArray
    window: float
    freshness: Freshness = field(default_factory=Freshness)

    @property
    def seen(self) -> BoolArray:
        """Where there is a reading."""
        return np.isfinite(self.values)

    def contender_windows(self) -> ContenderWindows:
        """Where the contender was seen; a reading asks for no request."""
        seen = np.any(self.seen[self.contender], axis=0)
        return ContenderWindows(self.instants - self.window, seen, seen)

    def keep_instants(self, keep: BoolArray) -> Levels:
        """The same readings at fewer instants."""
        return replace(self, values=self.values[:, keep], ages=self.ages[:, keep], instants=self.instants[keep])

    def keep_pods(self, keep: BoolArray) -> Levels:
        """The same readings of fewer pods."""
        names = tuple(name for name, kept in zip(self.pods, keep.tolist(), strict=True) if kept)
        return replace(self, pods=names, contender=self.contender[keep], values=self.values[keep], ages=self.ages[keep])

    def without(self, pod: str) -> Levels:
        """The same readings with one pod left out."""
        return self.keep_pods(np.array([name != pod for name in self.pods], dtype=np.bool_))

    def grown(self, plateau: float) -> Levels:
        """Without the readings of pods younger than `plateau` seconds."""
        return replace(self, values=np.where(self.ages >= plateau, self.values, np.nan))

    def summary(self) -> Exposure:
        """Pods and windows; a gauge counts no requests."""
        active = self.seen.any(axis=1)
        windows = int(self.seen.any(axis=0).sum())
        return Exposure(
            contender_pods=int((active & self.contender).sum()),
            incumbent_pods=int((active & ~self.contender).sum()),
            windows=windows,
            minutes=windows * self.window / 60.0,
        )


def read_levels(readings: Iterable[CounterSeries], frame: Frame) -> Levels | Absence:
    """Readings of the release's pods at settled instants, or why there are none.

    The query must give one series per pod, at instants one window apart. Series of other pods are left out.
    """
    groups = frame.groups
    pods = groups.contender + groups.incumbent
    series = _by_pod(readings, set(pods))
    if isinstance(series, Absence):
        return series
    sampled = [one for one in series.values() if one.times]
    if not sampled:
        return Absence(NoData.NO_SERIES, "the store has no reading for any pod of the release")
    start = min(one.times[0] for one in sampled)
    latest = max(sampled, key=lambda one: one.times[-1])
    if (latest.times[-1] - start) / frame.window + 1.0 > MOST_INSTANTS:
        return Absence(NoData.MISALIGNED, f"pod {latest.pod} has a reading more than {MOST_INSTANTS} windows off")
    size = round((latest.times[-1] - start) / frame.window) + 1
    values = np.full((len(pods), size), np.nan)
    for row, pod in enumerate(pods):
        one = series.get(pod)
        if one is None or not one.times:
            continue
        place = (np.asarray(one.times, dtype=np.float64) - start) / frame.window
        index = np.rint(place)
        if float(np.abs(place - index).max()) * frame.window > ALIGNMENT:
            return Absence(NoData.MISALIGNED, f"readings of pod {pod} are off the common instants")
        values[row, index.astype(np.int64)] = one.values
    instants = start + frame.window * np.arange(size, dtype=np.float64)
    countable = np.zeros(size, dtype=np.bool_)
    for begin, end in frame.settled:
        countable |= (instants - frame.window >= begin - ALIGNMENT) & (instants <= end + ALIGNMENT)
    if not countable.any():
        return Absence(NoData.NO_WINDOW, "no settled window is complete yet")
    ages, restarted = _ages(pods, instants, frame)
    values[restarted] = np.nan
    ours = np.arange(len(pods)) < len(groups.contender)
    levels = Levels(pods, ours, values, ages, instants, frame.window).keep_instants(countable)
    if not levels.seen.any():
        return Absence(NoData.NO_WINDOW, "no pod of the release has a reading in a settled window")
    return replace(levels, freshness=_freshness(levels, frame))


def offset_of(values: FloatArray) -> float:
    """What is added to a reading before its logarithm: 1 % of the median of those above zero; 1 where none is."""
    positive = values[np.isfinite(values) & (values > 0.0)]
    return LEVEL_OFFSET_SHARE * float(np.median(positive)) if positive.size else 1.0


def mixed_roles(levels: FloatArray) -> str | None:
    """Why ln levels (pods,) look like those of pods with different roles, in numbers, or None.

    Pods of one role differ by a factor; pods of several by orders, or they stand in two groups with nothing between.
    """
    if levels.size < 4:
        return None
    ordered = np.sort(levels)
    spread = float(ordered.std(ddof=1))
    # A group is at least two pods: one odd pod is an outlier, not a role.
    gaps = np.diff(ordered)[1:-1]
    gap = float(gaps.max(initial=0.0))
    if gap > MIXED_GAP:
        return f"levels stand in two groups {math.exp(gap):.2g}x apart"
    if spread > MIXED_SD:
        return f"levels of healthy pods spread {math.exp(spread):.2g}x around their mean"
    return None


def ln_levels(values: FloatArray, offset: float, worse: Worse) -> FloatArray:
    """ln(y + offset), turned so that more is worse; NaN stays."""
    turned = -1.0 if worse is Worse.LOWER else 1.0
    result: FloatArray = turned * np.log(values + offset)
    return result


@dataclass(frozen=True, slots=True)
class Spans:
    """From which instants to which: starts of the evidence against looks at it.

    starts: (starts,) instants before which nothing counts. looks: (looks,) how many instants had been seen. weights:
    (starts, looks), summing to 1 at each look; a start that has not come weighs nothing.
    """

    starts: IntArray
    looks: IntArray
    weights: FloatArray

    @classmethod
    def of(cls, looks: IntArray, window: float) -> Spans:
        """A start at 0 and one every five minutes of settled readings, fixed before the release.

        Restart k = 1..48 weighs proportionally to 1/(k + 4) of one half, from when it has come; all else is start 0's.
        """
        every = max(1, math.ceil(RESTART_SECONDS / window))
        most = int(looks.max(initial=0))
        starts = np.array([0, *list(range(every, most, every))[:RESTARTS]], dtype=np.int64)
        weights = np.where(starts[:, None] < looks[None, :], _RESTART_WEIGHTS[: starts.size, None], 0.0)
        weights[0] = 1.0 - weights[1:].sum(axis=0)
        return cls(starts, looks, weights)

    def only(self, part: slice) -> Spans:
        """The same starts at some of the looks."""
        return Spans(self.starts, self.looks[part], self.weights[:, part])

    def means(self, values: FloatArray) -> FloatArray:
        """Mean of each pod's readings in each span, shape (pods, starts, looks); NaN where it has fewer than three."""
        there = np.isfinite(values)
        total, count = (_running(part) for part in (np.where(there, values, 0.0), there.astype(np.float64)))
        many = count[:, None, self.looks] - count[:, self.starts, None]
        sums = total[:, None, self.looks] - total[:, self.starts, None]
        out: FloatArray = np.where(many >= EARLY_READINGS, sums / np.maximum(many, 1.0), np.nan)
        return out


_RESTART_WEIGHTS: FloatArray = np.concatenate(
    [[0.0], 0.5 / np.arange(5, 5 + RESTARTS) / np.sum(1.0 / np.arange(5, 5 + RESTARTS))]
)


def _running(values: FloatArray) -> FloatArray:
    """Sums over the first 0, 1, 2, ... instants."""
    out = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=out[:, 1:])
    return out


def _by_pod(readings: Iterable[CounterSeries], ours: set[str]) -> Mapping[str, CounterSeries] | Absence:
    series: dict[str, CounterSeries] = {}
    for one in readings:
        if one.pod not in ours:
            continue
        defect = _defect(one)
        if defect is not None:
            return defect
        if one.pod in series:
            return Absence(NoData.DUPLICATE, f"the gauge of pod {one.pod} came twice: sum or average it by pod")
        series[one.pod] = one
    return series


def _defect(one: CounterSeries) -> Absence | None:
    """Why a single series cannot be trusted, or None."""
    where = f"the gauge of pod {one.pod}"
    if len(one.times) != len(one.values):
        return Absence(NoData.MALFORMED, f"times and values of {where} do not fit together")
    if one.le is not None or one.stratum is not None:
        return Absence(NoData.WRONG_TYPE, f"{where} has labels beside the pod: sum or average it by pod")
    if not all(map(math.isfinite, one.values)) or not all(map(math.isfinite, one.times)):
        return Absence(NoData.NON_FINITE, f"{where} holds a value that is not a finite number")
    if one.values and min(one.values) < 0.0:
        return Absence(NoData.NEGATIVE, f"{where} holds a negative level: levels are compared as ratios")
    if not all(map(operator.lt, one.times, one.times[1:])):
        return Absence(NoData.DUPLICATE, f"{where} has an instant twice or out of order")
    return None


def _ages(pods: tuple[str, ...], instants: FloatArray, frame: Frame) -> tuple[FloatArray, BoolArray]:
    """Seconds since birth or the last restart at each instant, and the instants just after a restart."""
    ages = np.full((len(pods), instants.size), np.inf)
    restarted = np.zeros(ages.shape, dtype=np.bool_)
    for row, pod in enumerate(pods):
        born = frame.groups.born.get(pod)
        if born is not None:
            ages[row] = np.maximum(instants - born, 0.0)
        for moment in sorted(frame.groups.restarts.get(pod, ())):
            after = instants >= moment
            ages[row, after] = instants[after] - moment
            restarted[row] |= after & (instants < moment + frame.window)
    return ages, restarted


def _freshness(levels: Levels, frame: Frame) -> Freshness:
    groups, seen = frame.groups, levels.seen
    used = seen[levels.contender].any(axis=0)
    recent = np.asarray(seen[:, levels.instants > lately(frame)].any(axis=1))
    fresh = {pod for pod, flag in zip(levels.pods, recent.tolist(), strict=True) if flag}
    expected = groups.contender if groups.reporting is None else groups.reporting
    ran = seen.any(axis=1)
    return Freshness(
        last_contender_end=float(levels.instants[used][-1]) if used.any() else None,
        contender_windows=int(used.sum()),
        silent=tuple(pod for pod in expected if pod not in fresh),
        voided=int((~seen[ran]).sum()),
    )
