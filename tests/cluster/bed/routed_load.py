"""The load generator behind a router: each request goes where the real router objects say at that instant.

It watches the router's objects, the Endpoints and the pods of a namespace and chooses by the rules of
`controller.simulation.routing`, as the router itself would: by weight, by the headers of the request, and with nothing
behind a destination the request is lost.

One watch may be told seconds after another what was written before. So a watch of a router's object is only a bell: the
objects are read anew then, all of them as they stood at one moment.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

import urllib3

from controller.release.names import Ref
from controller.simulation.routing import Asked, Destination, destinations
from tests.cluster.bed.api import Api, ApiError, Object, Watch
from tests.cluster.bed.load import RECONNECT_SECONDS, Load, Totals, ready_addresses
from tests.cluster.bed.shaking import never_late

ROUTES = {
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "VirtualService": "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
    "DestinationRule": "/apis/networking.istio.io/v1/namespaces/{}/destinationrules",
}
_WITH = {"Ingress": (), "HTTPRoute": (), "VirtualService": ("DestinationRule",)}
Labels = Mapping[str, Mapping[str, str]]


class RoutedLoad(Load):
    """Requests of one kind through a router. `entrance` is the object that carries them."""

    def __init__(
        self, api: Api, namespace: str, entrance: Ref, *, asked: Asked, rate: float, burst: int = 1, seed: int = 1
    ) -> None:
        super().__init__(api, namespace, entrance.name, rate=rate, burst=burst, seed=seed)
        self._entrance = entrance
        self._asked = asked
        # Senders look at maps that nobody changes: a new one takes the place of the old.
        self._objects: dict[Ref, Object] = {}
        self._behind: dict[str, Object] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._reading, self._changing = threading.Lock(), threading.Lock()
        self._routes = {kind: ROUTES[kind].format(namespace) for kind in (entrance.kind, *_WITH[entrance.kind])}
        self._paths = self._routes | {
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
        never_late()
        path = self._paths[kind]
        while not self._stop.is_set():
            try:
                listed = self._api.read(path)
                self._take_in(kind, listed["items"])
                watch = self._api.watch(path, revision=listed["metadata"]["resourceVersion"])
                self._watches.append(watch)
                for event in watch:
                    if event.kind != "BOOKMARK":
                        self._take_in(kind, [event.object], gone=event.kind == "DELETED")
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                self._stop.wait(RECONNECT_SECONDS)

    def _take_in(self, kind: str, items: list[Object], *, gone: bool = False) -> None:
        if kind in self._routes:
            self._read_routes()
        else:
            for item in items:
                if kind == "Endpoints":
                    self._keep_endpoints(item, gone=gone)
                else:
                    self._keep_labels(str(item["metadata"]["name"]), item)
        if not self._found.is_set() and self._chosen(random.Random(0)) is not None:
            self._found.set()

    def _keep_endpoints(self, obj: Object, *, gone: bool) -> None:
        for pod, _ in ready_addresses(obj):
            path = f"{self._paths['Pod']}/{pod}"
            if pod not in self._labels and self._api.exists(path):
                self._keep_labels(pod, self._api.read(path))
        self._behind = {**self._behind, str(obj["metadata"]["name"]): {} if gone else obj}

    def _keep_labels(self, pod: str, obj: Object) -> None:
        with self._changing:
            self._labels = {**self._labels, pod: dict(obj["metadata"].get("labels") or {})}

    def _read_routes(self) -> None:
        first, *others = self._routes
        with self._reading:
            found = self._read_kind(first)
            while True:
                beside = {ref: obj for kind in others for ref, obj in self._read_kind(kind).items()}
                again = self._read_kind(first) if others else found
                if again == found:
                    break  # it stood like this while the others were read
                found = again
            self._objects = found | beside

    def _read_kind(self, kind: str) -> dict[Ref, Object]:
        items = self._api.read(self._routes[kind])["items"]
        return {Ref(kind, str(each["metadata"]["name"])): each for each in items}  # type: ignore[arg-type]

    def _chosen(self, draw: random.Random) -> tuple[str, tuple[str, int]] | None:
        behind, labels = self._behind, self._labels  # of one moment, whatever is told meanwhile
        where = destinations(self._entrance, self._objects, self._asked, lambda to: bool(_pods(to, behind, labels)))
        (to,) = draw.choices(where, [each.share for each in where])
        pods = _pods(to, behind, labels)
        return draw.choice(pods) if pods else None


def _pods(to: Destination, behind: Mapping[str, Object], labels: Labels) -> list[tuple[str, tuple[str, int]]]:
    found = ready_addresses(behind.get(to.service, {}))
    return [each for each in found if to.labels.items() <= labels.get(each[0], {}).items()]
