"""Nights of trains as texts: cars, what is asked for and when, and in which order it left and how it ended.

    # What this scenario proves.
    train atOnce 2, stop after 1, onStop rollBackAll
    car payments
    car checkout after payments
    ask payments v2
    after 5m: ask payments v3
    after 6m: controller killed
    ----
    left payments-v2, checkout-v2
    payments-v2 Succeeded

The night opens a minute after the beginning. A version called `bad` answers with errors until it is mended, `slow` is
never ready. What is asked for once more has a name of its own: `ask payments bad as second`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.night.platform import train_of
from controller.release.names import AppKey, Key, TrainKey
from controller.release.vocabulary import ENDS
from controller.requests.writes import WriteTrainStatus
from controller.simulation import manifests
from controller.simulation.driver import Driver
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, Trace, World

CALM = Conditions(start=(3.0, 6.0), grace=(1.0, 3.0), noise=QUIET)
REST = 120.0  # seconds without a write
TRAIN = TrainKey("shop", "nightly")
WINDOW = {"from": "09:01", "to": "13:00", "zone": "UTC"}  # the world begins at 09:00:00 UTC
SPEC: Mapping[str, Any] = {
    "strategy": {"twin": {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}},
    "gates": [
        {
            "name": "errors",
            "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
            "tolerate": "0.5pp",
        }
    ],
    "observe": {"atLeast": "30s", "atMost": "5m", "onUndecided": "rollBack"},
    "deadline": {"batch": "3m", "release": "1h"},
}


@dataclass
class Night:
    """A text, read, and its world. `left`: the releases in the order in which the train called them."""

    proves: str
    expected: list[str]
    world: World
    driver: Driver
    events: list[tuple[float, str]]
    left: list[str] = field(default_factory=list)

    def run(self, hours: float, each: Callable[[Night], None] | None = None) -> None:
        """Until nothing moves and nothing is to come, or so long. `each` sees it before everything that is due."""
        world, driver = self.world, self.driver
        limit = world.started + 3600.0 * hours
        while world.now < limit and not self.at_rest:
            while self.events and self.events[0][0] <= world.now:
                self._play(self.events.pop(0)[1])
            if each is not None:
                each(self)
            soonest = min([limit, driver.next_due(), *(at for at, _ in self.events[:1])])
            driver.run_to(max(soonest, world.now + 0.01))

    @property
    def at_rest(self) -> bool:
        """Whether everybody has arrived or was taken back, and the controllers had time to say so."""
        driver, last = self.driver, self.world.trace[-1].at if self.world.trace else self.world.started
        frozen = any(each.frozen is not None for each in driver.controllers.values())
        asked = any(key[0] == "Release" for key in self.world.objects.items)
        return asked and driver.ended and not self.events and not frozen and self.world.now - last >= REST

    def fork(self) -> Night:
        """The same night from here on."""
        driver = self.driver.fork()
        other = Night(self.proves, self.expected, driver.world, driver, list(self.events), list(self.left))
        driver.world.after_write = [other._wrote]
        return other

    def _wrote(self, world: World, entry: Trace) -> None:
        """The laws of a train, after every write of its status."""
        if not isinstance(entry.request, WriteTrainStatus) or not entry.applied or entry.after is None:
            return
        after, before = train_of(entry.after), train_of(entry.before or {})
        if after.night is None:
            return
        assert after.spec is not None
        known = before.night.departed if before.night is not None and before.night.id == after.night.id else ()
        new = after.night.departed[len(known) :]
        assert not (new and after.night.stopped), "left after the line was stopped"
        moving = [name for name, phase, _ in self.releases() if phase not in ("Queued", *ENDS)]
        called = [each for each in after.night.departed if self._phase(each.release) == "Queued"]
        assert not new or len(moving) + len(called) <= after.spec.at_once, (moving, called)
        self.left += [each.release for each in new]
        assert len(self.left) == len(set(self.left)), self.left

    def _play(self, what: str) -> None:
        world = self.world
        if match := re.fullmatch(r"ask (\S+) (\S+)(?: as (\S+))?", what):
            app, version, name = match.groups()
            world.create(manifests.release(app, name or f"{app}-{version}", version))
        elif match := re.fullmatch(r"controller killed", what):
            self.driver.start("a", 30.0)
        elif match := re.fullmatch(r"pause (\S+)", what):
            world.edit("Release", match[1], {"spec": {"paused": True}})
        elif match := re.fullmatch(r"mend (\S+)", what):
            world.behave(match[1], errors=0.0)
        elif match := re.fullmatch(r"lift (\S+)", what):
            world.edit("Release", match[1], {"spec": {"lift": {"reason": "mended"}}})
        elif match := re.fullmatch(r"abort (\S+)", what):
            world.edit("Release", match[1], {"spec": {"abort": {"reason": "enough"}}})
        else:
            raise ValueError(what)

    # ------------------------------------------------------------------------------------------------ looking

    def releases(self) -> list[tuple[str, str, str]]:
        """(name, phase, cause) of each release, by name."""
        found = []
        for (kind, _, name), obj in sorted(self.world.objects.items.items()):
            if kind == "Release":
                status = obj.get("status") or {}
                found.append((name, str(status.get("phase") or "Queued"), str(status.get("cause") or "")))
        return found

    def _phase(self, name: str) -> str:
        return next((phase for known, phase, _ in self.releases() if known == name), "")

    def told(self) -> list[str]:
        """What became of it, in the words of the text; the uid in a linked release's name goes."""
        status = self.world.objects.items["ReleaseTrain", "shop", "nightly"].get("status") or {}
        lines = [f"left {', '.join(self.left) or 'nobody'}"]
        lines += [
            f"{re.sub('-recall-.*', '-recall', name)} {phase} {cause}".strip() for name, phase, cause in self.releases()
        ]
        backs = [
            entry.request.manifest["spec"]["rollbackOf"]  # type: ignore[union-attr]
            for entry in self.world.trace
            if type(entry.request).__name__ == "CreateRelease" and entry.applied
        ]
        lines += [f"taken back {', '.join(backs)}"] if backs else []
        return [*lines, f"train {status.get('phase')}"]


