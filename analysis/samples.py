"""What counters and counts are: the shapes in which samples arrive and the sufficient statistics they add up to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from analysis.assumptions import STALE_WINDOWS
from analysis.special import FloatArray
from analysis.verdict import Exposure, Freshness
from analysis.windows import ContenderWindows

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CounterSeries:
    """One counter of one pod as the store answered: cumulative values at instants (seconds), ascending, with holes.

    le is the bucket boundary text of a histogram (`"0.25"`, `"+Inf"`), None otherwise. stratum is the value of the
    label by which requests differ (a route), None when the counter is not split.
    """

    pod: str
    le: str | None
    times: tuple[float, ...]
    values: tuple[float, ...]
    stratum: str | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """Which pods are on trial and which are the control, gone pods included.

    restarts: container restart times per pod, as far as known. reporting: contender pods that must have recent
    samples before the contender may be called healthy; None means all of `contender`. incumbent_serving: False once
    no incumbent pod is left, so that its silence is expected. born: start times of pods in seconds, as far as known; a
    pod without one counts as old. Raises ValueError for a pod on both sides.
    """

    contender: tuple[str, ...]
    incumbent: tuple[str, ...]
    restarts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reporting: tuple[str, ...] | None = None
    incumbent_serving: bool = True
    born: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.contender + self.incumbent
        if len(set(names)) != len(names):
            raise ValueError("a pod is listed twice: contender and incumbent must be disjoint")


@dataclass(frozen=True, slots=True)
class Frame:
    """When windows count: length in seconds and the settled spans [(from, to)] in which both ends must lie."""

    groups: Groups
    settled: tuple[tuple[float, float], ...]
    window: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.window) and self.window > 0.0):
            raise ValueError(f"window must be a positive number of seconds, not {self.window!r}")


REST = "*"
"""The stratum of everything that has none of the largest strata's names."""


@dataclass(frozen=True, slots=True)
class Strata:
    """The same counts split by a label, such as the route.

    names: one per stratum, REST among them where there is one. exposure, events: shape (strata, pods, windows), zero
    where void; summed over strata they are those of the tally.
    """

    names: tuple[str, ...]
    exposure: FloatArray
    events: FloatArray

    def keep_windows(self, keep: BoolArray) -> Strata:
        """The same counts in fewer windows."""
        return replace(self, exposure=self.exposure[:, :, keep], events=self.events[:, :, keep])

    def keep_pods(self, keep: BoolArray) -> Strata:
        """The same counts of fewer pods."""
        return replace(self, exposure=self.exposure[:, keep], events=self.events[:, keep])


@dataclass(frozen=True, slots=True)
class Tally:
    """Sufficient statistics of counts: exposure and events per pod and window; they add up over both axes.

    exposure, events: shape (pods, windows), zero where void. seen: usable pod-windows. contender: (pods,) flags.
    ends: window ends in seconds. Windows are all settled windows of the grid, shared by both sides or not. strata: the
    counts split by a label, None where they were not.
    """

    pods: tuple[str, ...]
    contender: BoolArray
    exposure: FloatArray
    events: FloatArray
    seen: BoolArray
    ends: FloatArray
    window: float
    freshness: Freshness
    strata: Strata | None = None

    def shared(self) -> Tally:
        """Only the windows in which both sides served requests: the same windows for both, or the test is biased."""
        return self.keep_windows(self.together())

    def together(self) -> BoolArray:
        """The windows in which both sides served requests; shape (windows,)."""
        ours = self.exposure[self.contender].sum(axis=0) > 0.0
        both: BoolArray = ours & (self.exposure[~self.contender].sum(axis=0) > 0.0)
        return both

    def keep_windows(self, keep: BoolArray) -> Tally:
        """The same counts in fewer windows; these counts themselves where all are kept."""
        if keep.all():
            return self
        return replace(
            self,
            exposure=self.exposure[:, keep],
            events=self.events[:, keep],
            seen=self.seen[:, keep],
            ends=self.ends[keep],
            strata=None if self.strata is None else self.strata.keep_windows(keep),
        )

    def without(self, pod: str) -> Tally:
        """The same counts with one pod left out."""
        keep = np.array([name != pod for name in self.pods], dtype=np.bool_)
        return replace(
            self,
            pods=tuple(name for name in self.pods if name != pod),
            contender=self.contender[keep],
            exposure=self.exposure[keep],
            events=self.events[keep],
            seen=self.seen[keep],
            strata=None if self.strata is None else self.strata.keep_pods(keep),
        )

    def contender_windows(self) -> ContenderWindows:
        """Where the contender was seen and asked. A counter without requests beside it counts each window it ran."""
        ours = self.contender
        seen, asked = np.any(self.seen[ours], axis=0), np.any(self.exposure[ours], axis=0)
        return ContenderWindows(self.ends - self.window, seen, asked)

    def summary(self) -> Exposure:
        """Totals per side over these windows."""
        ours, theirs = self.contender, ~self.contender
        requests, events, active = self.exposure.sum(axis=1), self.events.sum(axis=1), self.seen.any(axis=1)
        windows = int(self.seen.any(axis=0).sum())
        return Exposure(
            contender_requests=float(requests[ours].sum()),
            incumbent_requests=float(requests[theirs].sum()),
            contender_events=float(events[ours].sum()),
            incumbent_events=float(events[theirs].sum()),
            contender_pods=int((active & ours).sum()),
            incumbent_pods=int((active & theirs).sum()),
            windows=windows,
            minutes=windows * self.window / 60.0,
        )


@dataclass(frozen=True, slots=True)
class Histogram:
    """Requests per pod and window, and how many of them were slower than each boundary.

    boundaries: finite bucket bounds in seconds, ascending. slower: shape (boundaries, pods, windows). tally: the
    requests themselves as exposure, with events all zero.
    """

    boundaries: FloatArray
    slower: FloatArray
    tally: Tally

    def above(self, index: int) -> Tally:
        """Counts whose events are the requests slower than boundary `index`."""
        return replace(self.tally, events=self.slower[index])

    def shared(self) -> Histogram:
        """Only the windows in which both sides served requests."""
        return self._keep(self.tally.together())

    def first(self, windows: int) -> Histogram:
        """Only the first windows."""
        return self._keep(np.arange(self.tally.ends.size) < windows)

    def _keep(self, keep: BoolArray) -> Histogram:
        if keep.all():
            return self
        return Histogram(self.boundaries, self.slower[:, :, keep], self.tally.keep_windows(keep))


def lately(frame: Frame) -> float:
    """The moment since which the last few windows' worth of settled time has passed; -inf when there was less.

    Time between spans does not count: a batch that took long to settle makes no sample stale.
    """
    left = (STALE_WINDOWS + 1) * frame.window
    for begin, end in sorted(frame.settled, reverse=True):
        if end - begin >= left:
            return end - left
        left -= max(end - begin, 0.0)
    return -math.inf
