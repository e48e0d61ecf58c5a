"""The objects that a simulated app begins with: its Deployment, its Service, its policy, and releases of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from controller.release.names import GROUP
from controller.simulation import autoscaling
from controller.simulation.objects import Kind, Object

REGISTRY = "registry.example"

DEFAULT_SPEC: Mapping[str, Any] = {
    "strategy": {"twin": {"canary": 1, "batches": 4}},
    "gates": [
        {
            "name": "errors",
            "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
        },
        {"name": "latency", "latency": {"histogram": "http_request_duration_seconds_bucket"}},
    ],
}


def image(app: str, version: str) -> str:
    return f"{REGISTRY}/{app}:{version}"


def deployment(
    app: str,
    version: str,
    replicas: int,
    *,
    min_ready: int = 0,
    container: str = "app",
    config: Sequence[str] = (),
) -> Object:
    """A Deployment as its owner applied it; its container reads the ConfigMaps `config`."""
    reads = {"envFrom": [{"configMapRef": {"name": name}} for name in config]} if config else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "labels": {"app": app}},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": min_ready,
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"containers": [{"name": container, "image": image(app, version), **reads}]},
            },
        },
    }


def config_map(name: str) -> Object:
    """Settings of an app."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"LEVEL": "info"}}


def service(app: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app},
        "spec": {"selector": {"app": app}, "ports": [{"port": 80}]},
    }


def autoscaler(app: str, target: str, least: int = 1, most: int = 20, **spec: Any) -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": app},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "minReplicas": least,
            "maxReplicas": most,
            **spec,
        },
    }


def policy(app: str, **changes: Any) -> Object:
    """A policy with both kinds of gates; `changes` replace fields of its spec."""
    spec = {"target": {"deployment": app}, **copy.deepcopy(dict(DEFAULT_SPEC)), **changes}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "ReleasePolicy", "metadata": {"name": app}, "spec": spec}


def release(app: str, name: str, version: str, **spec: Any) -> Object:
    """A release of a version, or of what `spec` says instead (rollbackOf, restoreOf)."""
    wish: dict[str, Any] = {"images": {"app": image(app, version)}} if version else {}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Release",
        "metadata": {"name": name},
        "spec": {"policy": app, "requestedBy": "somebody", **wish, **spec},
    }


def completed(kind: Kind, obj: Object) -> Object:
    """The defaults that the API server itself fills in; only those that a pod template's digest would see."""
    if kind == "HorizontalPodAutoscaler":
        return autoscaling.completed(obj)
    if kind != "Deployment":
        return obj
    spec = obj["spec"]
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = [{"imagePullPolicy": "IfNotPresent", "resources": {}, **each} for each in pod.get("containers") or ()]
    filled = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        **pod,
        "containers": containers,
    }
    template = {**spec["template"], "spec": filled}
    return {
        **obj,
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
            "template": template,
        },
    }
