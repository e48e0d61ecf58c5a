"""One pod as the kubelet runs it: its containers, its conditions, its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.bed.addresses import local_address
from tests.cluster.bed.api import Object
from tests.cluster.bed.container import Container, timestamp


@dataclass(slots=True)
class Pod:
    """A pod bound to a node. It belongs to the kubelet's main thread."""

    namespace: str
    name: str
    uid: str
    public: str
    containers: list[Container]
    started: float
    kill_at: float | None = None
    removed: bool = False
    dirty: bool = True
    writing: bool = False
    retry_at: float = 0.0
    since: dict[str, tuple[bool, float]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The pod's path at the API server."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def is_ready(self) -> bool:
        """Whether every container is ready."""
        return all(one.ready and one.child is not None for one in self.containers)

    @property
    def is_ending(self) -> bool:
        """Whether the pod was told to end."""
        return self.kill_at is not None

    @property
    def has_ended(self) -> bool:
        """Whether no process of the pod is left."""
        return all(one.has_ended for one in self.containers)

    def begin_end(self, deadline: float) -> None:
        """Asks every container to end by `deadline` (monotonic seconds); a second call can only shorten it."""
        if self.kill_at is None:
            for container in self.containers:
                container.stop()
        self.kill_at = deadline if self.kill_at is None else min(deadline, self.kill_at)

    def step(self, now: float) -> None:
        """Lets every container notice and do what is due."""
        changed = [container.step(now) for container in self.containers]
        if any(changed):
            self.dirty = True
        if self.kill_at is not None and now >= self.kill_at:
            for container in self.containers:
                container.kill()

    def status(self) -> Object:
        """The pod's status as of now."""
        now = time.time()
        ready = self.is_ready
        conditions = [
            self._condition("Initialized", True, now),
            self._condition("Ready", ready, now),
            self._condition("ContainersReady", ready, now),
            self._condition("PodScheduled", True, now),
        ]
        return {
            "phase": self._phase(),
            "conditions": conditions,
            "containerStatuses": [one.status() for one in self.containers],
            "hostIP": "127.0.0.1",
            "podIP": self.public,
            "podIPs": [{"ip": self.public}],
            "startTime": timestamp(self.started),
        }

    def _phase(self) -> str:
        if all(one.completed for one in self.containers):
            return "Failed" if any(one.last_end["exitCode"] for one in self.containers) else "Succeeded"
        return "Running" if any(one.child or one.last_end for one in self.containers) else "Pending"

    def targets(self) -> list[Object]:
        """The pod's scrape targets, labelled as discovery in a cluster labels them."""
        return [
            {
                "targets": [f"{local_address(self.public)}:{one.port}"],
                "labels": {
                    "namespace": self.namespace,
                    "pod": self.name,
                    "container": one.name,
                    "instance": f"{self.public}:{one.port}",
                },
            }
            for one in self.containers
            if one.port
        ]

    def _condition(self, kind: str, holds: bool, now: float) -> Object:
        known = self.since.get(kind)
        if known is None or known[0] != holds:
            self.since[kind] = (holds, now)
        condition: dict[str, Any] = {
            "type": kind,
            "status": "True" if holds else "False",
            "lastTransitionTime": timestamp(self.since[kind][1]),
        }
        if not holds:
            names = [one.name for one in self.containers if not one.ready]
            condition |= {
                "reason": "ContainersNotReady",
                "message": f"containers with unready status: [{' '.join(names)}]",
            }
        return condition


def make_pod(found: Object, *, public: str, ordinal: int, logs: Path) -> Pod:
    """A pod object of the API server, ready to be run at the given address."""
    meta = found["metadata"]
    containers = [
        Container(
            spec=spec,
            namespace=meta["namespace"],
            pod=meta["name"],
            public=public,
            ordinal=ordinal,
            log=logs / f"{meta['namespace']}.{meta['name']}.{spec['name']}.log",
            restart=found["spec"].get("restartPolicy", "Always"),
            version=meta.get("labels", {}).get("pod-template-hash", ""),
        )
        for spec in found["spec"]["containers"]
    ]
    return Pod(meta["namespace"], meta["name"], meta["uid"], public, containers, started=time.time())
