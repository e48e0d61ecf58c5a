"""The arithmetic of a rolling update that is held at exact sizes; pure, in pods.

Theory. Let D be the desired pods, S and U the policy's surge and unavailability, n the contender pods of a stage,
s = min(S, n), i and c the replicas of the incumbent's and the contender's ReplicaSet. Contenders are never Available to
the native controller, so with maxSurge s and maxUnavailable m it comes to rest at

    i = D - m,   c = s + m,   i + c = D + s,

and m = n - s is the stage. It lowers i at once, whatever the contenders do, so m is raised step by step: by as many
incumbents as may leave with the contenders that are ready now,

    ready + ready_c - removed >= D - U,   or only such incumbents as do not serve anyway.

Contenders serve and are not Available, so the native controller takes them for the first to go wherever it may remove
pods. At rest it may not: paused, the Deployment carries the fences (s, 0), and (0, 1) without a surge. Set free with a
third template under those, it removes i + c - D pods at most, and whatever it makes of the third is not Available
either, so that it stops there: ready pods stay at D, or D - 1 without a surge. Within a step it may: m is what moves
incumbents.

The native controller never lowers the newer of two ReplicaSets. Where it has spread a change of D over both sides and
left more contenders than the stage has, or fewer incumbents than it must keep, the way back is its own: the incumbent's
template, until the split fits again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A stage in pods: `contender` n, `incumbent` D - n + s, and the surge s that holds it there."""

    desired: int
    contender: int
    surge: int

    @property
    def incumbent(self) -> int:
        return self.desired - self.contender + self.surge

    @property
    def depth(self) -> int:
        """The native controller's maxUnavailable once the stage is reached."""
        return self.contender - self.surge


@dataclass(frozen=True, slots=True)
class Split:
    """What is there: replicas of both ReplicaSets, pods that are ready long enough, and incumbents that serve."""

    incumbent: int
    contender: int
    ready_incumbents: int
    ready_contenders: int
    serving_incumbents: int


def goal(desired: int, contender: int, surge: int) -> Goal:
    """The goal of a stage with `contender` pods, under the policy's `surge`."""
    return Goal(desired, contender, min(surge, contender))


def resting(surge: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable of a Deployment at rest, under which nothing is lost if somebody sets it free."""
    return (surge, 0) if surge else (0, 1)


def fits(at: Goal, split: Split) -> bool:
    """Whether the split can only grow into the goal: no contender too many, no incumbent too few."""
    return at.desired > 0 and split.incumbent >= at.incumbent and split.contender <= at.contender


def reached(at: Goal, split: Split) -> bool:
    """Whether both sides have the size of the goal."""
    return split.incumbent == at.incumbent and split.contender == at.contender


def next_depth(at: Goal, split: Split, slack: int) -> int | None:
    """The maxUnavailable of the next step towards the goal, or None where no step would move a pod now.

    `slack` is U. The split must fit.
    """
    total = split.ready_incumbents + split.ready_contenders
    idle = split.incumbent - split.serving_incumbents
    may_go = max(total - (at.desired - slack), idle, 0)
    depth = max(0, min(at.depth, at.desired - split.incumbent + may_go))
    if at.surge == 0 and depth == 0:
        return None
    kept = min(split.incumbent, at.desired - depth)
    grows = kept + split.contender < at.desired + at.surge
    return depth if kept < split.incumbent or grows else None


def at_rest(desired: int, surge: int, unavailable: int, split: Split) -> bool:
    """Whether the native controller has come to rest under these fences, contenders never being Available."""
    return split.incumbent <= max(0, desired - unavailable) and split.incumbent + split.contender >= desired + surge
