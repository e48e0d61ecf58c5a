"""A namespace with a train in small: the real tick of the train, the real tickets, and releases that only take time.

Every request of a train's tick may be its controller's last one, its looks may be old, and a second controller may be
in the middle of a tick of its own. After every write the laws of trains are asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.attempt import Reading, TickResult
from controller.night import ride
from controller.night.platform import train_of, trains_of
from controller.night.ride import Boarded
from controller.night.train import Departed, TrainNight
from controller.night.train_tick import train_tick
from controller.night.windows import opening
from controller.release.names import TrainKey
from controller.requests import Answer, Request
from controller.requests.failure import Failure
from controller.requests.looks import ReadPolicies, ReadReleases, ReadTrain, ReadTrains
from controller.requests.outside import Deliver, Delivery
from controller.requests.writes import CreateRelease, WriteTrainStatus
from controller.simulation.objects import Key, Objects

GATE = {
    "name": "errors",
    "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
}
NIGHT = 1_760_055_000.0  # Fri 2025-10-10 00:10 UTC, ten minutes before the window opens
WINDOW = {"from": "00:20", "to": "05:30", "zone": "UTC"}
ENDS = ("Succeeded", "RolledBack", "NeedsHuman", "Cancelled")
KEY = TrainKey("shop", "nightly")


@dataclass
class Course:
    """What becomes of a release once it leaves: how it ends, after so many seconds."""

    end: str = "Succeeded"
    takes: float = 300.0
    cause: str = "GateDegraded"


@dataclass
class Yard:
    """The namespace. `lag`: how many changes the watch cache may be behind. `dice` decides who is killed where."""

    dice: random.Random
    lag: int = 0
    kills: float = 0.0
    now: float = NIGHT
    objects: Objects = field(default_factory=Objects)
    past: list[dict[Key, Any]] = field(default_factory=list)
    courses: dict[str, Course] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)  # by name: when its present phase began
    departures: list[tuple[float, Departed]] = field(default_factory=list)
    backs: list[str] = field(default_factory=list)
    frozen: list[tuple[Reading[TickResult], Request]] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    refusing: str = ""  # why notifiers take nothing
    notes: list[str] = field(default_factory=list)
    requests: int = 0
    lists: int = 0  # quorum lists of all releases of the namespace
    struck: int = 0

    # ------------------------------------------------------------------------------------------------ people

    def add_train(self, cars: Sequence[Mapping[str, Any]], *, name: str = "nightly", **spec: Any) -> None:
        kind = {"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleaseTrain"}
        self._create({**kind, "metadata": {"name": name}, "spec": {"window": WINDOW, "cars": list(cars), **spec}})

    def add_policy(self, name: str, labels: Mapping[str, str] | None = None, **spec: Any) -> None:
        told = {
            "target": {"deployment": name},
            "strategy": {"twin": {"canary": 1, "batches": 2}},
            "gates": [GATE],
            "observe": {"atLeast": "1m", "atMost": "10m", "onUndecided": "rollBack"},
        }
        metadata = {"name": name, **({"labels": dict(labels)} if labels else {})}
        self._create({"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleasePolicy", "metadata": metadata,
                      "spec": {**told, **spec}})  # fmt: skip

    def edit_cars(self, cars: Sequence[Mapping[str, Any]]) -> None:
        """Somebody edits the train."""
        self.objects.patch(("ReleaseTrain", "shop", "nightly"), {"spec": {"cars": list(cars)}}, "kubectl", self.now)
        self._remember()

    def ask(self, policy: str, name: str, course: Course | None = None, **spec: Any) -> None:
        """Somebody asks for a release."""
        self.courses[name] = course or Course()
        self._create({"apiVersion": "nightferry.dev/v1alpha1", "kind": "Release", "metadata": {"name": name},
                      "spec": {"policy": policy, "images": {"app": "registry.example/app:v2"}, **spec}})  # fmt: skip

    def _create(self, manifest: Mapping[str, Any]) -> None:
        made = self.objects.create(manifest, "shop", "kubectl", self.now)
        assert not isinstance(made, Failure), made
        self._remember()

    # ------------------------------------------------------------------------------------------------ looking

    def listed(self, kind: str, *, back: int = 0) -> list[Any]:
        view = self.past[max(0, len(self.past) - 1 - back)] if back else self.objects.items
        return [view[key] for key in sorted(view) if key[0] == kind]

    def phase(self, name: str) -> str:
        obj = self.objects.items["Release", "shop", name]
        return str((obj.get("status") or {}).get("phase") or "Queued")

    @property
    def status(self) -> Mapping[str, Any]:
        found = self.objects.items["ReleaseTrain", "shop", "nightly"].get("status") or {}
        assert isinstance(found, Mapping)
        return found

    @property
    def night(self) -> TrainNight | None:
        return train_of(self.objects.items["ReleaseTrain", "shop", "nightly"]).night

    def _remember(self) -> None:
        self.past.append(dict(self.objects.items))

    # ------------------------------------------------------------------------------------------------ time

    def run(self, seconds: float, *, step: float = 15.0) -> None:
        until = self.now + seconds
        while self.now < until:
            self.tick_train()
            for name in [obj["metadata"]["name"] for obj in self.listed("Release")]:
                self._step(name)
            self.now += step

    def tick_train(self) -> None:
        """A controller's tick, that may be killed at any request, or be paused there and wake up later."""
        for reading, request in self.frozen[:]:
            if self.dice.random() < 0.3:
                self.frozen.remove((reading, request))
                self._drive(reading, request)
        reading = train_tick(KEY, self.now)
        self._drive(reading, next(reading))

    def _drive(self, reading: Reading[TickResult], request: Request) -> None:
        while True:
            self.requests += 1
            fate = self.dice.random()
            if fate < self.kills:
                self.struck += 1
                reading.close()
                return
            if fate < 1.3 * self.kills:
                self.struck += 1
                self.frozen.append((reading, request))
                return
            answer = self.answer(request)
            if fate < 1.6 * self.kills:
                self.struck += 1
                reading.close()
                return
            try:
                request = reading.send(answer)
            except StopIteration as end:
                self.notes += [end.value.note] if end.value.note else []
                return

    def answer(self, request: Request) -> Answer:
        back = self.dice.randint(0, self.lag) if self.lag else 0
        match request:
            case ReadTrains():
                return self.listed("ReleaseTrain", back=back)
            case ReadPolicies():
                return self.listed("ReleasePolicy", back=back)
            case ReadReleases(fresh=fresh):
                self.lists += fresh
                return self.listed("Release", back=0 if fresh else back)
            case ReadTrain(namespace, name):
                return self.objects.read(("ReleaseTrain", namespace, name))
            case WriteTrainStatus(namespace, name, version, status):
                before = self.night
                key: Key = ("ReleaseTrain", namespace, name)
                done = self.objects.patch(key, {"status": status}, "us", self.now, version=version, status=True)
                if not isinstance(done, Failure) and name == "nightly":
                    self._remember()
                    self._judge(before, self.night)
                return done
            case CreateRelease(namespace, manifest):
                done = self.objects.create(manifest, namespace, "us", self.now)
                if not isinstance(done, Failure):
                    self._remember()
                    self._judge_back(manifest["spec"]["rollbackOf"])
                    self.courses[manifest["metadata"]["name"]] = Course(takes=60.0)
                return done
            case Deliver(_, id):
                self.delivered.append(id)
                if self.refusing:
                    return Delivery("failed", self.refusing)
                return Delivery("sent" if self.delivered.count(id) > 1 else "pending")
        raise AssertionError(request)

    # ------------------------------------------------------------------------------------------------ releases

    def _step(self, name: str) -> None:
        """What the app's own tick would do, in small."""
        obj = self.objects.items["Release", "shop", name]
        phase, uid, spec = self.phase(name), obj["metadata"]["uid"], obj["spec"]
        course, trains = self.courses[name], trains_of(self.listed("ReleaseTrain"))
        if phase in ENDS:
            return
        if phase == "Queued":
            own = [each for each in self._of(spec["policy"]) if self.phase(each["metadata"]["name"]) not in ENDS]
            ways = [each for each in own if each["spec"].get("rollbackOf") == spec.get("rollbackOf")]
            newest = max(ways, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"]))
            if newest["metadata"]["uid"] != uid:
                self._become(name, "Cancelled", "Superseded")
                return
            if any(self.phase(each["metadata"]["name"]) not in ("Queued", *ENDS) for each in own):
                return
            if not spec.get("rollbackOf") and spec.get("now") is None:
                if "status" not in obj:
                    self._become(name, "Queued")  # the app's first look
                train = ride.train_for(trains, spec["policy"], {})
                if train is not None and not isinstance(ride.ticket(train, uid, 0.0, self.now, begun=False), Boarded):
                    return
            self._become(name, "Batch")
        elif phase == "RollingBack":
            self._become(name, "RolledBack", self._turned(name))
        elif ride.recalled(trains, uid):
            self._become(name, "RollingBack", "TrainStopped")
        elif self.now - self.begun[name] >= course.takes:
            bad = course.end in ("RolledBack", "NeedsHuman")
            phase = "RollingBack" if course.end == "RolledBack" else course.end
            self._become(name, phase, course.cause if bad else "Completed")

    def _of(self, policy: str) -> list[Any]:
        return [each for each in self.listed("Release") if each["spec"]["policy"] == policy]

    def _turned(self, name: str) -> str:
        return str(self.objects.items["Release", "shop", name]["status"]["cause"])

    def _become(self, name: str, phase: str, cause: str | None = None) -> None:
        key: Key = ("Release", "shop", name)
        self.objects.patch(key, {"status": {"phase": phase, "cause": cause}}, "us", self.now, status=True)
        self.begun[name] = self.now
        self._remember()

    # ------------------------------------------------------------------------------------------------ the laws

    def _judge(self, before: TrainNight | None, after: TrainNight | None) -> None:
        if after is None:
            return
        train = train_of(self.objects.items["ReleaseTrain", "shop", "nightly"])
        assert train.spec is not None
        same = before is not None and before.id == after.id
        known = before.departed if same and before is not None else ()
        assert [each.uid for each in after.departed[: len(known)]] == [each.uid for each in known]
        new = after.departed[len(known) :]
        uids = [each.uid for each in after.departed]
        assert len(uids) == len(set(uids)), "a release left twice in a night"
        if same and before is not None:
            assert not before.stopped or after.stopped == before.stopped, "a stop was taken back"
        if not new:
            return
        assert opening(train.spec.window, self.now) is not None, "left outside the window"
        assert not after.stopped, "left after the line was stopped"
        cars = {name for name in map(_name, self.listed("ReleasePolicy")) if train.carries(name, self._labels(name))}
        moving = [each for name in cars for each in self._of(name) if self.phase(_name(each)) not in ("Queued", *ENDS)]
        called = [each for each in after.departed if self._is(each, "Queued")]
        assert len(moving) + len(called) <= train.spec.at_once, (moving, called)
        for each in new:
            self.departures.append((self.now, each))
            for first in self._after(each.policy):
                self._was_first(first, after)

    def _was_first(self, policy: str, night: TrainNight) -> None:
        """A car that goes first has succeeded tonight, or has no release that could leave."""
        mine = [each for each in night.departed if each.policy == policy]
        if mine:
            assert self._is(mine[-1], "Succeeded"), f"{mine[-1].release} goes first"
        own = [
            each
            for each in self._of(policy)
            if self.phase(_name(each)) == "Queued" and not each["spec"].get("rollbackOf")
        ]
        assert not own, f"{policy} goes first and waits"

    def _judge_back(self, release: str) -> None:
        night = self.night
        assert night is not None and night.recalled
        assert self.phase(release) == "Succeeded" and release not in self.backs
        succeeded = [each.release for each in reversed(night.departed) if self._is(each, "Succeeded")]
        assert release in succeeded
        for name in succeeded[: succeeded.index(release)]:
            back = [each for each in self.listed("Release") if each["spec"].get("rollbackOf") == name]
            stuck = self.courses[_name(back[0])].end != "Succeeded" if back else True
            assert stuck or all(self.phase(_name(each)) in ENDS for each in back), "two are taken back at once"
        self.backs.append(release)

    def _after(self, policy: str) -> Sequence[str]:
        cars = self.objects.items["ReleaseTrain", "shop", "nightly"]["spec"]["cars"]
        labels = self._labels(policy)
        named = [car for car in cars if car.get("policy") == policy]
        found = named or [car for car in cars if "policies" in car and car["policies"].items() <= labels.items()]
        return [each for each in found[0].get("after", ()) if each != policy]

    def _labels(self, policy: str) -> Mapping[str, str]:
        labels = self.objects.items["ReleasePolicy", "shop", policy]["metadata"].get("labels") or {}
        assert isinstance(labels, Mapping)
        return labels

    def _is(self, each: Departed, phase: str) -> bool:
        found = self.objects.items.get(("Release", "shop", each.release))
        return found is not None and self.phase(each.release) == phase


def _name(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def in_order(yard: Yard) -> Iterator[str]:
    """The releases in the order in which they left."""
    return (each.release for _, each in yard.departures)
