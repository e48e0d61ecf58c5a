"""From raw cumulative counters to exact counts per pod and window; absence is a value.

Counts are differences of the counters themselves, never rate() or increase(): those extrapolate and lose a counter's
first increments. A pod-window is void, for contender and incumbent alike, when a counter dropped, the container is
known to have restarted, or a sample at one of its two instants is missing. An error series that does not exist yet
counts as zero wherever the same pod's request series was scraped, so its first value counts whole. One malformed,
negative, non-finite or doubled series makes the whole answer unusable: dropping just that pod could hide the bad one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.samples import BoolArray, CounterSeries, Frame, Histogram, Tally, lately
from analysis.special import FloatArray
from analysis.verdict import Absence, Freshness, NoData

ALIGNMENT = 0.01
"""Seconds by which an instant may miss the common grid."""

MOST_INSTANTS = 20_000
"""More instants than this is a malformed answer: a week of 30 s windows."""


def count_events(requests: Iterable[CounterSeries], events: Iterable[CounterSeries], frame: Frame) -> Tally | Absence:
    """Exact requests and events per pod and settled window, or why there are none.

    Both terms are cumulative counters summed to one series per pod on the server.
    """
    grid = _grid({"requests": requests, "events": events}, frame)
    if isinstance(grid, Absence):
        return grid
    asked = grid.matrix("requests", None)
    if not np.isfinite(asked).any():
        return Absence(NoData.NO_SERIES, "no request series for any pod of the release")
    reset = grid.restarted | _drops(asked)
    failed = _absent_is_zero(grid.matrix("events", None), asked, reset)
    # Only now: across a restart, a smaller event count after a gap is the new process and not a second drop.
    reset |= _drops(failed)
    n, x = np.diff(asked, axis=1), np.diff(failed, axis=1)
    seen = np.isfinite(n) & np.isfinite(x) & ~reset[:, 1:]
    return grid.tally(n, x, seen)


def count_buckets(buckets: Iterable[CounterSeries], frame: Frame) -> Histogram | Absence:
    """Exact counts per bucket, pod and settled window of a classic histogram, or why there are none.

    Boundaries are those that every reporting pod has. Differences are made monotone over le: buckets of one scrape
    may be a few requests apart.
    """
    grid = _grid({"buckets": buckets}, frame)
    if isinstance(grid, Absence):
        return grid
    bounds = _common_bounds(grid)
    if isinstance(bounds, Absence):
        return bounds
    cumulative = np.stack([grid.matrix("buckets", bound) for bound in bounds])
    reset = grid.restarted | np.any([_drops(layer) for layer in cumulative], axis=0)
    fresh = np.maximum.accumulate(np.diff(cumulative, axis=2), axis=0)
    seen = np.isfinite(fresh).all(axis=0) & ~reset[:, 1:]
    total = np.where(seen, fresh[-1], 0.0)
    tally = grid.tally(total, np.zeros_like(total), seen)
    if isinstance(tally, Absence):
        return tally
    slower = np.where(seen, fresh[-1] - fresh[:-1], 0.0)[:, :, grid.countable]
    return Histogram(np.array(bounds[:-1], dtype=np.float64), slower, tally)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Series of one answer laid on common instants t0 + k·window."""

    frame: Frame
    pods: tuple[str, ...]
    start: float
    instants: int
    lookup: Mapping[tuple[str, str, float | None], tuple[npt.NDArray[np.int64], FloatArray]]
    restarted: BoolArray
    countable: BoolArray

    def matrix(self, term: str, le: float | None) -> FloatArray:
        """Cumulative values, shape (pods, instants), NaN where absent."""
        out = np.full((len(self.pods), self.instants), np.nan)
        for row, pod in enumerate(self.pods):
            found = self.lookup.get((term, pod, le))
            if found is not None:
                out[row, found[0]] = found[1]
        return out

    def tally(self, n: FloatArray, x: FloatArray, seen: BoolArray) -> Tally | Absence:
        keep = self.countable
        if not keep.any():
            return Absence(NoData.NO_WINDOW, "no settled window is complete yet")
        groups = self.frame.groups
        ours = np.array([pod in set(groups.contender) for pod in self.pods], dtype=np.bool_)
        ends = self.start + self.frame.window * np.arange(1, self.instants, dtype=np.float64)[keep]
        seen = seen[:, keep]
        named = {pod for _, pod, _ in self.lookup}
        ran = np.array([[pod in named] for pod in self.pods], dtype=np.bool_)
        return Tally(
            pods=self.pods,
            contender=ours,
            exposure=np.where(seen, n[:, keep], 0.0),
            events=np.where(seen, x[:, keep], 0.0),
            seen=seen,
            ends=ends,
            window=self.frame.window,
            freshness=self._freshness(seen, ours, ends, int((~seen & ran).sum())),
        )

    def _freshness(self, seen: BoolArray, ours: BoolArray, ends: FloatArray, voided: int) -> Freshness:
        groups = self.frame.groups
        used = seen[ours].any(axis=0)
        recent = np.asarray(seen[:, ends > lately(self.frame)].any(axis=1))
        fresh = {pod for pod, flag in zip(self.pods, recent.tolist(), strict=True) if flag}
        expected = groups.contender if groups.reporting is None else groups.reporting
        return Freshness(
            last_contender_end=float(ends[used][-1]) if used.any() else None,
            contender_windows=int(used.sum()),
            silent=tuple(pod for pod in expected if pod not in fresh),
            voided=voided,
        )


