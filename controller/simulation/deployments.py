"""The simulated Deployment and ReplicaSet controllers: from a Deployment's spec to the pods that should be there.

One sync does what the real ones do, in the same order: observe the generation, make or find the ReplicaSet of the
template, roll within the Deployment's own surge and unavailability, create what is missing (as far as a quota lets it),
delete what is too much (pods that are not ready first, then the youngest), and write the status when it changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.simulation.objects import Object, timestamp
from controller.simulation.pods import NEVER, Pod, template_hash

_DEFAULT_SHARE = "25%"


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """One version of a Deployment: `replicas` pods of `template`."""

    name: str
    hash: str
    template: Mapping[str, Any]
    replicas: int
    order: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync came to: the ReplicaSets, the status, pods to delete, and when to look again."""

    replica_sets: tuple[ReplicaSet, ...]
    status: Object
    delete: tuple[Pod, ...]
    again: float


CreatePod = Callable[[ReplicaSet], str]  # returns why the pod was refused, or ""


def sync(deployment: Object, sets: Sequence[ReplicaSet], pods: Sequence[Pod], create: CreatePod, now: float) -> Outcome:
    """One round of both controllers. `pods` are those of this Deployment, the terminating ones included."""
    spec = deployment["spec"]
    wanted = int(spec.get("replicas", 1))
    min_ready = float(spec.get("minReadySeconds") or 0)
    living: dict[str, list[Pod]] = {}
    for pod in pods:
        if not pod.terminating:
            living.setdefault(pod.state.replica_set, []).append(pod)

    current, old = _sets_of(deployment, sets)
    available = {name: sum(pod.state.available(now, min_ready) for pod in group) for name, group in living.items()}
    current, old = _scaled(spec, wanted, current, old, available)
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
    staying = [pod for group in living.values() for pod in group if pod.name not in going]
    status = _status(deployment, current, staying, now, min_ready, failure)
    soon = [
        pod.state.ready_since + min_ready
        for pod in staying
        if pod.state.ready and not pod.state.available(now, min_ready)
    ]
    again = min(soon, default=NEVER)
    if failure:
        again = min(again, now + 10.0)
    return Outcome(everything, status, tuple(delete), again)


def _sets_of(deployment: Object, sets: Sequence[ReplicaSet]) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The ReplicaSet of the present template (a new one unless the Deployment is paused) and the older ones."""
    template = deployment["spec"]["template"]
    hashed = hash_of(template)
    name = deployment["metadata"]["name"]
    current = next((each for each in sets if each.hash == hashed), None)
    old = [each for each in sets if each is not current]
    if current is None and not deployment["spec"].get("paused"):
        order = max((each.order for each in sets), default=0) + 1
        current = ReplicaSet(f"{name}-{hashed}", hashed, template, 0, order)
    return current, old


def hash_of(template: Mapping[str, Any]) -> str:
    """The pod-template-hash of a template."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return template_hash(hashlib.sha256(text.encode()).digest())


def _scaled(
    spec: Mapping[str, Any],
    wanted: int,
    current: ReplicaSet | None,
    old: list[ReplicaSet],
    available: Mapping[str, int],
) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The replicas of each ReplicaSet after this sync."""
    active = [each for each in old if each.replicas > 0]
    if spec.get("paused") or current is None:
        return _scaled_while_paused(wanted, current, old)
    if not active:
        return replace(current, replicas=wanted), old
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return current, [replace(each, replicas=0) for each in old]
    rolling = strategy.get("rollingUpdate") or {}
    surge = _amount(rolling.get("maxSurge", _DEFAULT_SHARE), wanted, up=True)
    slack = _amount(rolling.get("maxUnavailable", _DEFAULT_SHARE), wanted, up=False)
    if surge == 0 and slack == 0:
        slack = 1

    total = current.replicas + sum(each.replicas for each in old)
    if current.replicas > wanted:
        current = replace(current, replicas=wanted)
    elif current.replicas < wanted and total < wanted + surge:
        current = replace(current, replicas=min(wanted, current.replicas + wanted + surge - total))
    return current, _shrunk(current, old, wanted - slack, available)


def _shrunk(current: ReplicaSet, old: list[ReplicaSet], least: int, available: Mapping[str, int]) -> list[ReplicaSet]:
    """The older sets after one step down, as the real controller does it: sick pods first, then as far as `least`."""
    total = current.replicas + sum(each.replicas for each in old)
    room = total - least - (current.replicas - available.get(current.name, 0))
    if room <= 0:
        return old
    result = []
    for each in sorted(old, key=lambda one: one.order):
        sick = min(room, max(0, each.replicas - available.get(each.name, 0)))
        room -= sick
        result.append(replace(each, replicas=each.replicas - sick))
    spare = sum(available.get(each.name, 0) for each in (*old, current)) - least
    for index, each in enumerate(result):
        goes = min(each.replicas, max(0, spare))
        spare -= goes
        result[index] = replace(each, replicas=each.replicas - goes)
    return result


def _scaled_while_paused(
    wanted: int, current: ReplicaSet | None, old: list[ReplicaSet]
) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """A paused Deployment still follows its replicas: the largest set takes the difference."""
    everything = [*old, current] if current is not None else list(old)
    active = [each for each in everything if each.replicas > 0] or everything[-1:]
    if not active:
        return current, old
    largest = max(active, key=lambda each: (each.replicas, each.order))
    difference = wanted - sum(each.replicas for each in everything)
    grown = replace(largest, replicas=max(0, largest.replicas + difference))
    swapped = [grown if each is largest else each for each in everything]
    return (swapped[-1], swapped[:-1]) if current is not None else (None, swapped)


def _amount(value: object, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = float(str(value).rstrip("%")) / 100.0
    return math.ceil(of * share - 1e-9) if up else math.floor(of * share + 1e-9)


def _goes_first(pod: Pod) -> tuple[int, int, int, float, int]:
    """A ReplicaSet's order of deletion: without a node, not ready, restarted, youngest."""
    state = pod.state
    return (bool(state.node), state.ready, -state.restarts, -state.ready_since, -pod.order)


def _status(
    deployment: Object, current: ReplicaSet | None, pods: Iterable[Pod], now: float, min_ready: float, failure: str
) -> Object:
    """The Deployment's status; conditions keep their time while they say the same."""
    staying = list(pods)
    ready = sum(pod.state.ready for pod in staying)
    available = sum(pod.state.available(now, min_ready) for pod in staying)
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
