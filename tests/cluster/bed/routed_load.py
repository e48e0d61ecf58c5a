"""The load generator behind a router: each request goes where the real router objects say at that instant.

It watches the router's objects, the Endpoints and the pods of a namespace and chooses by the rules of
`controller.simulation.routing`, as the router itself would: by weight, by the headers of the request, and with nothing
behind a destination the request is lost.
"""

from __future__ import annotations

import random
import threading

import urllib3

from controller.release.names import Ref
from controller.simulation.routing import Asked, Destination, destinations
from tests.cluster.bed.api import Api, ApiError, Object, Watch
from tests.cluster.bed.load import RECONNECT_SECONDS, Load, Totals, ready_addresses

ROUTES = {
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "VirtualService": "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
    "DestinationRule": "/apis/networking.istio.io/v1/namespaces/{}/destinationrules",
}
_WITH = {"Ingress": (), "HTTPRoute": (), "VirtualService": ("DestinationRule",)}


class RoutedLoad(Load):
    """Requests of one kind through a router. `entrance` is the object that carries them."""

    def __init__(
        self, api: Api, namespace: str, entrance: Ref, *, asked: Asked, rate: float, burst: int = 1, seed: int = 1
    ) -> None:
        super().__init__(api, namespace, entrance.name, rate=rate, burst=burst, seed=seed)
        self._entrance = entrance
        self._asked = asked
        self._objects: dict[Ref, Object] = {}
        self._behind: dict[str, Object] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._paths = {kind: ROUTES[kind].format(namespace) for kind in (entrance.kind, *_WITH[entrance.kind])}
        self._paths |= {
            "Endpoints": f"/api/v1/namespaces/{namespace}/endpoints",
            "Pod": f"/api/v1/namespaces/{namespace}/pods",
        }
        self._watches: list[Watch] = []

    def start(self) -> None:
        """Begins to send once a request of this kind would be answered."""
        for kind in self._paths:
            threading.Thread(target=self._follow_kind, args=(kind,), daemon=True).start()
        super().start()

    def stop(self) -> Totals:
        """Ends the load after the requests in flight and returns the totals."""
        self._stop.set()
        for watch in self._watches:
            watch.close()
        return super().stop()

    def _follow(self) -> None:
        """Nothing of its own: every kind has a thread."""

    def _follow_kind(self, kind: str) -> None:
        path = self._paths[kind]
        while not self._stop.is_set():
            try:
                listed = self._api.read(path)
                self._replace(kind, listed["items"])
                watch = self._api.watch(path, revision=listed["metadata"]["resourceVersion"])
                self._watches.append(watch)
                for event in watch:
                    if event.kind != "BOOKMARK":
                        self._note(kind, event.object, gone=event.kind == "DELETED")
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                self._stop.wait(RECONNECT_SECONDS)

    def _replace(self, kind: str, items: list[Object]) -> None:
        for item in items:
            self._note(kind, item, gone=False)

    def _note(self, kind: str, obj: Object, *, gone: bool) -> None:
        """A new map each time: senders look at one that nobody changes."""
        name = str(obj["metadata"]["name"])
        if kind == "Endpoints":
            self._behind = {**self._behind, name: {} if gone else obj}
        elif kind == "Pod":
            self._labels = {**self._labels, name: dict(obj["metadata"].get("labels") or {})}
        else:
            ref = Ref(kind, name)  # type: ignore[arg-type]
            rest = {each: found for each, found in self._objects.items() if each != ref}
            self._objects = rest if gone else {**rest, ref: obj}
        if not self._found.is_set() and self._chosen(random.Random(0)) is not None:
            self._found.set()

    def _pods(self, to: Destination) -> list[tuple[str, tuple[str, int]]]:
        found = ready_addresses(self._behind.get(to.service, {}))
        return [each for each in found if to.labels.items() <= self._labels.get(each[0], {}).items()]

    def _chosen(self, draw: random.Random) -> tuple[str, tuple[str, int]] | None:
        where = destinations(self._entrance, self._objects, self._asked, lambda to: bool(self._pods(to)))
        (to,) = draw.choices(where, [each.share for each in where])
        pods = self._pods(to)
        return draw.choice(pods) if pods else None
