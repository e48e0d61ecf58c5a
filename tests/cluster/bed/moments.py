"""What a watch history is made of, and the laws it is judged by. Pure: objects in, findings out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.cluster.bed.api import Object, WatchEvent

State = dict[tuple[str, str], Object]


@dataclass(frozen=True, slots=True)
class Moment:
    """The namespace after one write. `replicas` (ordered) and `ready` (pods) are by Deployment name."""

    revision: int
    seconds: float
    what: str
    replicas: Mapping[str, int]
    ready: Mapping[str, int]

    @property
    def total_replicas(self) -> int:
        """Replicas ordered over all Deployments."""
        return sum(self.replicas.values())

    @property
    def total_ready(self) -> int:
        """Ready pods over all Deployments."""
        return sum(self.ready.values())


@dataclass(frozen=True, slots=True)
class Violation:
    """A moment that broke a law: "availability" (too few pods ready), "surge" (too many ordered) or "lowering"."""

    law: str
    found: int
    bound: int
    moment: Moment


def violations(moments: Sequence[Moment], *, desired: int, max_unavailable: int, max_surge: int) -> list[Violation]:
    """Every moment with fewer than D - U pods ready (law S1, weak) or more than D + S replicas ordered (S2)."""
    floor, ceiling = desired - max_unavailable, desired + max_surge
    broken = []
    for moment in moments:
        if moment.total_ready < floor:
            broken.append(Violation("availability", moment.total_ready, floor, moment))
        if moment.total_replicas > ceiling:
            broken.append(Violation("surge", moment.total_replicas, ceiling, moment))
    return broken


def unsafe_lowerings(moments: Sequence[Moment], *, desired: int, max_unavailable: int) -> list[Violation]:
    """Writes that lowered a Deployment although too few pods would be left, were only ready ones removed (S1, strong).

    A write may always remove as many pods as are not ready, for a ReplicaSet deletes those first: without that, a
    rollback from a pod that is never ready could not begin when no surge is left. No excuse for a dip is needed: each
    write is judged by the pods as they were at that write.
    """
    floor = desired - max_unavailable
    broken = []
    for before, after in pairwise(moments):
        for name, replicas in after.replicas.items():
            removed = before.replicas.get(name, 0) - replicas
            if removed <= 0:
                continue
            ready = before.ready.get(name, 0)
            left = before.total_ready - min(ready, removed)
            unready = before.replicas[name] - ready
            excused = ready == 0 or removed <= unready
            if left < floor and not excused:
                broken.append(Violation("lowering", left, floor, after))
    return broken


def deployment_of(pod: Object) -> str | None:
    """The name of the Deployment behind a pod, told from its ReplicaSet's name and hash."""
    meta = pod["metadata"]
    template = meta.get("labels", {}).get("pod-template-hash")
    for owner in meta.get("ownerReferences", []):
        if owner["kind"] == "ReplicaSet" and template and owner["name"].endswith(f"-{template}"):
            return str(owner["name"].removesuffix(f"-{template}"))
    return None


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is true and its deletion was not asked for."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def take_event(state: State, event: WatchEvent) -> None:
    """Brings the state, objects by kind and uid, up to date with one event."""
    key = (event.object["kind"], event.object["metadata"]["uid"])
    if event.kind == "DELETED":
        state.pop(key, None)
    else:
        state[key] = event.object


def moment_of(state: State, event: WatchEvent, seconds: float) -> Moment:
    """The moment after the event, for a state that has taken it in."""
    replicas: Counter[str] = Counter()
    ready: Counter[str] = Counter()
    for (kind, _), found in state.items():
        if kind == "Deployment":
            replicas[found["metadata"]["name"]] = int(found["spec"].get("replicas", 1))
        elif (owner := deployment_of(found)) is not None:
            ready[owner] += is_ready(found)
    changed = event.object
    what = f"{event.kind} {changed['kind']} {changed['metadata']['name']}"
    return Moment(event.revision, seconds, what, dict(replicas), dict(ready))
