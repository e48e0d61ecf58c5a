"""Where the API server keeps each kind of object that the controller touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from controller.release.names import GROUP
from controller.release.names import Kind as ObjectKind


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects: `root` is the path of its API group and version, `plural` its name there."""

    root: str
    plural: str

    @property
    def api_version(self) -> str:
        """As objects of this kind write it, such as "apps/v1"."""
        return self.root.removeprefix("/apis/").removeprefix("/api/")

    def collection(self, namespace: str | None = None) -> str:
        """The path of all objects of a namespace, or of the cluster."""
        if namespace is None:
            return f"{self.root}/{self.plural}"
        return f"{self.root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def item(self, namespace: str, name: str) -> str:
        """The path of one object."""
        return f"{self.collection(namespace)}/{quote(name, safe='')}"


POLICIES = Resource(f"/apis/{GROUP}/v1alpha1", "releasepolicies")
RELEASES = Resource(f"/apis/{GROUP}/v1alpha1", "releases")
TRAINS = Resource(f"/apis/{GROUP}/v1alpha1", "releasetrains")
BASELINES = Resource(f"/apis/{GROUP}/v1alpha1", "baselines")
DEPLOYMENTS = Resource("/apis/apps/v1", "deployments")
PODS = Resource("/api/v1", "pods")
SERVICES = Resource("/api/v1", "services")
EVENTS = Resource("/api/v1", "events")
REPLICA_SETS = Resource("/apis/apps/v1", "replicasets")
ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews")

# Every kind beside the Deployments by its versions, the one we would rather speak first; the server says which it has.
OBJECTS: Mapping[ObjectKind, tuple[Resource, ...]] = {
    "Service": (SERVICES,),
    "Endpoints": (Resource("/api/v1", "endpoints"),),
    "ConfigMap": (Resource("/api/v1", "configmaps"),),
    "Job": (Resource("/apis/batch/v1", "jobs"),),
    "Ingress": (Resource("/apis/networking.k8s.io/v1", "ingresses"),),
    "HTTPRoute": (Resource("/apis/gateway.networking.k8s.io/v1", "httproutes"),),
    "VirtualService": (
        Resource("/apis/networking.istio.io/v1", "virtualservices"),
        Resource("/apis/networking.istio.io/v1beta1", "virtualservices"),
    ),
    "DestinationRule": (
        Resource("/apis/networking.istio.io/v1", "destinationrules"),
        Resource("/apis/networking.istio.io/v1beta1", "destinationrules"),
    ),
    # Version 1 has no field that suspends one; it is read so that a release can say so.
    "HorizontalPodAutoscaler": (
        Resource("/apis/autoscaling/v2", "horizontalpodautoscalers"),
        Resource("/apis/autoscaling/v2beta2", "horizontalpodautoscalers"),
        Resource("/apis/autoscaling/v1", "horizontalpodautoscalers"),
    ),
}
