"""The simulated Deployment and ReplicaSet controllers: from a Deployment's spec to the pods that should be there.

One sync does what the real ones do, in the same order: observe the generation, find the ReplicaSet of the template (or
make it, unless the Deployment is paused) and give it the Deployment's minReadySeconds; then take one step: follow a
change of replicas, spread over all ReplicaSets in proportion, or raise the new one, or lower the old ones, those that
are not available first. Then create what is missing (as far as a quota lets it), delete what is too much (pods that are
not ready first, then the youngest), and write the status when it changed. A cluster test holds both against each other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import msgspec

from controller.simulation.objects import Object, timestamp
from controller.simulation.pods import NEVER, Pod, template_hash

_DEFAULT_SHARE = "25%"


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """One version of a Deployment: `replicas` pods of `template`.

    order: its revision. min_ready: that of the Deployment when this was last its newest ReplicaSet. wanted, limit: the
    Deployment's replicas, and those with its surge, when this one was scaled last. made: the order of creation.
    """

    name: str
    hash: str
    template: Mapping[str, Any]
    replicas: int
    order: int
    min_ready: float = 0.0
    wanted: int = 0
    limit: int = 0
    made: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync came to: the ReplicaSets, the status, pods to delete, and when to look again."""

    replica_sets: tuple[ReplicaSet, ...]
    status: Object
    delete: tuple[Pod, ...]
    again: float


CreatePod = Callable[[ReplicaSet], str]  # returns why the pod was refused, or ""
Available = Mapping[str, int]  # available pods by the name of the ReplicaSet


def sync(deployment: Object, sets: Sequence[ReplicaSet], pods: Sequence[Pod], create: CreatePod, now: float) -> Outcome:
    """One round of both controllers. `pods` are those of this Deployment, the terminating ones included."""
    living: dict[str, list[Pod]] = {}
    for pod in pods:
        if not pod.terminating:
            living.setdefault(pod.state.replica_set, []).append(pod)

    rollout = Rollout.of(deployment["spec"])
    current, old = _sets_of(deployment, sets, rollout)
    available = _available([*old, *([current] if current is not None else [])], living, now)
    current, old = _stepped(rollout, current, old, available)
    old = _kept(deployment, current, old, living)
    everything = tuple(each for each in (*old, current) if each is not None)

    failure = ""
    delete: list[Pod] = []
    for each in everything:
        group = living.get(each.name, [])
        missing = each.replicas - len(group)
        for _ in range(missing):
            if refusal := create(each):
                failure = refusal
                break
        if missing < 0:
            delete += sorted(group, key=_goes_first)[:-missing]

    going = {pod.name for pod in delete}
    ripens = {each.name: each.min_ready for each in everything}
    staying = [pod for group in living.values() for pod in group if pod.name not in going]
    status = _status(deployment, current, staying, now, ripens, failure)
    soon = [
        pod.state.ready_since + ripens.get(pod.state.replica_set, 0.0)
        for pod in staying
        if pod.state.ready and not pod.state.available(now, ripens.get(pod.state.replica_set, 0.0))
    ]
    again = min(soon, default=NEVER)
    if failure:
        again = min(again, now + 10.0)
    return Outcome(everything, status, tuple(delete), again)


def _available(sets: Iterable[ReplicaSet], living: Mapping[str, list[Pod]], now: float) -> Available:
    """Each ReplicaSet counts its pods by its own minReadySeconds."""
    return {
        each.name: sum(pod.state.available(now, each.min_ready) for pod in living.get(each.name, ())) for each in sets
    }


# ------------------------------------------------------------------------------------- the Deployment controller


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a Deployment's spec says about its pods; surge and unavailable as pods of `wanted`."""

    wanted: int
    surge: int
    unavailable: int
    min_ready: float
    paused: bool
    recreate: bool

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Rollout:
        wanted = int(spec.get("replicas", 1))
        strategy = spec.get("strategy") or {}
        recreate = strategy.get("type") == "Recreate"
        rolling = strategy.get("rollingUpdate") or {}
        surge = _amount(rolling.get("maxSurge", _DEFAULT_SHARE), wanted, up=True)
        slack = _amount(rolling.get("maxUnavailable", _DEFAULT_SHARE), wanted, up=False)
        if surge == 0 and slack == 0:
            slack = 1
        return cls(
            wanted=wanted,
            surge=0 if recreate else surge,
            unavailable=0 if recreate else min(slack, wanted),
            min_ready=float(spec.get("minReadySeconds") or 0),
            paused=bool(spec.get("paused")),
            recreate=recreate,
        )


