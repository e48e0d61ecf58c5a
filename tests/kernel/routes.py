"""Laws of traffic: what stands behind a Service at any time, and what a write may leave there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.release.observation import PodState
from controller.release.plan import PatchSlot
from controller.requests.failure import Failure
from controller.requests.writes import WriteObject, WriteSlot
from controller.services import selector_of
from controller.simulation.services import selects
from controller.simulation.world import World
from controller.strategies.pins import HASH
from tests.kernel.memory import Memory, Moment, moves_of, patched, pinned_by, ungated

Service = Mapping[str, Any]


def _switched(now: Moment) -> tuple[str, int] | None:
    """(the Service that the policy switches, D - U), where the release of this write has one."""
    if now.life is None or not now.life.record.policy:
        return None
    record = now.life.record
    blue = pinned_by(record).spec.strategy.blue_green
    return (blue.service, record.desired - moves_of(record).unavailable(record.desired)) if blue is not None else None


def _behind(world: World, service: Service, namespace: str = "shop") -> list[PodState]:
    """The pods that a Service would send requests to, if its selector took effect at once."""
    return [
        pod.state
        for pod in world.pods.values()
        if pod.namespace == namespace and pod.serving and selects(dict(service), pod.state)
    ]


def reached_by_a_write(now: Moment) -> str:
    found = _switched(now)
    if found is None:
        return ""
    name, need = found
    service = now.world.objects.items.get(("Service", "shop", name))
    if service is None:
        return ""
    if isinstance(now.request, WriteObject) and now.request.write.ref.name == name and now.entry.before is not None:
        had, has = len(_behind(now.world, now.entry.before)), len(_behind(now.world, service))
        could = sum(pod.serving for pod in now.world.pods.values() if selects_app(service, pod.state))
        # On the way back the better side is enough; forward, all of D - U.
        if has >= min(need, had) or (has > 0 and 2 * has >= could):
            return ""
        return f"Service {name}: {had} -> {has} pods behind it, {need} are promised, {could} could serve"
    if isinstance(now.request, WriteSlot) and isinstance(now.request.write, PatchSlot):
        lowered = patched(now)
        if lowered is None or lowered[2] >= lowered[1]:
            return ""
        write, before, after = lowered
        mine = [pod for pod in _behind(now.world, service) if pod.replica_set.rpartition("-")[0] == write.name]
        others = len(_behind(now.world, service)) - len(mine)
        if mine and others + max(len(mine) - (before - after), 0) < min(need, len(mine) + others):
            return f"{write.name} {before} -> {after} leaves {others} pods behind Service {name}, {need} are promised"
    return ""


def selects_app(service: Service, pod: PodState) -> bool:
    """Whether a pod is of the app, whatever its version."""
    own = {key: value for key, value in selector_of(service).items() if key != HASH}
    return bool(own) and all(pod.labels.get(key) == value for key, value in own.items())


def reached(world: World, memory: Memory) -> str:
    """A Service that we have pinned is never empty while a pod of the app serves, unless somebody else made it so."""
    for _, life in memory.moving:
        blue = pinned_by(life.record).spec.strategy.blue_green
        service = world.objects.items.get(("Service", "shop", blue.service)) if blue is not None else None
        if service is None or HASH not in selector_of(service):
            continue
        behind = frozenset(pod.name for pod in _behind(world, service))
        could = sum(pod.serving and selects_app(service, pod.state) for pod in world.pods.values())
        before, memory.behind = memory.behind, behind
        if not behind and could and not all(_taken_outside(world, memory, name) for name in before):
            return f"Service {service['metadata']['name']} is empty, {could} pods could serve"
    return ""


def _taken_outside(world: World, memory: Memory, name: str) -> bool:
    """A pod that crashed, was evicted, or lost its readiness: not one that left because we lowered its slot."""
    pod = world.pods.get(name)
    return name in memory.excused or (pod is not None and not pod.terminating and not pod.state.ready)


def forward_in_ignorance(now: Moment) -> str:
    found = _switched(now)
    if found is None or not isinstance(now.request, WriteObject) or now.life is None:
        return ""
    name, _ = found
    record = now.life.record
    service = now.entry.after
    if now.request.write.ref.name != name or service is None or record.contender is None or ungated(record):
        return ""
    hashed = selector_of(service).get(HASH)
    before = selector_of(now.entry.before or {}).get(HASH)
    ours = {pod.state.labels.get(HASH) for pod in now.world.pods_of(record.contender.name)}
    if hashed is None or hashed == before or hashed not in ours:
        return ""
    unread = [type(request).__name__ for request, answer in now.eyes.unread if isinstance(answer, Failure)]
    return f"requests were sent to the contender although {unread} could not be read" if unread else ""
