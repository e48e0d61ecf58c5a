"""Services of the world: which pods their selector reaches, what their Endpoints say, and where requests go.

Selectors take effect a moment after they were written, as endpoints controllers and proxies lag behind the API server;
a pod that stops serving gets nothing more at once. Requests that find no pod are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from controller.release.names import Kind as BesideKind
from controller.release.names import Ref
from controller.release.observation import PodState
from controller.requests.failure import Failure
from controller.simulation.objects import Key, Object, absent
from controller.simulation.routing import KINDS, Asked, Destination, destinations

if TYPE_CHECKING:
    from controller.simulation.answers import View
    from controller.simulation.world import World


def selects(service: Object, pod: PodState) -> bool:
    """Whether a Service's selector chooses this pod."""
    selector: Mapping[str, str] = (service.get("spec") or {}).get("selector") or {}
    return bool(selector) and selector.items() <= pod.labels.items()


def endpoints(world: World, view: View, namespace: str, name: str) -> Object | Failure:
    """The Endpoints object of a Service as its controller had made it by then, a moment behind the pods."""
    behind = world.view_at(world.now - world.conditions.sync_lag)
    then = min(view, behind, key=lambda each: each.version)
    service = then.objects.get(("Service", namespace, name))
    if service is None:
        return absent(("Endpoints", namespace, name))
    chosen = [pod for space, pod in then.pods if space == namespace and not pod.terminating and selects(service, pod)]
    subset = {
        key: found
        for key, ready in (("addresses", True), ("notReadyAddresses", False))
        if (found := [{"targetRef": {"kind": "Pod", "name": pod.name}} for pod in chosen if pod.ready is ready])
    }
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(then.version)},
        "subsets": [subset] if subset else [],
    }


def routes(world: World) -> Iterator[tuple[list[str], float]]:
    """(serving pods, requests a second) for each load on a Service and for each tester of one that exists."""
    objects = world.view_at(world.now - world.conditions.sync_lag).objects
    for (namespace, name), load in world.load.items():
        if (namespace, name) in world.entrances:
            yield from _routed(world, objects, namespace, name, load)
        else:
            yield _serving(world, objects.get(("Service", namespace, name)), namespace), load
    for (namespace, name), load in world.testers.items():
        service = objects.get(("Service", namespace, name))
        if service is not None:
            yield _serving(world, service, namespace), load


def _routed(
    world: World, objects: Mapping[Key, Object], namespace: str, service: str, load: float
) -> Iterator[tuple[list[str], float]]:
    """The load that comes in through a router, shared as its objects say."""
    mine: dict[Ref, Object] = {}
    for (kind, space, called), obj in objects.items():
        if space == namespace and kind in KINDS:
            mine[Ref(cast(BesideKind, kind), called)] = obj

    def pods(to: Destination) -> list[str]:
        found = _serving(world, objects.get(("Service", namespace, to.service)), namespace)
        return [name for name in found if to.labels.items() <= world.pods[name].state.labels.items()]

    asked = Asked(path=f"/{service}")
    for each in destinations(world.entrances[namespace, service], mine, asked, lambda to: bool(pods(to))):
        yield pods(each), load * each.share


def _serving(world: World, service: Object | None, namespace: str) -> list[str]:
    if service is None:
        return []
    return [
        pod.name
        for pod in world.pods.values()
        if pod.serving and pod.namespace == namespace and selects(service, pod.state)
    ]
