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
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.assumptions import MOST_STRATA
from analysis.samples import REST, BoolArray, CounterSeries, Frame, Histogram, Strata, Tally, lately
from analysis.special import FloatArray
from analysis.verdict import Absence, Freshness, NoData
from analysis.windows import ALIGNMENT

MOST_INSTANTS = 20_000
"""More instants than this is a malformed answer: a week of 30 s windows."""

_Key = tuple[str, str, float | None, str | None]  # term, pod, bucket bound, stratum


def count_events(
    requests: Iterable[CounterSeries],
    events: Iterable[CounterSeries],
    frame: Frame,
    strata: Collection[str] | None = None,
) -> Tally | Absence:
    """Exact requests and events per pod and settled window, or why there are none.

    Both terms are cumulative counters summed on the server to one series per pod, or per pod and stratum. Of strata
    the tally keeps those named, or without names the ten with most requests, and the rest as one.
    """
    grid = _grid({"requests": requests, "events": events}, frame)
    if isinstance(grid, Absence):
        return grid
    split = {term: _Split(grid, term) for term in ("requests", "events")}
    scraped = split["requests"].anywhere()
    if not scraped.any():
        return Absence(NoData.NO_SERIES, "no request series for any pod of the release")
    reset = grid.restarted | split["requests"].drops(scraped, None)
    # Only now: across a restart, a smaller event count after a gap is the new process and not a second drop.
    reset = reset | split["events"].drops(scraped, reset)
    counted = {term: one.differences(scraped, reset) for term, one in split.items()}
    n, x = (sum(many.values(), np.zeros(scraped[:, 1:].shape)) for many in counted.values())
    n = np.where(scraped[:, 1:] & scraped[:, :-1], n, np.nan)
    seen = np.isfinite(n) & np.isfinite(x) & ~reset[:, 1:]
    tally = grid.tally(n, x, seen)
    if isinstance(tally, Absence) or not split["requests"].is_split:
        return tally
    kept = _largest(counted["requests"], seen) if strata is None else [name for name in strata if name != REST]
    return replace(tally, strata=_stratified(counted["requests"], counted["events"], kept, tally.seen, grid.countable))


def count_rate(events: Iterable[CounterSeries], frame: Frame) -> Tally | Absence:
    """Exact events of one counter per pod and settled window; the exposure of a pod is 1 in each window it was seen.

    A counter that is split by a label is summed.
    """
    grid = _grid({"events": events}, frame)
    if isinstance(grid, Absence):
        return grid
    split = _Split(grid, "events")
    scraped = split.anywhere()
    reset = grid.restarted | split.drops(scraped, None)
    x = sum(split.differences(scraped, reset).values(), np.zeros(scraped[:, 1:].shape))
    seen = np.isfinite(x) & scraped[:, 1:] & scraped[:, :-1] & ~reset[:, 1:]
    return grid.tally(np.ones(x.shape), x, seen)


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
    reset = grid.restarted | _drops(cumulative).any(axis=0)
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
    lookup: Mapping[_Key, tuple[npt.NDArray[np.int64], FloatArray]]
    restarted: BoolArray
    countable: BoolArray

    def matrix(self, term: str, le: float | None, stratum: str | None = None) -> FloatArray:
        """Cumulative values, shape (pods, instants), NaN where absent."""
        out = np.full((len(self.pods), self.instants), np.nan)
        for row, pod in enumerate(self.pods):
            found = self.lookup.get((term, pod, le, stratum))
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
        named = {pod for _, pod, _, _ in self.lookup}
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
    series: dict[_Key, CounterSeries] = {}
    for term, one in kept:
        bound = _bound(one.le)
        defect = _defect(one, bound, histogram=term == "buckets")
        if defect is not None:
            return defect
        key = (term, one.pod, bound, one.stratum)
        if key in series:
            return Absence(NoData.DUPLICATE, f"{term} of pod {one.pod} came twice{_part(one)}")
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
    lookup: dict[_Key, tuple[npt.NDArray[np.int64], FloatArray]] = {}
    # Most series of an answer have the very same instants: their places are worked out once.
    places: dict[tuple[float, ...], npt.NDArray[np.int64] | None] = {}
    times: tuple[float, ...] | None = None
    index: npt.NDArray[np.int64] | None = None
    for key, one in series.items():
        if one.times is not times:  # to find them again costs about as much as to count them: buckets share theirs
            times = one.times
            if times not in places:
                places[times] = _places(times, start, frame.window)
            index = places[times]
        if index is None:
            return Absence(NoData.MISALIGNED, f"{key[0]} of pod {one.pod} is off the common instants{_part(one)}")
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


def _part(one: CounterSeries) -> str:
    """Which series of a pod, for a sentence."""
    labels = [
        f"{name} {value[:20]!r}" for name, value in (("le", one.le), ("stratum", one.stratum)) if value is not None
    ]
    return f" ({', '.join(labels)})" if labels else ""


def _defect(one: CounterSeries, bound: float | None, *, histogram: bool) -> Absence | None:
    """Why a single series cannot be trusted, or None."""
    kind, what = _doubt(one, bound, histogram=histogram)
    return None if kind is None else Absence(kind, what.format(f"pod {one.pod}{_part(one)}"))


