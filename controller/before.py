"""What stands in for incumbents that do not serve beside the contender: their own last minutes before the release.

After a switch, or when all pods went before the new ones came, nothing of the old version serves at the same time. Then
each window of the contender is held against one of the incumbent's from right before the release, the newest against
the newest, as if they had been the same. What time itself changes between the two counts as the contender's: the
comparison is a before and after, the promise of the gates does not cover it, and a learned band knows more where there
is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis.learned import NotLearned
from analysis.samples import CounterSeries, Groups
from controller.release.record import Record
from controller.settings import Source

# Thresholds were learned from pods of the same minutes: they promise nothing of other ones.
NOT_COVERED = NotLearned("BeforeAndAfter", "held against the incumbent's minutes before the release, not beside it")
MOST = 1800.0  # seconds before the release that stand in


def instants(record: Record, source: Source, now: float) -> tuple[float, float] | None:
    """First and last aligned instant to ask for, or None before the first window of the stage is complete.

    From the incumbent's last minutes on; the last instant lies a scrape in the past, so its samples have arrived.
    """
    spans = [span for span in record.observing if span.start >= record.stage_since]
    end = _end(source, now)
    if not spans or end < math.ceil(spans[0].start / source.window) * source.window + source.window:
        return None
    return _began(record, source) - math.floor(MOST / source.window) * source.window, end


def paired(
    terms: Mapping[str, Sequence[CounterSeries]], groups: Groups, record: Record, source: Source, now: float
) -> tuple[dict[str, tuple[CounterSeries, ...]], Groups]:
    """The answers and the sides with the incumbent's time before the release moved to where the contender's ends."""
    began = _began(record, source)
    shift = _end(source, now) - began
    theirs = set(groups.incumbent)
    moved = {
        term: tuple(_moved(one, began, shift) if one.pod in theirs else one for one in many)
        for term, many in terms.items()
    }
    restarts = {
        pod: tuple(at + shift for at in times) if pod in theirs else times for pod, times in groups.restarts.items()
    }
    born = {pod: at + shift if pod in theirs else at for pod, at in groups.born.items()}
    return moved, replace(groups, restarts=restarts, born=born)


def _moved(one: CounterSeries, began: float, shift: float) -> CounterSeries:
    kept = [(at + shift, value) for at, value in zip(one.times, one.values, strict=True) if at <= began]
    return replace(one, times=tuple(at for at, _ in kept), values=tuple(value for _, value in kept))


def _began(record: Record, source: Source) -> float:
    """The last aligned instant at which the incumbent had all requests."""
    return math.floor(record.started / source.window) * source.window


def _end(source: Source, now: float) -> float:
    return math.floor((now - source.scrape) / source.window) * source.window