def _grid(terms: Mapping[str, Iterable[CounterSeries]], frame: Frame) -> _Grid | Absence:
    pods = frame.groups.contender + frame.groups.incumbent
    ours = set(pods)
    kept = [(term, one) for term, many in terms.items() for one in many if one.pod in ours]
    series: dict[tuple[str, str, float | None], CounterSeries] = {}
    for term, one in kept:
        bound = _bound(one.le)
        defect = _defect(one, bound, histogram=term == "buckets")
        if defect is not None:
            return defect
        key = (term, one.pod, bound)
        if key in series:
            return Absence(NoData.DUPLICATE, f"{term} of pod {one.pod} came twice{_le(one)}")
        series[key] = one
    sampled = [one for one in series.values() if one.times]
    if not sampled:
        return Absence(NoData.NO_SERIES, "the store has no series for the pods of the release")
    start = min(one.times[0] for one in sampled)
    latest = max(sampled, key=lambda one: one.times[-1])
    instants = (latest.times[-1] - start) / frame.window + 1.0
    if instants > MOST_INSTANTS:
        return Absence(NoData.MISALIGNED, f"pod {latest.pod} has a sample more than {MOST_INSTANTS} windows off")
    size = round(instants)
    lookup: dict[tuple[str, str, float | None], tuple[npt.NDArray[np.int64], FloatArray]] = {}
    # Most series of an answer have the very same instants: their places are worked out once.
    places: dict[tuple[float, ...], npt.NDArray[np.int64] | None] = {}
    for key, one in series.items():
        if one.times not in places:
            places[one.times] = _places(one.times, start, frame.window)
        index = places[one.times]
        if index is None:
            return Absence(NoData.MISALIGNED, f"{key[0]} of pod {one.pod} is off the common instants{_le(one)}")
        lookup[key] = (index, np.asarray(one.values, dtype=np.float64))
    ends = start + frame.window * np.arange(1, size)
    countable = np.zeros(max(size - 1, 0), dtype=np.bool_)
    for begin, end in frame.settled:
        countable |= (ends - frame.window >= begin - ALIGNMENT) & (ends <= end + ALIGNMENT)
    restarted = np.zeros((len(pods), size), dtype=np.bool_)
    for row, pod in enumerate(pods):
        for moment in frame.groups.restarts.get(pod, ()):
            after = math.ceil((moment - start) / frame.window)
            if 0 <= after < size:
                restarted[row, after] = True
    return _Grid(frame, pods, start, size, lookup, restarted, countable)


