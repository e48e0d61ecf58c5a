"""The Releases of a namespace as the API server's watch tells them: every write of every one, in order."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import urllib3

from controller.release.vocabulary import ENDS, Phase
from controller.transitions import MOVES
from tests.cluster.bed.api import Api, ApiError, Object, Watch
from tests.cluster.bed.waiting import eventually

COLLECTION = "/apis/nightferry.dev/v1alpha1/namespaces/{namespace}/releases"
RECONNECT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Sighting:
    """One Release after one write. `seconds` count from the start of the record; `gone` marks its deletion."""

    seconds: float
    revision: int
    name: str
    gone: bool
    spec: Object
    status: Object = field(default_factory=dict)

    @property
    def phase(self) -> str:
        """The phase that people see."""
        return str(self.status.get("phase") or Phase.QUEUED.value)

    @property
    def held(self) -> str:
        """The reason of the hold, or ""."""
        return str(self.status.get("heldReason") or "")

    @property
    def stage(self) -> int:
        """0 in the canary and before, i in batch i."""
        return int((self.status.get("batch") or {}).get("index", 0))

    @property
    def contender(self) -> frozenset[str]:
        """The ReplicaSets of the version that the release brings, as its record knows them."""
        slot = (self.status.get("record") or {}).get("contender") or {}
        return frozenset(map(str, slot.get("replica_sets") or ()))

    @property
    def cause(self) -> str:
        """Why it turned or ended, in one word."""
        return str(self.status.get("cause") or "")

    @property
    def because(self) -> str:
        """Why, in one sentence."""
        return str(self.status.get("because") or "")

    def __str__(self) -> str:
        held = f" held={self.held}" if self.held else ""
        end = " DELETED" if self.gone else ""
        return (
            f"{self.seconds:6.2f} {self.name} {self.phase} stage {self.stage}{held}{end} {self.cause}: {self.because}"
        )


class Releases:
    """Records from `start` on until `stop`. A CRD that is deleted ends nothing: the watch begins anew."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._path = COLLECTION.format(namespace=namespace)
        self._seen: list[Sighting] = []
        self._known: dict[str, tuple[int, Object]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._watch: Watch | None = None
        self.began = 0.0

    def start(self) -> None:
        """Takes the present Releases first, then everything that happens to them."""
        self.began = time.monotonic()
        threading.Thread(target=self._follow, args=(self._list(),), daemon=True).start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stop.set()
        if self._watch is not None:
            self._watch.close()

    # Questions.

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def of(self, name: str) -> list[Sighting]:
        """Everything seen of one Release."""
        with self._lock:
            return [one for one in self._seen if one.name == name]

    def names(self) -> list[str]:
        """The Releases seen, in the order of their first sighting."""
        with self._lock:
            return list(dict.fromkeys(one.name for one in self._seen))

    def last(self, name: str) -> Sighting:
        """The newest sighting of a Release, waiting a moment for its first one."""
        return eventually(lambda: self.of(name), within=10, what=f"release {name} is seen")[-1]

    def phases(self, name: str) -> list[str]:
        """The phases of a Release in order, without repetitions."""
        return _without_repetitions([one.phase for one in self.of(name) if not one.gone])

    def holds(self, name: str) -> list[str]:
        """The reasons for which it stood still, in order, without repetitions."""
        return [reason for reason in _without_repetitions([one.held for one in self.of(name)]) if reason]

    def reached(self, name: str, phase: str) -> bool:
        """Whether it has been seen in a phase, however long that lasted."""
        return any(one.phase == phase for one in self.of(name))

    def first(self, name: str, phase: str) -> Sighting:
        """Its first sighting in a phase. Raises AssertionError if there is none."""
        found = next((one for one in self.of(name) if one.phase == phase), None)
        assert found is not None, f"{name} was never in {phase}: {self.phases(name)}"
        return found

    def highest_stage(self, name: str) -> int:
        """The last batch that it entered."""
        return max(one.stage for one in self.of(name))

    def await_phase(self, name: str, *phases: str, within: float) -> Sighting:
        """Waits for a phase. Fails at once when it ends in another one."""

        def there() -> Sighting | None:
            for one in self.of(name):
                if one.phase in phases:
                    return one
                assert one.phase not in ENDED, f"{name} ended {one.phase}, not {'/'.join(phases)}: {one.because}"
            return None

        found = eventually(there, within=within, what=f"release {name} is {'/'.join(phases)}")
        assert found is not None
        return found

    def await_new(self, known: set[str], *, within: float = 20) -> str:
        """The name of a Release that is none of the known ones, as soon as it is seen."""
        return eventually(lambda: sorted(set(self.names()) - known), within=within, what="another release is seen")[0]

    def await_hold(self, name: str, reason: str, *, within: float, saying: str = "") -> Sighting:
        """Waits until it is held for a reason, in words that contain `saying`. Fails at once when it ends instead.

        From what it is now on every sighting counts: whoever looks late may find that the hold is over already.
        """

        before = max(len(self.of(name)) - 1, 0)

        def there() -> Sighting | None:
            for one in self.of(name)[before:]:
                if one.held == reason and saying in str((one.status.get("held") or {}).get("because")):
                    return one
                assert one.phase not in ENDED, f"{name} ended {one.phase} and was not held: {one.because}"
            return None

        found = eventually(there, within=within, what=f"release {name} is held: {reason} {saying}", every=0.05)
        assert found is not None
        return found

    def await_stage(self, name: str, stage: int, *, within: float) -> Sighting:
        """Waits until it has entered a batch (0: the canary) and goes forward."""

        def there() -> Sighting | None:
            for one in self.of(name):
                if one.phase in {"Canary", "Batch"} and one.stage >= stage:
                    return one
                assert one.phase not in ENDED, f"{name} ended {one.phase} before batch {stage}: {one.because}"
            return None

        found = eventually(there, within=within, what=f"release {name} is in batch {stage}", every=0.05)
        assert found is not None
        return found

    def caught_up(self, name: str) -> list[Sighting]:
        """Everything seen of one Release, once that holds what the server has now."""
        newest = int(self._api.read(f"{self._path}/{name}")["metadata"]["resourceVersion"])

        def told() -> list[Sighting]:
            seen = self.of(name)
            return seen if seen and seen[-1].revision >= newest else []

        return eventually(told, within=30, what=f"the watch tells write {newest} of release {name}")

    def broken_laws(self) -> list[str]:
        """Moves that the table of phases does not have (S4), and ends that were left or reached twice (S5)."""
        broken = []
        for name in self.names():
            for before, after in pairwise(self.phases(name)):
                if Phase(after) not in MOVES[Phase(before)]:
                    broken.append(f"{name} went from {before} to {after}")
        return broken

    # Recording.

    def _list(self) -> str:
        """Takes what is there now -> from where on to watch."""
        listed = self._api.read(self._path)
        for item in listed["items"]:
            self._take(item)
        self._forget({item["metadata"]["uid"] for item in listed["items"]})
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, revision: str) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
                try:
                    # A watch that broke goes on where it was: a list would leave out the writes in between.
                    revision = revision or self._list()
                    self._watch = self._api.watch(self._path, revision=revision)
                    for event in self._watch:
                        revision = str(event.revision)
                        if event.kind != "BOOKMARK":
                            self._take(event.object, gone=event.kind == "DELETED")
                except ApiError:
                    revision = ""  # the kind is gone, or the server has forgotten where that was
            self._stop.wait(RECONNECT_SECONDS)

    def _take(self, item: Object, *, gone: bool = False) -> None:
        metadata: dict[str, Any] = item["metadata"]
        revision = int(metadata["resourceVersion"])
        known = self._known.get(metadata["uid"])
        if known is not None and known[0] >= revision and not gone:
            return
        sighting = Sighting(
            self.elapsed, revision, metadata["name"], gone, item.get("spec") or {}, item.get("status") or {}
        )
        with self._lock:
            self._seen.append(sighting)
            if gone:
                self._known.pop(metadata["uid"], None)
            else:
                self._known[metadata["uid"]] = (revision, item)

    def _forget(self, there: set[str]) -> None:
        for uid in set(self._known) - there:
            revision, item = self._known[uid]
            self._take({**item, "metadata": {**item["metadata"], "resourceVersion": str(revision)}}, gone=True)


ENDED = frozenset(phase.value for phase in ENDS)


def _without_repetitions(words: Sequence[str]) -> list[str]:
    return [word for n, word in enumerate(words) if n == 0 or words[n - 1] != word]
