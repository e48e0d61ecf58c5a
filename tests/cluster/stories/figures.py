"""What a story has shown in figures, from the API server's watches and its audit log; and the bounds that it keeps.

One row for each story that asked for a release. `told` measures and judges at the end of a story, whatever the story
itself asserts; `tests/conftest.py` prints all rows at the end of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.bed.api import Object, WatchEvent
from tests.cluster.bed.moments import is_ready

if TYPE_CHECKING:
    from tests.cluster.stories.releases import Sighting
    from tests.cluster.stories.story import Story

PROPERTY = "figures of a story"
OURS = frozenset({"releases", "releasepolicies", "baselines", "events", "leases"})


@dataclass(frozen=True, slots=True)
class Figures:
    """lowest, most: ready pods and pods that nobody asked to go, with their bounds D - U and D + S.

    restarted: pods of the promoted version that ended, and containers that began anew, on the way to a success.
    writes: successful writes of the controller to anything but its own records. back: seconds from `abort` to as many
    ready incumbents as are desired, behind the Service where a story watches it.
    """

    strategy: str
    lowest: int
    floor: int
    most: int
    ceiling: int
    restarted: int | None
    writes: int
    stages: int
    back: float | None

    def broken(self, *, may_restart: int = 0) -> list[str]:
        """The bounds that were not kept."""
        found = []
        if self.lowest < self.floor:
            found.append(f"{self.lowest} pods ready, fewer than D - U = {self.floor}")
        if self.most > self.ceiling:
            found.append(f"{self.most} pods at once, more than D + S = {self.ceiling}")
        if (self.restarted or 0) > may_restart:
            found.append(f"{self.restarted} pods restarted by a promotion")
        return found


@dataclass(frozen=True, slots=True)
class Instant:
    """The app's pods after one event: ready ones by ReplicaSet, and all that nobody asked to go.

    A ReplicaSet that has more pods than it is to have was asked to let the rest go, whichever of them that will be:
    another one may grow in that moment, and Kubernetes promises D + S of what is asked for.
    """

    seconds: float
    ready: Counter[str]
    staying: int

    def of(self, replica_set: str) -> int:
        return self.ready[replica_set]

    @property
    def serving(self) -> str:
        """The ReplicaSet with the most ready pods; "" without any."""
        return max(self.ready, key=self.of, default="")


def measure(story: Story) -> Figures | None:
    """The figures of a story; None for one without a release, or whose pods stayed what they were."""
    names = story.releases.names()
    events = story.history.timed_events("Pod")
    instants = list(_instants(story.history.timed_events("ReplicaSet", "Pod")))
    if not names or not instants:
        return None
    reached = story.reached
    return Figures(
        strategy=story.strategy,
        lowest=reached.lowest() if reached is not None else min(sum(one.ready.values()) for one in instants),
        floor=story.floor,
        most=max(one.staying for one in instants),
        ceiling=story.ceiling,
        restarted=_restarted([story.releases.of(name) for name in names], [event for _, event in events]),
        writes=len(_writes(story)),
        stages=sum(_stages(story.releases.of(name)) for name in names),
        back=_back(story, names, instants),
    )


def _replica_set(pod: Object) -> str:
    """The ReplicaSet of a pod of the app; "" for any other pod, such as one of a Job."""
    owners = (one for one in pod["metadata"].get("ownerReferences", []) if one["kind"] == "ReplicaSet")
    return str(next((one["name"] for one in owners), ""))


def _instants(events: Sequence[tuple[float, WatchEvent]]) -> Iterator[Instant]:
    """The state at the start, then the state after each event."""
    there: dict[str, Object] = {}
    wanted: dict[str, int] = {}
    started = False
    for seconds, event in events:
        if seconds > 0 and there and not started:
            yield _instant(0.0, there, wanted)
        started = started or (seconds > 0 and bool(there))
        uid = event.object["metadata"]["uid"]
        if event.object["kind"] == "ReplicaSet":
            wanted[event.object["metadata"]["name"]] = event.object["spec"]["replicas"]
        elif event.kind == "DELETED":
            there.pop(uid, None)
        elif _replica_set(event.object):
            there[uid] = event.object
        if started:
            yield _instant(seconds, there, wanted)


def _instant(seconds: float, there: dict[str, Object], wanted: dict[str, int]) -> Instant:
    kept = [pod for pod in there.values() if "deletionTimestamp" not in pod["metadata"]]
    staying = sum(min(many, wanted.get(name, many)) for name, many in Counter(map(_replica_set, kept)).items())
    return Instant(seconds, Counter(_replica_set(pod) for pod in kept if is_ready(pod)), staying)


def _at(instants: Sequence[Instant], seconds: float) -> Instant:
    return next((one for one in reversed(instants) if one.seconds <= seconds), instants[0])


def _restarted(releases: Sequence[Sequence[Sighting]], events: Sequence[WatchEvent]) -> int | None:
    """Of each release that succeeded: pods of its own version that ended, and containers that began anew, until then.

    Writes are told apart by their numbers: the watches of pods and of releases may be late by different times.
    """
    found: int | None = None
    for seen in releases:
        end = next((one for one in seen if one.phase == "Succeeded"), None)
        if end is None:
            continue
        gone, containers, before = set(), 0, dict[str, int]()
        for event in events:
            pod = event.object
            if _replica_set(pod) not in end.contender or event.revision > end.revision:
                continue
            uid = pod["metadata"]["uid"]
            count = sum(one["restartCount"] for one in pod.get("status", {}).get("containerStatuses", []))
            if event.revision >= seen[0].revision:
                containers += max(0, count - before.get(uid, 0))
                if "deletionTimestamp" in pod["metadata"] or event.kind == "DELETED":
                    gone.add(uid)
            before[uid] = max(count, before.get(uid, 0))
        found = (found or 0) + len(gone) + containers
    return found


def _writes(story: Story) -> list[str]:
    asked = story.asked_by_controller()
    return [
        one.resource for one in asked if one.is_write and one.status < 300 and one.resource.split("/")[0] not in OURS
    ]


def _stages(seen: Sequence[Sighting]) -> int:
    forward = [one.stage for one in seen if one.phase in {"Canary", "Batch"}]
    return max(forward) + 1 if forward else 0


def _back(story: Story, names: Sequence[str], instants: Sequence[Instant]) -> float | None:
    for name in names:
        seen = story.releases.of(name)
        asked = next((one for one in seen if one.spec.get("abort")), None)
        if asked is None or not _stages(seen):
            continue
        aborted = asked.seconds + story.releases_began
        incumbent = _at(instants, seen[0].seconds + story.releases_began).serving
        full = [one.seconds for one in instants if one.of(incumbent) >= story.desired]
        held = _at(instants, aborted)
        there = aborted if held.of(incumbent) >= story.desired else min((s for s in full if s > aborted), default=None)
        if there is not None and story.reached is not None:
            there = max(there, aborted + story.reached.full_again(incumbent, story.desired, story.began + aborted))
        return None if there is None else there - aborted
    return None


def shown(figures: Figures) -> dict[str, Any]:
    """For a test report, which carries only plain values between workers."""
    return asdict(figures)


def table(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The rows (story, shown figures) as a table of Markdown."""
    lines = [
        "| story | strategy | lowest ready, D - U | most pods, D + S | restarted | writes | a stage | back |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, raw in sorted(rows, key=lambda row: row[0]):
        one = Figures(**raw)
        each = f"{one.writes / one.stages:.1f}" if one.stages else ""
        told = (
            f"`{name}`",
            one.strategy,
            f"{one.lowest}, {one.floor}",
            f"{one.most}, {one.ceiling}",
            "" if one.restarted is None else str(one.restarted),
            str(one.writes),
            each,
            "" if one.back is None else f"{one.back:.1f} s",
        )
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)
