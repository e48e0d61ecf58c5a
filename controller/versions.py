"""Versions told apart by a label other than the pod: one series for each, from an ingress or a mesh edge.

Of one series nobody can see how pods differ, so a comparison of two of them always assumes the noise of pods, and says
so: what it promises is not calibrated on this app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.learned import NotLearned
from analysis.samples import Groups
from controller.release.observation import Observation
from controller.release.record import Record
from policies.schema import By

ONE_SERIES = NotLearned("OneSeries", "one series for each version shows nothing of how pods differ")


@dataclass(frozen=True, slots=True)
class Sides:
    """The values of the label by which each version is known; more than one after a restart of its pods."""

    incumbent: tuple[str, ...]
    contender: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.contender, *self.incumbent)))


def sides_of(by: By, record: Record) -> Sides:
    """Both versions of a release that has begun."""
    theirs = record.incumbent.replica_sets if record.incumbent is not None else ()
    ours = record.contender.replica_sets if record.contender is not None else ()
    return Sides(incumbents(by, theirs), _values(by.contender, "$contenderHash", ours))


def incumbents(by: By, replica_sets: Sequence[str]) -> tuple[str, ...]:
    """The values of the version that serves, by the names of its ReplicaSets."""
    return _values(by.incumbent, "$incumbentHash", replica_sets)


def groups(sides: Sides, seen: Observation) -> Groups:
    """Who is who, in the words of a comparison: a version is one member of its group, and is never born anew."""
    return Groups(
        contender=sides.contender,
        incumbent=sides.incumbent,
        restarts={},
        reporting=sides.contender if seen.contenders else (),
        incumbent_serving=any(not pod.terminating for pod in seen.incumbents),
        born={},
    )


def _values(text: str, mark: str, replica_sets: Sequence[str]) -> tuple[str, ...]:
    if mark not in text:
        return (text,)
    hashes = (name.rpartition("-")[2] for name in replica_sets)
    return tuple(sorted({text.replace(mark, each) for each in hashes}))