def _sets_of(
    deployment: Object, sets: Sequence[ReplicaSet], rollout: Rollout
) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The ReplicaSet of the present template (a new one unless the Deployment is paused) and the older ones.

    The newest one has the highest revision and the Deployment's minReadySeconds; the others keep what they had.
    """
    template = deployment["spec"]["template"]
    hashed = hash_of(template)
    current = next((each for each in sorted(sets, key=lambda one: one.made) if each.hash == hashed), None)
    old = [each for each in sets if each is not current]
    newest = max((each.order for each in old), default=0)
    if current is not None:
        return replace(current, order=max(current.order, newest + 1), min_ready=rollout.min_ready), old
    if rollout.paused:
        return None, old
    made = max((each.made for each in sets), default=0) + 1
    name = f"{deployment['metadata']['name']}-{hashed}"
    current = ReplicaSet(name, hashed, template, 0, newest + 1, rollout.min_ready, made=made)
    running = sum(each.replicas for each in old)
    first = 0 if rollout.recreate and running else max(0, min(rollout.wanted + rollout.surge - running, rollout.wanted))
    return _scaled_to(rollout, current, first, annotate=True), old


def hash_of(template: Mapping[str, Any]) -> str:
    """The pod-template-hash of a template."""
    return _hash(msgspec.json.encode(template))


@lru_cache(maxsize=1024)
def _hash(template: bytes) -> str:
    text = json.dumps(msgspec.json.decode(template), sort_keys=True, separators=(",", ":"))
    return template_hash(hashlib.sha256(text.encode()).digest())


def _stepped(
    rollout: Rollout, current: ReplicaSet | None, old: list[ReplicaSet], available: Available
) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The ReplicaSets after one step."""
    everything = [*old, current] if current is not None else list(old)
    followed = any(each.replicas > 0 and each.wanted != rollout.wanted for each in everything)
    if rollout.paused or followed or current is None:
        return _split(_proportionally(rollout, current, old, available), current)
    if rollout.recreate:
        gone = [_scaled_to(rollout, each, 0) for each in old]
        return (current if gone != old else _scaled_to(rollout, current, rollout.wanted)), gone
    raised = _raised(rollout, current, old)
    if raised != current:
        return raised, old
    return current, _lowered(rollout, current, old, available)


def _split(sets: Sequence[ReplicaSet], current: ReplicaSet | None) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    name = current.name if current is not None else ""
    return next((each for each in sets if each.name == name), None), [each for each in sets if each.name != name]


def _scaled_to(rollout: Rollout, each: ReplicaSet, replicas: int, *, annotate: bool = False) -> ReplicaSet:
    if replicas == each.replicas and not annotate:
        return each
    return replace(each, replicas=replicas, wanted=rollout.wanted, limit=rollout.wanted + rollout.surge)


def _raised(rollout: Rollout, current: ReplicaSet, old: Sequence[ReplicaSet]) -> ReplicaSet:
    """The newest ReplicaSet grows into the surge; it only shrinks to what is wanted in total."""
    if current.replicas >= rollout.wanted:
        return _scaled_to(rollout, current, rollout.wanted)
    room = rollout.wanted + rollout.surge - current.replicas - sum(each.replicas for each in old)
    return _scaled_to(rollout, current, current.replicas + max(0, min(room, rollout.wanted - current.replicas)))


def _lowered(
    rollout: Rollout, current: ReplicaSet, old: Sequence[ReplicaSet], available: Available
) -> list[ReplicaSet]:
    """The older ones shrink: first by pods that are not available, then as far as enough available ones stay."""
    least = rollout.wanted - rollout.unavailable
    total = current.replicas + sum(each.replicas for each in old)
    most = total - least - (current.replicas - available[current.name])
    if most <= 0:
        return list(old)
    result = []
    for each in sorted(old, key=lambda one: one.made):
        sick = min(most, max(0, each.replicas - available[each.name]))
        most -= sick
        result.append(_scaled_to(rollout, each, each.replicas - sick))
    spare = max(0, sum(available.values()) - least)
    for index, each in enumerate(result):
        goes = min(each.replicas, spare)
        spare -= goes
        result[index] = _scaled_to(rollout, each, each.replicas - goes)
    return result


