"""The watch history of a namespace: what happened to its Deployments, ReplicaSets and pods, as the API server tells it.

Every event is kept. etcd numbers all writes of all kinds in one order, the resourceVersion, so the watches are
merged by it, and the history is a list of moments: after each single write, how many replicas were ordered and how
many pods were ready. A pod counts as ready when its Ready condition is true and nobody has asked for its deletion.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3

from tests.cluster.bed.api import Api, ApiError, Object, Watch, WatchEvent
from tests.cluster.bed.moments import (
    Moment,
    State,
    Violation,
    deployment_of,
    moment_of,
    take_event,
    unsafe_lowerings,
    violations,
)
from tests.cluster.bed.writers import writer

CATCH_UP_WITHIN = 90.0


@dataclass(frozen=True, slots=True)
class _Seen:
    event: WatchEvent
    seconds: float


class History:
    """Records from `start` on until `stop`; all questions may be asked at any time in between and after.

    Use it as a context manager. A watch that lost events makes every later question raise RuntimeError.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._paths = {
            "Deployment": f"/apis/apps/v1/namespaces/{namespace}/deployments",
            "ReplicaSet": f"/apis/apps/v1/namespaces/{namespace}/replicasets",
            "Pod": f"/api/v1/namespaces/{namespace}/pods",
        }
        self._seen: list[_Seen] = []
        self._deployments: dict[str, Object] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._fault: str | None = None
        self._watches: dict[str, Watch] = {}
        self._began = 0.0

    def __enter__(self) -> History:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Takes the present objects as the first moment and records every write from then on."""
        self._began = time.monotonic()
        for kind, path in self._paths.items():
            listed = self._api.read(path)
            for item in listed["items"]:
                self._record(WatchEvent("ADDED", item), kind)
            revision = listed["metadata"]["resourceVersion"]
            threading.Thread(target=self._follow, args=(kind, revision), daemon=True).start()

    def stop(self) -> None:
        """Waits until everything written so far is recorded, and ends the watches."""
        try:
            self.catch_up()
        finally:
            self._stop.set()
            for watch in self._watches.values():
                watch.close()

    def catch_up(self) -> None:
        """Returns once everything that a fresh list shows is recorded. Raises RuntimeError when it never is.

        Objects may go on changing meanwhile: the list is asked for once, and what is recorded may be newer.
        """
        listed: dict[str, tuple[int, dict[str, int]]] = {}
        for kind, path in self._paths.items():
            found = self._api.read(path)
            revisions = {one["metadata"]["uid"]: int(one["metadata"]["resourceVersion"]) for one in found["items"]}
            listed[kind] = int(found["metadata"]["resourceVersion"]), revisions
        deadline = time.monotonic() + CATCH_UP_WITHIN
        while not self._stop.is_set():
            late = time.monotonic() > deadline
            if not self._is_behind(listed):
                return
            if late:
                raise RuntimeError("the watch history did not catch up with the API server")
            time.sleep(0.05)

    # Answers.

    def events(self, kind: str, name: str | None = None) -> list[WatchEvent]:
        """The recorded events of a kind ("Deployment", "ReplicaSet", "Pod"), of one object when it is named."""
        return [
            one.event
            for one in self._ordered()
            if one.event.object["kind"] == kind and name in {None, one.event.object["metadata"]["name"]}
        ]

    def deployment(self, name: str) -> Object | None:
        """A Deployment as the watch has told it last; None where there is none. Costs no request."""
        self._raise_fault()
        return self._deployments.get(name)

    def timed_events(self, *kinds: str) -> list[tuple[float, WatchEvent]]:
        """The recorded events of some kinds with the seconds since the start, 0 for what was there already."""
        return [(one.seconds, one.event) for one in self._ordered() if one.event.object["kind"] in kinds]

    def moments(self) -> list[Moment]:
        """The state after each write, in the order of the writes; the first moment is the state at the start."""
        state: State = {}
        found: list[Moment] = []
        for seconds, event in self.timed_events("Deployment", "Pod"):
            take_event(state, event)
            if seconds == 0.0:
                found.clear()
            found.append(moment_of(state, event, seconds))
        return found

    def lowest_ready(self) -> Moment:
        """The first moment with the fewest ready pods."""
        return min(self.moments(), key=lambda moment: moment.total_ready)

    def highest_replicas(self) -> Moment:
        """The first moment with the most replicas ordered."""
        return max(self.moments(), key=lambda moment: moment.total_replicas)

    def violations(self, *, desired: int, max_unavailable: int, max_surge: int) -> list[Violation]:
        """Every moment with fewer than D - U pods ready (law S1, weak) or more than D + S replicas ordered (S2)."""
        return violations(self.moments(), desired=desired, max_unavailable=max_unavailable, max_surge=max_surge)

    def unsafe_lowerings(self, *, desired: int, max_unavailable: int) -> list[Violation]:
        """Writes that lowered a Deployment below what is safe at that very write (law S1, strong)."""
        return unsafe_lowerings(self.moments(), desired=desired, max_unavailable=max_unavailable)

    def replicas_of(self, deployment: str) -> list[int]:
        """The replicas ordered of one Deployment over time, without repetitions."""
        path: list[int] = []
        for event in self.events("Deployment", deployment):
            ordered = int(event.object["spec"].get("replicas", 1))
            if not path or path[-1] != ordered:
                path.append(ordered)
        return path

    def restarts(self) -> dict[str, int]:
        """Container restarts seen since the start, by pod; pods without any are left out."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for event in self.events("Pod"):
            name = event.object["metadata"]["name"]
            count = sum(one["restartCount"] for one in event.object.get("status", {}).get("containerStatuses", []))
            first.setdefault(name, count)
            last[name] = max(count, last.get(name, 0))
        return {name: last[name] - first[name] for name in last if last[name] > first[name]}

    def deleted_pods(self, deployment: str) -> list[str]:
        """Names of the Deployment's pods that anyone asked to delete, in the order of the requests."""
        found: dict[str, None] = {}
        for event in self.events("Pod"):
            asked = event.kind == "DELETED" or "deletionTimestamp" in event.object["metadata"]
            if asked and deployment_of(event.object) == deployment:
                found[event.object["metadata"]["name"]] = None
        return list(found)

    def created_pods(self, deployment: str) -> list[str]:
        """Names of the Deployment's pods that were created after the start."""
        return [
            str(event.object["metadata"]["name"])
            for seconds, event in self.timed_events("Pod")
            if event.kind == "ADDED" and seconds > 0 and deployment_of(event.object) == deployment
        ]

    def writes_by_manager(self) -> Counter[str]:
        """Writes to Deployments (status included) by field manager; see `writers`."""
        writes: Counter[str] = Counter()
        known: dict[str, Object] = {}
        for event in self.events("Deployment"):
            uid = event.object["metadata"]["uid"]
            before = known.get(uid)
            known[uid] = event.object
            if before is not None and event.kind == "MODIFIED":
                writes[writer(before, event.object)] += 1
        return writes

    # Recording.

    def _record(self, event: WatchEvent, kind: str, seconds: float = 0.0) -> None:
        # A list leaves out the kind of its items.
        event.object.setdefault("kind", kind)
        with self._lock:
            self._seen.append(_Seen(event, seconds))
            if kind == "Deployment":
                name = event.object["metadata"]["name"]
                if event.kind == "DELETED":
                    self._deployments.pop(name, None)
                else:
                    self._deployments[name] = event.object

    def _follow(self, kind: str, revision: str) -> None:
        while not self._stop.is_set():
            try:
                watch = self._watches[kind] = self._api.watch(self._paths[kind], revision=revision)
                for event in watch:
                    revision = str(event.revision)
                    if event.kind != "BOOKMARK":
                        self._record(event, kind, max(time.monotonic() - self._began, 1e-6))
            except ApiError as error:
                self._fault = f"the watch of {kind} lost events: {error}"
                return
            except (urllib3.exceptions.HTTPError, OSError):
                self._stop.wait(0.1)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise RuntimeError(self._fault)

    def _ordered(self) -> list[_Seen]:
        self._raise_fault()
        with self._lock:
            seen = list(self._seen)
        # What was there at the start comes first, whatever its number.
        return sorted(seen, key=lambda one: (one.seconds > 0, one.event.revision))

    def _is_behind(self, listed: Mapping[str, tuple[int, Mapping[str, int]]]) -> bool:
        """Whether a write is not recorded that came before a list: by kind its revision, and the objects' by uid."""
        last: dict[str, dict[str, WatchEvent]] = {kind: {} for kind in listed}
        for one in self._ordered():
            last[one.event.object["kind"]][one.event.object["metadata"]["uid"]] = one.event
        for kind, (revision, revisions) in listed.items():
            known = last[kind]
            if any(uid not in known or known[uid].revision < least for uid, least in revisions.items()):
                return True
            there = (event for uid, event in known.items() if event.kind != "DELETED" and uid not in revisions)
            if any(event.revision <= revision for event in there):
                return True
        return False