def _doubt(one: CounterSeries, bound: float | None, *, histogram: bool) -> tuple[NoData | None, str]:
    """What kind of defect a series has, and a sentence about {}, the series."""
    if len(one.times) != len(one.values) or (bound is not None and math.isnan(bound)):
        return NoData.MALFORMED, "times, values or bucket of {} do not fit together"
    if histogram != (bound is not None):
        return NoData.WRONG_TYPE, f"{{}} is {'not ' if histogram else ''}a bucket of a histogram"
    if histogram and one.stratum is not None:
        return NoData.WRONG_TYPE, "{}: buckets must be summed over every label but the pod"
    if not _finite(one.values) or not _finite(one.times):
        return NoData.NON_FINITE, "{} holds a value that is not a finite number"
    if one.values and min(one.values) < 0.0:
        return NoData.NEGATIVE, "{} holds a negative count"
    if not all(map(operator.lt, one.times, one.times[1:])):
        return NoData.DUPLICATE, "{} has an instant twice or out of order"
    return None, ""


def _finite(values: tuple[float, ...]) -> bool:
    """Whether all of them are; a finite sum needs no second look, as one that is not may only be too large."""
    return math.isfinite(sum(values)) or all(map(math.isfinite, values))


@dataclass(frozen=True, slots=True)
class _Split:
    """One term of an answer, stratum by stratum; each is read when it is needed, so that many cost no memory."""

    grid: _Grid
    term: str

    @property
    def strata(self) -> list[str | None]:
        names = {stratum for term, _, _, stratum in self.grid.lookup if term == self.term}
        return sorted(names, key=lambda name: (name is not None, name or ""))

    @property
    def is_split(self) -> bool:
        return any(name is not None for name in self.strata)

    def anywhere(self) -> BoolArray:
        """Where any stratum of a pod has a sample, shape (pods, instants)."""
        out = np.zeros((len(self.grid.pods), self.grid.instants), dtype=np.bool_)
        for (term, pod, _, _), (index, _) in self.grid.lookup.items():
            if term == self.term:
                out[self.grid.pods.index(pod), index] = True
        return out

    def drops(self, scraped: BoolArray, reset: BoolArray | None) -> BoolArray:
        """Instants at which some stratum has dropped; with known resets, absence before the first value is zero."""
        out = np.zeros(scraped.shape, dtype=np.bool_)
        for stratum in self.strata:
            values = self.grid.matrix(self.term, None, stratum)
            out |= _drops(values if reset is None else _absent_is_zero(values, scraped, reset))
        return out

    def differences(self, scraped: BoolArray, reset: BoolArray) -> dict[str | None, FloatArray]:
        """Fresh counts per stratum, shape (pods, instants - 1), NaN where unknown."""
        return {
            stratum: np.diff(_absent_is_zero(self.grid.matrix(self.term, None, stratum), scraped, reset), axis=1)
            for stratum in self.strata
        }


def _largest(counts: Mapping[str | None, FloatArray], seen: BoolArray) -> list[str]:
    """Names of the strata with most requests, ten at most."""
    totals = {name or "": float(many[seen].sum()) for name, many in counts.items()}
    return sorted(totals, key=lambda name: (-totals[name], name))[:MOST_STRATA]


def _stratified(
    requests: Mapping[str | None, FloatArray],
    events: Mapping[str | None, FloatArray],
    kept: list[str],
    seen: BoolArray,
    countable: BoolArray,
) -> Strata:
    """Counts per kept stratum and of the rest; a counter without the label belongs to the stratum of no name."""
    rows = {name: place for place, name in enumerate((*kept, REST))}
    sums = []
    for counts in (requests, events):
        out = np.zeros((len(rows), *seen.shape))
        for name, many in counts.items():
            out[rows.get(name or "", len(kept))] += np.where(seen, many[:, countable], 0.0)
        sums.append(out)
    return Strata(tuple(rows), *sums)


def _drops(values: FloatArray) -> BoolArray:
    """Instants whose value lies below the last one present before them, holes skipped; shape as `values`.

    Instants are the last axis.
    """
    present = np.isfinite(values)
    place = np.where(present, np.arange(values.shape[-1]), 0)
    last = np.maximum.accumulate(place, axis=-1)
    carried = np.take_along_axis(values, last, axis=-1)
    out = np.zeros(values.shape, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        out[..., 1:] = values[..., 1:] < carried[..., :-1]
    return out


def _absent_is_zero(events: FloatArray, scraped: BoolArray, reset: BoolArray) -> FloatArray:
    """Zero where a series does not exist yet in this life of the process but the pod was scraped.

    A series that was there and is gone, while the pod's requests go on, is a hole: its count is unknown.
    """
    present = np.isfinite(events)
    counted = np.cumsum(present, axis=1)
    born = np.maximum.accumulate(np.where(reset, np.arange(events.shape[1]), 0), axis=1)
    before = np.where(born > 0, np.take_along_axis(counted, np.maximum(born - 1, 0), axis=1), 0)
    unseen = counted - before == 0
    filled: FloatArray = np.where(~present & scraped & unseen, 0.0, events)
    return filled


def _common_bounds(grid: _Grid) -> list[float] | Absence:
    """Bucket bounds that every pod with buckets has, ascending, the last one infinite."""
    by_pod: dict[str, set[float]] = {}
    for _, pod, bound, _ in grid.lookup:
        if bound is not None:
            by_pod.setdefault(pod, set()).add(bound)
    without_total = sorted(pod for pod, bounds in by_pod.items() if math.inf not in bounds)
    if without_total:
        return Absence(NoData.MALFORMED, f"pod {without_total[0]} has no +Inf bucket")
    common = set.intersection(*by_pod.values())
    if len(common) < 2:
        return Absence(NoData.BUCKETS_DIFFER, "the pods share no finite bucket boundary")
    return sorted(common)