def _proportionally(
    rollout: Rollout, current: ReplicaSet | None, old: Sequence[ReplicaSet], available: Available
) -> list[ReplicaSet]:
    """All ReplicaSets after the Deployment's replicas changed, or while it is paused."""
    everything = [*old, current] if current is not None else list(old)
    active = [each for each in everything if each.replicas > 0]
    only = _only(current, old, active)
    if only is not None:
        grown = _scaled_to(rollout, only, rollout.wanted)
        return [grown if each is only else each for each in everything]
    if current is not None and current.replicas == rollout.wanted == current.wanted == available[current.name]:
        return [each if each is current else _scaled_to(rollout, each, 0) for each in everything]
    if rollout.recreate:
        return everything
    allowed = rollout.wanted + rollout.surge if rollout.wanted > 0 else 0
    missing = allowed - sum(each.replicas for each in active)
    # Larger ones first; of equal ones the newer first on the way up, the older first on the way down.
    active.sort(key=lambda each: (-each.replicas, -each.made if missing > 0 else each.made))
    sizes: dict[str, int] = {}
    added = 0
    for each in active:
        share = _share(rollout, each, missing, added)
        sizes[each.name] = each.replicas + share
        added += share
    if missing and active:
        sizes[active[0].name] = max(0, sizes[active[0].name] + missing - added)
    return [
        _scaled_to(rollout, each, sizes[each.name], annotate=True) if each.name in sizes else each
        for each in everything
    ]


def _only(current: ReplicaSet | None, old: Sequence[ReplicaSet], active: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The one that takes all of a change: the only active one, or the newest where none is."""
    if len(active) == 1:
        return active[0]
    if active:
        return None
    return current if current is not None else max(old, key=lambda each: each.made, default=None)


def _share(rollout: Rollout, each: ReplicaSet, missing: int, added: int) -> int:
    """What one ReplicaSet takes of `missing` pods, `added` of which are given out already."""
    if missing in (0, added):
        return 0
    if rollout.wanted == 0:
        fraction = -each.replicas
    else:
        size = each.replicas * (rollout.wanted + rollout.surge) / each.limit
        fraction = math.floor(size + 0.5) - each.replicas
    return min(fraction, missing - added) if missing > 0 else max(fraction, missing - added)


def _kept(
    deployment: Object, current: ReplicaSet | None, old: Sequence[ReplicaSet], living: Mapping[str, list[Pod]]
) -> list[ReplicaSet]:
    """The old ReplicaSets within the history limit; those with pods stay in any case."""
    too_many = len(old) - int(deployment["spec"].get("revisionHistoryLimit", 10))
    oldest = sorted(old, key=lambda each: each.order)[: max(0, too_many)]
    gone = {each.name for each in oldest if each.replicas == 0 and not living.get(each.name)}
    return [each for each in old if each.name not in gone]


def _amount(value: object, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = float(str(value).rstrip("%")) / 100.0
    return math.ceil(of * share - 1e-9) if up else math.floor(of * share + 1e-9)


# ------------------------------------------------------------------------------------- pods and status


def _goes_first(pod: Pod) -> tuple[int, int, int, float, int]:
    """A ReplicaSet's order of deletion: without a node, not ready, restarted, youngest."""
    state = pod.state
    return (bool(state.node), state.ready, -state.restarts, -state.ready_since, -pod.order)


def _status(
    deployment: Object,
    current: ReplicaSet | None,
    pods: Iterable[Pod],
    now: float,
    ripens: Mapping[str, float],
    failure: str,
) -> Object:
    """The Deployment's status; conditions keep their time while they say the same."""
    staying = list(pods)
    ready = sum(pod.state.ready for pod in staying)
    available = sum(pod.state.available(now, ripens.get(pod.state.replica_set, 0.0)) for pod in staying)
    wanted = int(deployment["spec"].get("replicas", 1))
    conditions = [("Available", available >= min(1, wanted), "MinimumReplicasAvailable", "")]
    if failure:
        conditions.append(("ReplicaFailure", True, "FailedCreate", failure))
    before = {each["type"]: each for each in (deployment.get("status") or {}).get("conditions") or ()}
    written = []
    for kind, true, reason, message in conditions:
        held = before.get(kind)
        value = "True" if true else "False"
        if held is not None and (held["status"], held["message"]) == (value, message):
            written.append(held)
        else:
            written.append(
                {"type": kind, "status": value, "reason": reason, "message": message, "lastTransitionTime":
                 timestamp(now)}
            )  # fmt: skip
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(staying),
        "updatedReplicas": sum(current is not None and pod.state.replica_set == current.name for pod in staying),
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
        "conditions": written,
    }
