"""The world's own controllers at work: Deployments acted upon, pods created within the quota, placed, and collected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.release.observation import PodState
from controller.simulation import jobs
from controller.simulation.deployments import ReplicaSet, hash_of, sync
from controller.simulation.objects import Key, Object
from controller.simulation.pods import NEVER, Pod, suffix, version_of

if TYPE_CHECKING:
    from controller.simulation.world import World

_MANAGER = "kube-controller-manager"
_NODES = 5


def act(world: World) -> None:
    """The controllers look at every Deployment and Job that is due, then the scheduler at waiting pods."""
    for key, at in list(world.due.items()):
        if at <= world.now and key[0] == "Job":
            jobs.sync(world, key)
        elif at <= world.now:
            _sync(world, key)
    schedule(world)


def schedule(world: World) -> None:
    """Waiting pods get a node, oldest first, as long as there is room."""
    placed = sum(bool(pod.state.node) for pod in world.pods.values())
    for pod in world.pods.values():
        if pod.stage != "pending" or pod.state.node:
            continue
        if world.capacity is None or placed < world.capacity:
            placed += 1
            pod.schedule(f"node-{placed % _NODES}", world.behaviour(pod.version), world.now)
            world.objects.next_version()
        elif pod.refuse_node():
            world.objects.next_version()


def collect(world: World, gone: Object) -> None:
    """The garbage collector: the pods of a deleted Deployment go too."""
    for each in world.replica_sets.pop(gone["metadata"]["uid"], ()):
        for pod in world.pods.values():
            if pod.state.replica_set == each.name:
                pod.terminate(world.now)
                world.touch(pod)


def _sync(world: World, key: Key) -> None:
    deployment = world.objects.items.get(key)
    world.due.pop(key, None)
    if deployment is None:
        return
    uid = deployment["metadata"]["uid"]
    sets = world.replica_sets.get(uid, ())
    names = {each.name for each in sets} | {f"{key[2]}-{hash_of(deployment['spec']['template'])}"}
    mine = [pod for pod in world.pods.values() if pod.namespace == key[1] and pod.state.replica_set in names]
    outcome = sync(deployment, sets, mine, lambda each: _create_pod(world, key[1], each), world.now)
    moved = bool(outcome.delete) or sets != outcome.replica_sets
    world.replica_sets[uid] = outcome.replica_sets
    for pod in outcome.delete:
        pod.terminate(world.now)
        world.touch(pod)
    world.objects.patch(key, {"status": outcome.status}, _MANAGER, world.now, status=True)
    soon = world.now + world.conditions.sync_lag if moved else NEVER
    world.due[key] = min(outcome.again, soon)


def _create_pod(world: World, namespace: str, replica_set: ReplicaSet) -> str:
    """A new pod; returns why the API server refused it, or ""."""
    bound = world.quota.get(namespace)
    used = sum(pod.namespace == namespace for pod in world.pods.values())
    if bound is not None and used >= bound:
        return f'pods "{replica_set.name}-" is forbidden: exceeded quota: pods={used}, limited: pods={bound}'
    name = f"{replica_set.name}-{suffix(world.rng)}"
    world.pods_made += 1
    labels = dict((replica_set.template.get("metadata") or {}).get("labels") or {})
    world.pods[name] = Pod(
        namespace=namespace,
        version=version_of(replica_set.template),
        state=PodState(
            name=name, replica_set=replica_set.name, labels={**labels, "pod-template-hash": replica_set.hash}
        ),
        created=world.now,
        order=world.pods_made,
        start_delay=float(world.rng.uniform(*world.conditions.start)),
        grace=float(world.rng.uniform(*world.conditions.grace)),
    )
    world.objects.next_version()
    return ""
