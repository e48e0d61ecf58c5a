"""A few objects beside an app with two versions, and the API server's part in a router's writes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState
from controller.release.plan import CreateObject, DeleteObject, ObjectWrite, PatchObject
from controller.release.record import Record
from controller.routers import ROUTERS, Router
from controller.simulation.objects import merged, plain
from policies.schema import ReleasePolicy, ReleasePolicySpec
from tests.controller.builders import APP, NOW, UID, a_slot, a_template

Object = dict[str, Any]
HASHES = {"checkout": "5d9f7c6b8", "checkout-twin": "7b4c9d5f6"}

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: checkout, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.0.0.7
  selector: {app: checkout}
  ports:
  - {name: http, port: 80, protocol: TCP, targetPort: 8080, nodePort: 30080}
"""


def routed(traffic: Mapping[str, Any]) -> ReleasePolicySpec:
    """A twin policy of ten pods behind a router."""
    return ReleasePolicy.model_validate(
        {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "ReleasePolicy",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {
                "target": {"deployment": "checkout"},
                "strategy": {
                    "twin": {"canary": 1, "batches": 4, "maxSurge": 3, "maxUnavailable": 0},
                    "traffic": dict(traffic),
                },
                "gates": [
                    {
                        "name": "errors",
                        "errorRatio": {
                            "errors": 'http_requests_total{code=~"5.."}',
                            "requests": "http_requests_total",
                        },
                    }
                ],
            },
        }
    ).spec


@dataclass
class Store:
    """Objects by kind and name. A write is applied as the API server would, with its precondition."""

    policy: ReleasePolicySpec
    objects: dict[Ref, Object] = field(default_factory=dict)
    incumbents: int = 9
    contenders: int = 1
    version: int = 100
    record: Record = field(default_factory=Record)
    unpinned: int | None = None

    @classmethod
    def of(cls, traffic: Mapping[str, Any], *texts: str) -> Store:
        store = cls(routed(traffic))
        for text in (SERVICE, *texts):
            for obj in yaml.safe_load_all(text):
                store.put(obj)
        store.record = replace(store.record, saved=store.router.saved(store.policy, store.seen))
        return store

    @property
    def router(self) -> Router:
        assert self.policy.strategy.traffic is not None
        return ROUTERS[self.policy.strategy.traffic.kind]

    def put(self, obj: Object) -> None:
        self.version += 1
        made = plain(obj)
        made["metadata"] = {**made["metadata"], "resourceVersion": str(self.version)}
        made["metadata"].setdefault("uid", f"uid-{self.version}")
        made["metadata"].setdefault("namespace", "shop")
        self.objects[Ref(made["kind"], made["metadata"]["name"])] = made

    @property
    def seen(self) -> Observation:
        """Everything read: the pods of both versions, and the endpoints that their labels give each Service."""
        pods = {name: self._pods(name, n) for name, n in zip(HASHES, (self.incumbents, self.contenders), strict=True)}
        everybody = [pod for each in pods.values() for pod in each]
        objects: dict[Ref, Object | None] = {ref: self.objects.get(ref) for ref in self.router.reads(self.policy)}
        for ref in list(objects):
            service = self.objects.get(Ref("Service", ref.name))
            if ref.kind == "Endpoints" and service is not None:
                selector = service["spec"].get("selector") or {}
                behind = [pod for pod in everybody if selector.items() <= pod.labels.items()]
                addresses = [{"ip": "10.1.0.1", "targetRef": {"kind": "Pod", "name": pod.name}} for pod in behind]
                objects[ref] = {"subsets": [{"addresses": addresses}]} if addresses else {}
        live = a_slot("checkout", self.incumbents)
        spare = a_slot("checkout-twin", self.contenders, "app:v2", role="contender")
        return Observation(
            app=APP,
            release="rel",
            uid=UID,
            now=NOW,
            incumbent=live,
            contender=spare,
            incumbents=pods["checkout"],
            contenders=pods["checkout-twin"],
            replica_sets=tuple(
                ReplicaSetState(
                    f"{slot.name}-{HASHES[slot.name]}",
                    f"uid-{slot.name}-rs",
                    slot.name,
                    HASHES[slot.name],
                    slot.digest,
                    slot.replicas,
                    0.0,
                    1,
                    a_template(),
                )
                for slot in (live, spare)
            ),
            objects=objects,
        )

    @staticmethod
    def _pods(slot: str, count: int) -> tuple[PodState, ...]:
        labels = {"app": "checkout", "pod-template-hash": HASHES[slot]}
        replica_set = f"{slot}-{HASHES[slot]}"
        return tuple(
            PodState(f"{replica_set}-{n:05d}", replica_set, ready=True, ready_since=NOW - 600, labels=labels)
            for n in range(count)
        )

    def apply(self, write: ObjectWrite) -> None:
        match write:
            case CreateObject(ref, manifest):
                assert ref not in self.objects
                self.put(dict(manifest))
            case PatchObject(ref, version, patch):
                before = self.objects[ref]
                assert before["metadata"]["resourceVersion"] == version
                self.put(merged(before, plain(patch)))
            case DeleteObject(ref, uid, version):
                assert self.objects[ref]["metadata"]["uid"] == uid
                assert self.objects[ref]["metadata"]["resourceVersion"] == version
                del self.objects[ref]

    def until_done(self, step: Callable[[], ObjectWrite | None]) -> list[str]:
        """Takes writes until there is none; what each was for."""
        done: list[str] = []
        while (write := step()) is not None:
            self.apply(write)
            done.append(write.summary)
            assert len(done) < 20, done
        return done

    def prepare(self) -> list[str]:
        return self.until_done(lambda: self.router.prepare(self.policy, self.record, self.seen))

    def steer(self, weight: int, *, matches: bool = True) -> list[str]:
        return self.until_done(lambda: self.router.steer(self.policy, self.record, self.seen, weight, matches=matches))

    def hand_back(self) -> list[str]:
        return self.until_done(lambda: self.router.hand_back(self.policy, self.record, self.seen))

    def snapshot(self) -> list[Object]:
        """All objects without what an API server counts, as they would be written to a file."""
        found = []
        for _, obj in sorted(self.objects.items(), key=lambda item: (item[0].kind, item[0].name)):
            bare = copy.deepcopy(obj)
            for key in ("resourceVersion", "uid"):
                bare["metadata"].pop(key, None)
            if not bare["metadata"].get("annotations", True):
                del bare["metadata"]["annotations"]  # an API server writes no empty map
            found.append(bare)
        return found
