"""What a Service sent requests to over time: its real Endpoints, event by event."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import urllib3

from tests.cluster.bed.api import Api, ApiError, Object, Watch
from tests.cluster.bed.waiting import eventually


@dataclass(frozen=True, slots=True)
class Reached:
    """The ready pods of a Service from an instant on; `seconds` counts from the start of the watch."""

    seconds: float
    pods: frozenset[str]

    def of(self, deployment: str) -> int:
        """How many of them belong to a Deployment: `<deployment>-<hash>-<pod>`."""
        return sum(name.rsplit("-", 2)[0] == deployment for name in self.pods)


class Endpoints:
    """Records the Endpoints of one Service from `start` on until `stop`."""

    def __init__(self, api: Api, namespace: str, service: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/endpoints"
        self._service = service
        self._seen: list[Reached] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._watch: Watch | None = None
        self._began = time.monotonic()
        self._fault = ""

    def start(self) -> None:
        """Takes the present Endpoints first, then everything that happens to them."""
        self._began = time.monotonic()
        listed = self._api.read(self._path)
        for item in listed["items"]:
            self._take(item)
        revision = str(listed["metadata"]["resourceVersion"])
        threading.Thread(target=self._follow, args=(revision,), daemon=True).start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stop.set()
        if self._watch is not None:
            self._watch.close()

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def moments(self) -> list[Reached]:
        """Every state so far, in order."""
        if self._fault:
            raise RuntimeError(self._fault)
        with self._lock:
            return list(self._seen)

    @property
    def last(self) -> Reached:
        return self.moments()[-1]

    def lowest(self, since: float = 0.0) -> int:
        """The fewest ready pods of any moment since then, the state that held then included."""
        moments = self.moments()
        held = [one for one in moments if one.seconds <= since][-1:]
        return min(len(one.pods) for one in (*held, *(one for one in moments if one.seconds > since)))

    def full_again(self, replica_set: str, pods: int, since: float) -> float:
        """Seconds from `since` (monotonic) until it reached this many pods of a ReplicaSet, and no other pod.

        Waits for it: pods are ready a moment before the Service lists them.
        """
        after = since - self._began

        def again() -> Reached | None:
            moments = self.moments()
            held = [one for one in moments if one.seconds <= after][-1:]
            for one in (*held, *(one for one in moments if one.seconds > after)):
                if len(one.pods) == pods and all(name.rsplit("-", 1)[0] == replica_set for name in one.pods):
                    return one
            return None

        found = eventually(again, within=10, what=f"{self._service} reaches {pods} pods of {replica_set} again")
        assert found is not None
        return max(0.0, found.seconds - after)

    def _follow(self, revision: str) -> None:
        while not self._stop.is_set():
            try:
                self._watch = self._api.watch(self._path, revision=revision)
                for event in self._watch:
                    revision = str(event.revision)
                    if event.kind != "BOOKMARK":
                        self._take(event.object if event.kind != "DELETED" else _emptied(event.object))
            except ApiError as error:
                self._fault = f"the watch of Endpoints lost events: {error}"
                return
            except (urllib3.exceptions.HTTPError, OSError):
                self._stop.wait(0.1)

    def _take(self, endpoints: Object) -> None:
        if endpoints["metadata"]["name"] != self._service:
            return
        names = frozenset(
            str((address.get("targetRef") or {}).get("name", address["ip"]))
            for subset in endpoints.get("subsets") or []
            for address in subset.get("addresses") or []
        )
        with self._lock:
            self._seen.append(Reached(self.now(), names))


def _emptied(endpoints: Object) -> Object:
    return {**endpoints, "subsets": []}
