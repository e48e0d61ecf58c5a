"""A namespace of its own for one story, with an app in it: a Deployment of real pods behind a Service."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from tests.cluster.bed.addresses import local_address
from tests.cluster.bed.api import MERGE, STRATEGIC, Api, ApiError, Object
from tests.cluster.bed.history import History
from tests.cluster.bed.load import Load
from tests.cluster.bed.manifests import apply_object
from tests.cluster.bed.moments import deployment_of, is_ready
from tests.cluster.bed.nodes import DEDICATED, create_node
from tests.cluster.bed.waiting import eventually

IMAGE = "registry.test/checkout:v1"
PORT = 8080
READY_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace of the bed. All methods act as the cluster's administrator."""

    api: Api
    name: str

    def path(self, kind: str, name: str = "") -> str:
        """The API path of a collection of this namespace ("deployments", "pods", ...) or of one object in it."""
        group = "/apis/apps/v1" if kind in {"deployments", "replicasets"} else "/api/v1"
        return f"{group}/namespaces/{self.name}/{kind}" + (f"/{name}" if name else "")

    def deploy(
        self,
        app: str = "checkout",
        *,
        image: str = IMAGE,
        replicas: int = 4,
        env: Mapping[str, str] | None = None,
        node_selector: Mapping[str, str] | None = None,
        wait: bool = True,
        **spec: Any,
    ) -> Object:
        """Creates the Deployment and the Service `app`, and waits until all pods are ready and in the Endpoints.

        The pods carry the label app=<app>, the container is called `app`. `spec` overrides fields of the Deployment's
        spec.
        """
        deployment = app_deployment(app, image=image, replicas=replicas, env=env, node_selector=node_selector)
        deployment["spec"] |= spec
        stored = self.api.create(self.path("deployments"), deployment)
        service = {
            "metadata": {"name": app},
            "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": PORT}]},
        }
        self.api.create(self.path("services"), service)
        if wait:
            self.await_ready(app, replicas)
        return stored

    def deployment(self, name: str) -> Object:
        """The Deployment as stored."""
        return self.api.read(self.path("deployments", name))

    def apply(self, wanted: Object) -> Object:
        """Creates or replaces an object of any kind in this namespace, custom kinds included."""
        return apply_object(self.api, wanted, namespace=self.name)

    def scale(self, name: str, replicas: int) -> None:
        """Orders replicas of a Deployment."""
        self.api.patch(self.path("deployments", name), {"spec": {"replicas": replicas}}, content_type=MERGE)

    def set_image(self, name: str, image: str, *, container: str = "app") -> None:
        """Gives the Deployment another image, which the native controller rolls out."""
        template = {"spec": {"containers": [{"name": container, "image": image}]}}
        patch = {"spec": {"template": template}}
        self.api.patch(self.path("deployments", name), patch, content_type=STRATEGIC)

    def pods(self, deployment: str | None = None) -> list[Object]:
        """The pods of the namespace, of one Deployment when it is named, oldest name first."""
        items = self.api.read(self.path("pods"))["items"]
        chosen = [pod for pod in items if deployment in {None, deployment_of(pod)}]
        return sorted(chosen, key=lambda pod: str(pod["metadata"]["name"]))

    def ready_pods(self, deployment: str | None = None) -> list[str]:
        """Names of the ready pods."""
        return [str(pod["metadata"]["name"]) for pod in self.pods(deployment) if is_ready(pod)]

    def endpoints(self, service: str = "checkout") -> list[str]:
        """The ready addresses of a Service, sorted; a Service without Endpoints object has none."""
        try:
            subsets = self.api.read(self.path("endpoints", service)).get("subsets") or []
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return sorted(one["ip"] for subset in subsets for one in subset.get("addresses") or [])

    def await_ready(self, app: str, replicas: int, *, within: float = READY_WITHIN) -> None:
        """Waits until exactly `replicas` pods of the Deployment are ready and the Service `app` lists them.

        The controllers have counted them too: what they do next they do knowing which pods are ready.
        """

        def is_there() -> bool:
            ready = [pod["status"]["podIP"] for pod in self.pods(app) if is_ready(pod)]
            found = self.deployment(app)
            status = found.get("status") or {}
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            counted = seen and status.get("readyReplicas", 0) == replicas
            return counted and len(ready) == replicas and set(ready) <= set(self.endpoints(app))

        eventually(is_there, within=within, what=f"{self.name}/{app} has {replicas} pods ready")

    def load(self, rate: float, *, service: str = "checkout", burst: int = 1, seed: int = 1) -> Load:
        """A load generator for a Service of this namespace, to be started (or used in a `with`)."""
        return Load(self.api, self.name, service, rate=rate, burst=burst, seed=seed)

    def history(self) -> History:
        """A watch history of this namespace, to be started (or used in a `with`)."""
        return History(self.api, self.name)

    def order_behaviour(self, pod: str, words: str) -> None:
        """Changes the behaviour of one running pod ("errors5,slow2"; "" for a healthy one) until it restarts."""
        found = self.api.read(self.path("pods", pod))
        address = local_address(found["status"]["podIP"])
        answer = urllib3.request(
            "POST", f"http://{address}:{PORT}/-/behaviour", body=words, timeout=30.0, retries=False
        )
        if answer.status != 200:
            raise RuntimeError(f"{pod} did not take the behaviour {words!r}: {answer.status}")

    def kill_container(self, pod: str) -> None:
        """Kills the pod's process, as the kernel would; the kubelet restarts it."""
        statuses = self.api.read(self.path("pods", pod))["status"]["containerStatuses"]
        os.kill(int(statuses[0]["containerID"].removeprefix("process://")), signal.SIGKILL)

    def create_nodes(self, count: int) -> tuple[list[str], dict[str, str]]:
        """Nodes that only this story uses: their names, and the node selector that its pods need."""
        selector = {DEDICATED: self.name}
        names = [f"{self.name}-node-{number}" for number in range(1, count + 1)]
        for name in names:
            create_node(self.api, name, selector)
        return names, selector

    def cordon(self, node: str, *, unschedulable: bool = True) -> None:
        """Closes a node for new pods, or opens it again."""
        self.api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": unschedulable}})

    def drain(self, node: str) -> list[str]:
        """Cordons a node and deletes this namespace's pods on it; returns their names."""
        self.cordon(node)
        names = [str(pod["metadata"]["name"]) for pod in self.pods() if pod["spec"].get("nodeName") == node]
        for name in names:
            self.api.delete(self.path("pods", name))
        return names

    def delete(self) -> None:
        """Orders the deletion of the namespace and ends its pods at once; does not wait for the rest."""
        for deployment in self.api.read(self.path("deployments"))["items"]:
            self.api.delete(self.path("deployments", deployment["metadata"]["name"]), missing_ok=True)
        self.api.delete(f"/api/v1/namespaces/{self.name}", missing_ok=True)
        for pod in self.pods():
            self.api.delete(self.path("pods", pod["metadata"]["name"]), grace=0, missing_ok=True)


def app_deployment(
    app: str,
    *,
    image: str = IMAGE,
    replicas: int = 4,
    env: Mapping[str, str] | None = None,
    node_selector: Mapping[str, str] | None = None,
) -> Object:
    """A Deployment as people write it: one container `app` with a port and a readiness probe."""
    container = {
        "name": "app",
        "image": image,
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1, "failureThreshold": 2},
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()],
    }
    labels = {"app": app}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "nodeSelector": dict(node_selector or {})},
            },
        },
    }