def read(text: str) -> Night:
    """A night as it begins. Raises ValueError for a line that means nothing."""
    above, _, below = text.partition("----")
    lines = [line.strip() for line in above.splitlines() if line.strip()]
    proves = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    world = World(1, CALM)
    world.behave("bad", errors=0.2)
    world.behave("slow", ready=False)
    cars: list[dict[str, Any]] = []
    spec: dict[str, Any] = {"window": WINDOW}
    events: list[tuple[float, str]] = []
    for line in (each for each in lines if not each.startswith("#")):
        if line.startswith("train"):
            spec |= _train(line.removeprefix("train").strip())
        elif match := re.fullmatch(r"car (\S+)(?: after (.+))?", line):
            cars.append({"policy": match[1], **({"after": match[2].split(", ")} if match[2] else {})})
        elif match := re.fullmatch(r"after (\d+)m: (.+)", line):
            events.append((world.now + 60.0 * int(match[1]), match[2]))
        else:
            events.append((world.now, line))
    for car in cars:
        policy = manifests.policy(car["policy"], **SPEC)
        world.add_app(car["policy"], "v1", 2, load=400.0, policy=policy)
    train = {"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleaseTrain", "metadata": {"name": "nightly"}}
    world.create({**train, "spec": {**spec, "cars": cars}})
    keys: list[Key] = [TRAIN, *(AppKey("shop", car["policy"]) for car in cars)]
    driver = Driver(world, apps=keys)
    expected = [line.strip() for line in below.splitlines() if line.strip()]
    night = Night(proves, expected, world, driver, sorted(events, key=lambda each: each[0]))
    world.after_write = [night._wrote]
    return night


def _train(words: str) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for part in filter(None, words.split(", ")):
        if match := re.fullmatch(r"atOnce (\d+)", part):
            spec["atOnce"] = int(match[1])
        elif match := re.fullmatch(r"stop after (\d+)", part):
            spec["stopTheLine"] = {"rolledBack": int(match[1])}
        elif match := re.fullmatch(r"onStop (\S+)", part):
            spec["onStop"] = match[1]
        else:
            raise ValueError(part)
    return spec
