"""A control plane without a kubelet: objects in any number, and no pod that would need a process.

Its ReplicaSet controller makes the pods of the idle apps, which stay Pending; the controller under test reads a real
API server all the same. It has an audit log of its own, in which only that controller appears.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tests.bench.pods_list import PODS, a_pod
from tests.cluster.bed.api import Api, Object
from tests.cluster.bed.audit import Request, read_requests
from tests.cluster.bed.control_plane import ControlPlane, start_control_plane
from tests.cluster.bed.identities import ADMIN, CONTROLLER, write_kubeconfig
from tests.cluster.bed.manifests import apply_manifests
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.site import app_deployment
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import Controller
from tests.setup.find import Programs

MANIFESTS = (ROOT / "manifests" / "crds", ROOT / "manifests" / "rbac.yaml")
NAMESPACE = "shop"
GATES: list[Object] = [
    {
        "name": "errors",
        "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
    },
    {"name": "latency", "latency": {"histogram": "http_request_duration_seconds_bucket"}},
]


@dataclass(frozen=True, slots=True)
class Plane:
    """A running control plane with the shipped CRDs and RBAC."""

    servers: ControlPlane
    admin: Api
    scratch: Path

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of the controller's own ServiceAccount."""
        path = self.scratch / "controller.kubeconfig"
        if not path.exists():
            write_kubeconfig(path, url=self.servers.url, ca=self.servers.ca, identity=CONTROLLER)
        return path

    def requests(self) -> list[Request]:
        """What the controller asked of the API server so far."""
        return read_requests(self.servers.audit_log, user=CONTROLLER.user)

    def writes(self) -> list[Request]:
        """Those that asked for a change."""
        return [one for one in self.requests() if one.is_write]

    def add_apps(self, count: int, pods: int) -> None:
        """`count` policies, each with a Deployment of `pods` pods that nobody runs."""
        self._create_all(
            "/apis/apps/v1/namespaces/shop/deployments",
            (app_deployment(f"app-{number:03d}", replicas=pods) for number in range(count)),
        )
        self._create_all(
            "/apis/nightferry.dev/v1alpha1/namespaces/shop/releasepolicies",
            (a_policy(f"app-{number:03d}") for number in range(count)),
        )
        eventually(
            lambda: len(self.admin.read("/api/v1/namespaces/shop/pods")["items"]) >= count * pods,
            within=90,
            what=f"{count * pods} pods exist",
            every=0.5,
        )

    def add_pods(self) -> None:
        """The 5,000 pods of the list, as large as servers really send them."""
        self._create_all("/api/v1/namespaces/shop/pods", (_accepted(a_pod(number)) for number in range(PODS)))

    def _create_all(self, path: str, objects: Iterable[Object]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: self.admin.create(path, one), objects))

    @contextmanager
    def controller(self, folder: str, *, port: int) -> Iterator[tuple[Controller, float]]:
        """A controller for all namespaces, and the seconds from its start until /readyz said yes."""
        process = Controller(
            self.scratch / folder,
            kubeconfig=self.kubeconfig,
            prometheus="http://127.0.0.1:9",
            namespace=None,
            more=("--listen", f"127.0.0.1:{port}"),
        )
        began = time.perf_counter()
        process.start(wait=False)
        try:
            yield process, _ready_after(began, port, process)
        finally:
            process.stop()


@contextmanager
def running_plane(folder: Path, programs: Programs) -> Iterator[Plane]:
    """A new control plane, stopped at the end of the block."""
    servers = start_control_plane(folder / "control-plane", programs)
    try:
        admin = Api(servers.url, ca=str(servers.ca), token=ADMIN.token)
        apply_manifests(admin, MANIFESTS, namespace="default")
        admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
        eventually(lambda: admin.exists(accounts), within=30, what="the namespace works")
        yield Plane(servers, admin, folder)
    finally:
        servers.stop()


def a_policy(app: str) -> Object:
    """A policy as people write it: a canary, four batches, two gates."""
    return {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": app},
        "spec": {"target": {"deployment": app}, "strategy": {"twin": {"canary": 1, "batches": 4}}, "gates": GATES},
    }


def _accepted(pod: Object) -> Object:
    """What a server takes of a pod that it did not make itself: no owner, no node, no numbers of its own."""
    kept = {key: pod["metadata"][key] for key in ("name", "namespace", "labels")}
    # What other writers' managedFields would fill is filled by an annotation of the same size.
    kept["annotations"] = {"bench.test/filling": str(pod["metadata"]["managedFields"])}
    spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
    return {"metadata": kept, "spec": spec}


def _ready_after(began: float, port: int, process: Controller) -> float:
    """Seconds until the page said 200, asked every few milliseconds."""

    def ready() -> bool:
        if not process.running:
            raise RuntimeError(f"the controller ended:\n{process.tail(20)}")
        return _status(f"http://127.0.0.1:{port}/readyz") == 200

    eventually(ready, within=60, what="the controller is ready", every=0.005)
    return time.perf_counter() - began


def _status(url: str) -> int:
    try:
        return urllib3.request("GET", url, timeout=2.0, retries=False).status
    except urllib3.exceptions.HTTPError:
        return 0
