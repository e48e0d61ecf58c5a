"""Pseudo-releases cut out of history: incumbent pods play the contender, in the release's own stages.

A replay is drawn once and serves every gate, so that gates are wrong together in replays as they would be in a release.
A pod that turns is two rows of counts, one before and one after: as an incumbent that left and a contender that came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import SMOOTHING_WINDOWS
from analysis.contrast import IntArray, Releases
from analysis.learned import AgeCurve, Variation
from analysis.learning.ages import youthful
from analysis.samples import BoolArray, Tally
from analysis.special import FloatArray

NOTHING_SEEN = math.log(0.5)
"""Evidence of no window at all: start 0 has half of the weight, and restarts have not begun."""

_CHUNK = 64
"""Replays cut out at a time: arrays of all of them at once would be most of what learning needs of memory."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One pseudo-release.

    segment: which stretch of history. order: the pods that take part, in the order in which they turn contender.
    begin: where it begins, in seconds; window k ends at begin + (k + 1) window. stages: contender pods of each stage.
    ends: windows since the beginning after which each stage ends; at the last of them the replay is over.
    draw: a number of its own, for whatever else is random about it.
    """

    segment: int
    order: tuple[str, ...]
    begin: float
    window: float
    stages: tuple[int, ...]
    ends: tuple[int, ...]
    draw: int = 0

    def turns(self) -> dict[str, int]:
        """The first window in which each contender pod is one."""
        out: dict[str, int] = {}
        before = 0
        for target, since in zip(self.stages, (0, *self.ends), strict=False):
            out.update(dict.fromkeys(self.order[before:target], since))
            before = target
        return out

    def ending(self, stage: int, at: int) -> Replay:
        """The same with one stage ending after so many windows, and the later ones as long as they were."""
        shift = at - self.ends[stage]
        return replace(self, ends=(*self.ends[:stage], *(end + shift for end in self.ends[stage:])))


@dataclass(frozen=True, slots=True)
class Cast:
    """Replays of one kind of count as releases side by side, windows in which a side served nothing pushed to the end.

    seen: (replays, looks), shared windows up to each look. age: (replays, contender rows, windows) seconds since the
    pod of the row turned, at the middle of the window, 0 before. rate: (replays, windows), events per unit of exposure
    over all pods, smoothed.
    """

    batch: Releases
    seen: IntArray
    age: FloatArray
    rate: FloatArray

    def spread_out(self, values: FloatArray) -> FloatArray:
        """Evidence after so many shared windows, (replays, windows), as evidence at each look."""
        first = np.full((values.shape[0], 1), NOTHING_SEEN)
        result: FloatArray = np.take_along_axis(np.concatenate([first, values], axis=1), self.seen, axis=1)
        return result

    def aged(
        self,
        ages: Sequence[AgeCurve],
        draws: Sequence[int],
        rng: np.random.Generator,
        variation: Variation | None = None,
        power: float = 1.0,
    ) -> Cast:
        """Contender pods as young as they would be: exposure by the learned curve, events by one of its refits.

        ages: the learned curve and the refits; the threshold then contains the error of the curve. Without refits the
        events follow the learned curve itself; without a curve nothing changes. variation: of healthy pods, which
        youth multiplies as well.
        """
        if not ages:
            return self
        refits = ages[1:] or ages
        c = self.batch.contender
        exposure, events = self.batch.exposure.copy(), self.batch.events.copy()
        served = exposure[:, c]
        factor = np.stack([refits[draw % len(refits)].of(self.age[at]) for at, draw in enumerate(draws)])
        events[:, c] = youthful(served, events[:, c], self.rate[:, None, :], factor**power, variation, rng)
        exposure[:, c] = served * ages[0].of(self.age) ** power
        return replace(self, batch=replace(self.batch, exposure=exposure, events=events))


def cast(
    segments: Sequence[Tally], replays: Sequence[Replay], looks: int, worse: Sequence[Tally] | None = None
) -> Cast:
    """Cut the first `looks` windows of replays out of segments; contenders from `worse`, the same segments made worse.

    Only the pods in a replay's order take part. Shape: one row per such pod before it turns, and one row per contender.
    """
    return _cast(segments, replays, looks, worse, _rows(replays))


def casts(
    segments: Sequence[Tally], replays: Sequence[Replay], looks: int, worse: Sequence[Tally] | None = None
) -> Iterator[tuple[slice, Cast]]:
    """`cast` of a few replays after the other, and which they are: all of them at once cost much memory."""
    rows = _rows(replays)
    for at in range(0, len(replays), _CHUNK):
        which = slice(at, at + _CHUNK)
        yield which, _cast(segments, replays[which], looks, worse, rows)


def _rows(replays: Sequence[Replay]) -> tuple[int, int]:
    """Most pods that take part in a replay, and most contenders."""
    return max((len(one.order) for one in replays), default=0), max((one.stages[-1] for one in replays), default=0)


def _cast(
    segments: Sequence[Tally],
    replays: Sequence[Replay],
    looks: int,
    worse: Sequence[Tally] | None,
    shape: tuple[int, int],
) -> Cast:
    rows, most = shape
    turn = np.full((len(replays), rows), looks)
    for at, one in enumerate(replays):
        turn[at, : one.stages[-1]] = list(one.turns().values())
    place = np.arange(looks)
    before = place < turn[:, :, None]
    n, x = _laid_out(segments, replays, rows, looks)
    late_n, late_x = (n, x) if worse is None else _laid_out(worse, replays, rows, looks)
    young = turn[:, :most, None]
    after = place >= young
    exposure = np.concatenate([n * before, late_n[:, :most] * after], axis=1)
    events = np.concatenate([x * before, late_x[:, :most] * after], axis=1)
    window = replays[0].window if replays else 1.0
    age = np.where(after, (place - young + 0.5) * window, 0.0)
    rate = smoothed(events.sum(axis=1)) / np.maximum(smoothed(exposure.sum(axis=1)), 1e-12)
    return _together(Releases(np.arange(rows + most) >= rows, exposure, events, window), age, rate)


def _laid_out(
    segments: Sequence[Tally], replays: Sequence[Replay], rows: int, looks: int
) -> tuple[FloatArray, FloatArray]:
    """Exposure and events of the pods of each replay, in its order and on its own windows, (replays, rows, looks)."""
    n, x = np.zeros((len(replays), rows, looks)), np.zeros((len(replays), rows, looks))
    by_segment: dict[int, list[int]] = {}
    for at, one in enumerate(replays):
        by_segment.setdefault(one.segment, []).append(at)
    for segment, mine in by_segment.items():
        tally = segments[segment]
        if not tally.ends.size:
            continue
        number = {pod: row for row, pod in enumerate(tally.pods)}
        # One row and one column more than there are, of zeros, for pods and windows that this segment does not know.
        row_of = np.full((len(mine), rows), len(tally.pods))
        begins = np.array([replays[at].begin for at in mine])
        for k, at in enumerate(mine):
            row_of[k, : len(replays[at].order)] = [number.get(pod, len(tally.pods)) for pod in replays[at].order]
        window = replays[mine[0]].window
        first = float(tally.ends[0]) - window
        known = np.rint((tally.ends - first) / window).astype(np.int64) - 1
        column = np.full(int(known[-1]) + 2, tally.ends.size)
        column[known] = np.arange(tally.ends.size)
        wanted = np.rint((begins - first) / window).astype(np.int64)[:, None] + np.arange(looks)
        wanted = np.where((wanted >= 0) & (wanted < column.size), wanted, column.size - 1)
        index = row_of[:, :, None], column[wanted][:, None, :]
        n[mine], x[mine] = (np.pad(values, ((0, 1), (0, 1)))[index] for values in (tally.exposure, tally.events))
    return n, x


def played(replays: Sequence[Replay], looks: int) -> BoolArray:
    """Which looks lie within each replay."""
    ends = np.array([one.ends[-1] for one in replays])
    result: BoolArray = np.arange(1, looks + 1)[None, :] <= ends[:, None]
    return result


def smoothed(values: FloatArray) -> FloatArray:
    """Centred moving sums over the last axis, shorter at the ends."""
    windows = values.shape[-1]
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    at = np.arange(windows)
    result: FloatArray = (
        total[..., np.minimum(at + SMOOTHING_WINDOWS + 1, windows)] - total[..., np.maximum(at - SMOOTHING_WINDOWS, 0)]
    )
    return result


def _together(batch: Releases, age: FloatArray, rate: FloatArray) -> Cast:
    """Windows that both sides served first, in their order, and zeros in the others: as a live gate sees them."""
    c = batch.contender
    shared = (batch.exposure[:, c].sum(axis=1) > 0.0) & (batch.exposure[:, ~c].sum(axis=1) > 0.0)
    seen = np.cumsum(shared, axis=1)
    if shared.all():
        return Cast(batch, seen, age, rate)
    order = np.argsort(~shared, axis=1, kind="stable")
    three = order[:, None, :]
    kept = np.take_along_axis(shared, order, axis=1)
    exposure = np.take_along_axis(batch.exposure, three, axis=2) * kept[:, None, :]
    events = np.take_along_axis(batch.events, three, axis=2) * kept[:, None, :]
    age = np.take_along_axis(age, three, axis=2)
    rate = np.take_along_axis(rate, order, axis=1)
    return Cast(replace(batch, exposure=exposure, events=events), seen, age, rate)