def _places(times: tuple[float, ...], start: float, window: float) -> npt.NDArray[np.int64] | None:
    """Numbers of the instants on the grid, or None when one of them is off it."""
    place = (np.asarray(times, dtype=np.float64) - start) / window
    index = np.rint(place)
    if place.size and float(np.abs(place - index).max()) * window > ALIGNMENT:
        return None
    return index.astype(np.int64)


def _bound(le: str | None) -> float | None:
    if le is None:
        return None
    try:
        return float(le)
    except ValueError:
        return math.nan


def _le(one: CounterSeries) -> str:
    return "" if one.le is None else f" (le {one.le[:20]!r})"


def _defect(one: CounterSeries, bound: float | None, *, histogram: bool) -> Absence | None:
    """Why a single series cannot be trusted, or None."""
    where = f"pod {one.pod}{_le(one)}"
    if len(one.times) != len(one.values) or (bound is not None and math.isnan(bound)):
        return Absence(NoData.MALFORMED, f"times, values or bucket of {where} do not fit together")
    if histogram != (bound is not None):
        return Absence(NoData.WRONG_TYPE, f"{where} is {'not ' if histogram else ''}a bucket of a histogram")
    if not all(map(math.isfinite, one.values)) or not all(map(math.isfinite, one.times)):
        return Absence(NoData.NON_FINITE, f"{where} holds a value that is not a finite number")
    if one.values and min(one.values) < 0.0:
        return Absence(NoData.NEGATIVE, f"{where} holds a negative count")
    if not all(map(operator.lt, one.times, one.times[1:])):
        return Absence(NoData.DUPLICATE, f"{where} has an instant twice or out of order")
    return None


def _drops(values: FloatArray) -> BoolArray:
    """Instants whose value lies below the last one present before them, holes skipped; shape as `values`."""
    present = np.isfinite(values)
    place = np.where(present, np.arange(values.shape[1]), 0)
    last = np.maximum.accumulate(place, axis=1)
    carried = np.take_along_axis(values, last, axis=1)
    out = np.zeros(values.shape, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        out[:, 1:] = values[:, 1:] < carried[:, :-1]
    return out


def _absent_is_zero(events: FloatArray, requests: FloatArray, reset: BoolArray) -> FloatArray:
    """Zero where the event series does not exist yet in this life of the process but its requests were scraped.

    An event series that was there and is gone, while requests go on, is a hole: its count is unknown.
    """
    present = np.isfinite(events)
    counted = np.cumsum(present, axis=1)
    born = np.maximum.accumulate(np.where(reset, np.arange(events.shape[1]), 0), axis=1)
    before = np.where(born > 0, np.take_along_axis(counted, np.maximum(born - 1, 0), axis=1), 0)
    unseen = counted - before == 0
    filled: FloatArray = np.where(~present & np.isfinite(requests) & unseen, 0.0, events)
    return filled


def _common_bounds(grid: _Grid) -> list[float] | Absence:
    """Bucket bounds that every pod with buckets has, ascending, the last one infinite."""
    by_pod: dict[str, set[float]] = {}
    for _, pod, bound in grid.lookup:
        if bound is not None:
            by_pod.setdefault(pod, set()).add(bound)
    without_total = sorted(pod for pod, bounds in by_pod.items() if math.inf not in bounds)
    if without_total:
        return Absence(NoData.MALFORMED, f"pod {without_total[0]} has no +Inf bucket")
    common = set.intersection(*by_pod.values())
    if len(common) < 2:
        return Absence(NoData.BUCKETS_DIFFER, "the pods share no finite bucket boundary")
    return sorted(common)
