"""Which stretches of history are asked for: enough to learn from, no more than a production store bears.

A gate is learned from segments, each as long as a release may take, so that a pseudo-release fits in. They are spread
over all days and hours of the span, more of them in the hours in which releases are meant to run, and none of them in
a stretch where something was released: a rollout is a change of the set of ReplicaSets that have pods, and what lies
ten minutes before and an hour after it teaches nothing about ordinary time. Past rollouts are asked for apart, for what
they say about young pods.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.baseline import Excluded
from controller.learning.asks import Alerts, Presence, Stretch

MOST_SEGMENTS = 84
LEAST_SEGMENTS = 6  # from so many a calibration is worth its name
LONGEST_SEGMENT = 7_200.0  # seconds
SHORTEST_SEGMENT = 1_800.0  # seconds; three hours are six of them
SCANT_SEGMENT = 600.0  # seconds; where there is hardly anything, less than this is no segment
BEFORE, AFTER = 600.0, 3_600.0  # seconds around a rollout that are left out
ALERT_BEFORE, ALERT_AFTER = 900.0, 600.0  # seconds: an alert fires when things have been bad for a while
CHRONIC = 0.2  # share of the time above which a firing alert says nothing
BAND_STEP = 300.0
PRESENT_SPAN = 3_600.0  # seconds that are compared with history before a release
FALLBACK_SPAN = 10_800.0  # seconds that are learned from where they differ
MOST_ROLLOUTS = 8
ROLLOUT_BEFORE, ROLLOUT_AFTER = 600.0, 3_000.0  # seconds around one, until its pods are no longer young
SLACK = 4  # windows by which a segment is longer than a release: a scrape may be missing at its ends
_HOUR = 3_600.0
_GONE = 900.0  # seconds for which a ReplicaSet's samples may be missing without its pods being gone

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rollout:
    """When pods of ReplicaSets appeared beside others: `at` in epoch seconds, with the names of the new ones."""

    at: float
    end: float
    replica_sets: tuple[str, ...]


def aligned(span: Span, step: float) -> Span:
    """The largest span inside whose ends are multiples of the step."""
    return math.ceil(span[0] / step) * step, math.floor(span[1] / step) * step


def rollouts_of(presence: Presence, step: float) -> tuple[Rollout, ...]:
    """Every change of the set of ReplicaSets that have pods, from the instants at which each had some.

    step: seconds between those instants. The ReplicaSets of the first instant were there before. One that is silent
    for a quarter of an hour and comes back is a rollout too: the warm version took over again. As long as pods of two
    ReplicaSets serve, the rollout lasts.
    """
    gap = max(_GONE, 2.0 * step)
    runs = [(*run, name) for name, instants in presence.pods.items() for run in _runs([at for at, _ in instants], gap)]
    if not runs:
        return ()
    first, last = min(begin for begin, _, _ in runs), max(end for _, end, _ in runs)
    changes = [(begin, begin, name) for begin, _, name in runs if begin > first]
    changes += [(end + step, end + step, "") for _, end, _ in runs if end < last]
    for place, one in enumerate(runs):
        for other in runs[:place]:
            begin, end = max(one[0], other[0]), min(one[1], other[1])
            if begin <= end:
                changes.append((begin, end, ""))
    merged: list[Rollout] = []
    for begin, end, name in sorted(changes):
        names = (name,) if name else ()
        if merged and begin - merged[-1].end <= AFTER:
            before = merged[-1]
            merged[-1] = Rollout(before.at, max(before.end, end), before.replica_sets + names)
        else:
            merged.append(Rollout(begin, end, names))
    return tuple(merged)


def _runs(instants: Sequence[float], gap: float) -> Iterable[Span]:
    """Stretches without a hole longer than `gap`."""
    if not instants:
        return
    begin = last = instants[0]
    for at in instants[1:]:
        if at - last > gap:
            yield begin, last
            begin = at
        last = at
    yield begin, last


def excluded_by(rollouts: Iterable[Rollout], releases: Iterable[Excluded] = ()) -> tuple[Excluded, ...]:
    """What is left out around rollouts, and around releases (given as they were), in order of time."""
    found = [
        Excluded(one.at - BEFORE, one.end + AFTER, f"rollout of {', '.join(one.replica_sets) or 'an older version'}")
        for one in rollouts
    ]
    found += [Excluded(one.start - BEFORE, one.end + AFTER, one.because) for one in releases]
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def incidents_of(alerts: Alerts, step: float, bounds: Span) -> tuple[Excluded, ...]:
    """When alerts fired, with the time in which they were about to. An alert that fires most of the time is no news."""
    instants = max(1.0, (bounds[1] - bounds[0]) / step)
    found = []
    for name, firing in alerts.firing.items():
        if len(firing) > CHRONIC * instants:
            continue
        for begin, end in _runs(firing, _GONE):
            found.append(Excluded(begin - ALERT_BEFORE, end + ALERT_AFTER, f"alert {name} fired"))
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def free_of(span: Span, excluded: Iterable[Excluded]) -> tuple[Span, ...]:
    """What is left of a span."""
    left: list[Span] = []
    begin = span[0]
    for one in sorted(excluded, key=lambda one: one.start):
        if one.end <= begin or one.start >= span[1]:
            continue
        if one.start > begin:
            left.append((begin, one.start))
        begin = max(begin, one.end)
    if begin < span[1]:
        left.append((begin, span[1]))
    return tuple(left)


def segment_length(free: Sequence[Span], release: float, step: float) -> float:
    """Seconds of one segment: what a release may take, less where there would be too few of them; whole steps.

    release: seconds that all stages may take.
    """
    wanted = min(max(release + SLACK * step, SHORTEST_SEGMENT), LONGEST_SEGMENT)
    total = sum(end - begin for begin, end in free)
    wanted = min(wanted, max(SHORTEST_SEGMENT, total / (2 * LEAST_SEGMENTS)))
    if total < LEAST_SEGMENTS * wanted:
        wanted = max(SCANT_SEGMENT, total / LEAST_SEGMENTS)
    return max(1.0, math.floor(wanted / step + 1e-6)) * step


def segments_of(
    free: Sequence[Span], length: float, step: float, *, hours: Sequence[float] | None = None, most: int = MOST_SEGMENTS
) -> tuple[Span, ...]:
    """Segments that do not overlap, at most `most`, spread evenly over what is free; a segment is (begin, end).

    hours: a weight for each hour of the day (UTC), by the middle of a segment; none weighs all alike. Chosen by equal
    steps of accumulated weight over the candidates in order of hour and then of day, so that every hour gets its part
    and the days of an hour lie apart: steps in order of time alone would meet the same hours every day.
    """
    candidates: list[Span] = []
    for span in free:
        begin, end = aligned(span, step)
        while begin + length <= end + 1e-6:
            candidates.append((begin, begin + length))
            begin += length
    if len(candidates) <= most:
        return tuple(candidates)
    candidates.sort(key=lambda one: (_hour(sum(one) / 2.0), one))
    weights = [1.0 if hours is None else hours[_hour(sum(one) / 2.0)] for one in candidates]
    total = sum(weights)
    chosen: list[Span] = []
    accumulated, wanted = 0.0, 0.5
    for candidate, weight in zip(candidates, weights, strict=True):
        accumulated += weight * most / total if total > 0.0 else 0.0
        if accumulated >= wanted:
            chosen.append(candidate)
            # A candidate may weigh more than one step; it is still one segment.
            wanted = max(wanted + 1.0, math.floor(accumulated) + 0.5)
    return tuple(sorted(chosen))


def _hour(at: float) -> int:
    return int(at % 86_400.0 // _HOUR)


def window_hours(begin: float, end: float, share: float = 0.75) -> tuple[float, ...]:
    """Weights of the 24 hours: `share` of them inside a window (hours of the day, it may pass midnight)."""
    length = (end - begin) % 24.0 or 24.0
    inside = [((hour + 0.5 - begin) % 24.0) < length for hour in range(24)]
    counted = sum(inside)
    if counted in (0, 24):
        return (1.0,) * 24
    return tuple(share / counted if one else (1.0 - share) / (24 - counted) for one in inside)


def stretch(span: Span, step: float, fresh: float) -> Stretch:
    """The instants of a segment: both its ends, and one at every step."""
    return Stretch(span[0], span[1], step, fresh)


def around(rollout: Rollout, step: float, bounds: Span) -> Span | None:
    """What is asked for to learn how young pods behave, or None where it is not inside the history."""
    begin, end = aligned((rollout.at - ROLLOUT_BEFORE, rollout.end + ROLLOUT_AFTER), step)
    return (begin, end) if begin >= bounds[0] and end <= bounds[1] else None
