"""What is learned from: stretches of the past in which nothing was released, per gate.

Segments are distinct stretches of time, ascending, without a rollout or an incident; every pod in them is an incumbent.
Segments of several gates are the same stretch when they begin in the same window. Metrics of other resolution or with
holes are fine: what is missing is zero exposure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import LATEST_SECONDS
from analysis.learned import AgeCurve
from analysis.levels import Levels
from analysis.samples import Histogram, Tally
from analysis.special import FloatArray


@dataclass(frozen=True, slots=True)
class CountHistory:
    """Counts of errorRatio or throughput.

    ages: the learned curve of young pods first, then curves refitted on resampled rollouts; empty when pods are not
    young for long, or nobody looked. mix: the weights that made the exposures (see `LearnedCounts`). latest: pods are
    taken to differ by at least as much as in so many of the last segments, 0 for no such care.
    """

    segments: tuple[Tally, ...]
    ages: tuple[AgeCurve, ...] = ()
    mix: tuple[tuple[str, float], ...] = ()
    latest: int = 0


@dataclass(frozen=True, slots=True)
class LatencyHistory:
    """Bucket counts of latency. ages, latest: as for counts."""

    segments: tuple[Histogram, ...]
    ages: tuple[AgeCurve, ...] = ()
    latest: int = 0


@dataclass(frozen=True, slots=True)
class LevelHistory:
    """Readings of a gauge. rollouts: stretches around past rollouts, with the ages of pods that were born in them."""

    segments: tuple[Levels, ...]
    rollouts: tuple[Levels, ...] = ()


History = CountHistory | LatencyHistory | LevelHistory


@dataclass(frozen=True, slots=True)
class Stretch:
    """When a segment was, in seconds, and which pods were there for at least half of it."""

    begin: float
    end: float
    pods: tuple[str, ...]


def stretch_of(segment: Tally | Histogram | Levels) -> Stretch | None:
    """The time and the pods of one segment; None when nothing was seen in it."""
    if isinstance(segment, Histogram):
        segment = segment.tally
    ends = segment.instants if isinstance(segment, Levels) else segment.ends
    if not ends.size or not segment.seen.any():
        return None
    windows = round(float(ends[-1] - ends[0]) / segment.window) + 1
    there = segment.seen.sum(axis=1) * 2 >= windows
    pods = tuple(pod for pod, stays in zip(segment.pods, there.tolist(), strict=True) if stays)
    return Stretch(float(ends[0]) - segment.window, float(ends[-1]), pods)


def careful(history: History) -> History:
    """The same history when its noise may have changed within it: pods differ at least as in its last hour."""
    if isinstance(history, LevelHistory):
        return history
    stretches = [stretch_of(segment) for segment in history.segments]
    last = max((one.end for one in stretches if one is not None), default=0.0)
    recent = sum(one is not None and one.begin >= last - LATEST_SECONDS for one in stretches)
    return replace(history, latest=max(recent, 1))


def cut(tally: Tally, windows: int) -> tuple[Tally, ...]:
    """A long stretch as segments of so many windows each, on the tally's own grid; the rest at the end is left out."""
    return tuple(tally.keep_windows(keep) for keep in _runs(tally.ends, tally.window, windows))


def cut_histogram(histogram: Histogram, windows: int) -> tuple[Histogram, ...]:
    """The same for bucket counts."""
    tally = histogram.tally
    return tuple(
        replace(histogram, slower=histogram.slower[:, :, keep], tally=tally.keep_windows(keep))
        for keep in _runs(tally.ends, tally.window, windows)
    )


def _runs(ends: FloatArray, window: float, windows: int) -> list[np.ndarray]:
    """Which windows belong to each whole run of the grid that begins with the first window."""
    if not ends.size:
        return []
    place = np.rint((ends - ends[0]) / window).astype(np.int64)
    return [place // windows == run for run in range((int(place[-1]) + 1) // windows)]
