"""Where the API server keeps each kind of object that the controller touches."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from controller.release import GROUP


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects: `root` is the path of its API group and version, `plural` its name there."""

    root: str
    plural: str

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
BASELINES = Resource(f"/apis/{GROUP}/v1alpha1", "baselines")
DEPLOYMENTS = Resource("/apis/apps/v1", "deployments")
PODS = Resource("/api/v1", "pods")
SERVICES = Resource("/api/v1", "services")
EVENTS = Resource("/api/v1", "events")
# Version 1 is served by every server from 1.20 to the newest, and the target is all that is read.
AUTOSCALERS = Resource("/apis/autoscaling/v1", "horizontalpodautoscalers")
ACCESS_REVIEWS = Resource("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews")
