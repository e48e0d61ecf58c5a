"""A person, a cluster and the API server do as they please; the laws hold, and once all is calm everything ends.

The suite tries the same nights each time. Many others, and one seed again:
`NIGHTFERRY_NIGHTS=deep pytest tests/kernel/test_machine.py --hypothesis-seed=N`.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.requests.failure import Failure, FailureKind
from controller.requests.writes import Write
from controller.simulation.driver import Crash, Fault, Freeze, LoseAnswer, Point, Refuse, Stale
from controller.simulation.world import World
from controller.slots import slot_state
from tests.kernel.memory import releases, replicas, slot
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import APP, CALM, a_world

settings.register_profile("kernel", max_examples=150, stateful_step_count=30, deadline=None, derandomize=True,
                          suppress_health_check=list(HealthCheck))  # fmt: skip
settings.register_profile("deep", max_examples=1500, stateful_step_count=60, deadline=None, derandomize=False,
                          suppress_health_check=list(HealthCheck))  # fmt: skip

TWIN = f"{APP}-twin"
VERSIONS = ("v2", "v3", "v4")
SLOTS = st.sampled_from((APP, TWIN))
FAULTS: dict[str, Fault] = {
    "500": Refuse(Failure(FailureKind.UNAVAILABLE, "500 internal error")),
    "409": Refuse(Failure(FailureKind.CONFLICT, "409 the object has been modified")),
    "429": Refuse(Failure(FailureKind.THROTTLED, "429 too many requests", 3.0)),
    "403": Refuse(Failure(FailureKind.FORBIDDEN, "403 forbidden")),
    "lost answer": LoseAnswer(),
    "killed before": Crash("before", 1.0),
    "killed after": Crash("after", 4.0),
    "frozen": Freeze(50.0, "b"),
    "stale": Stale(seconds=15.0),
}


def _acts(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *arguments)


WAIT = st.sampled_from((0.0, 1.0, 10.0, 40.0, 120.0))
PEOPLE = st.one_of(
    _acts("push", st.sampled_from(VERSIONS)),
    _acts("edit_release", st.just("paused"), st.booleans()),
    _acts("edit_release", st.just("promote"), st.sampled_from(({"batch": 0}, {"batch": 1}, {"batch": 2}))),
    _acts("edit_release", st.just("abort"), st.just({"reason": "enough"})),
    _acts("promote_what_waits"),
    _acts("lift_what_was_turned_back"),
    _acts("scale", SLOTS, st.integers(0, 7)),
    _acts("set_image", SLOTS, st.sampled_from(VERSIONS)),
    _acts("pause_the_deployment", SLOTS, st.booleans()),
    _acts("delete", st.sampled_from(("Release", "ReleasePolicy", "Deployment")), SLOTS),
    _acts("go_back", st.sampled_from(("rollbackOf", "restoreOf"))),
    _acts("edit_the_policy", st.sampled_from(("10s", "45s")), st.sampled_from(("observe", "enforce"))),
)
CLUSTER = st.one_of(
    _acts("drain", st.integers(1, 3), SLOTS),
    _acts("errors", st.sampled_from(VERSIONS), st.sampled_from((0.001, 0.3))),
    _acts("health", st.sampled_from(VERSIONS), st.sampled_from(("crash", "unready", "well"))),
    _acts("quota", st.sampled_from((3, 6, None))),
    _acts("prometheus", st.booleans()),
)
CONTROLLERS = st.one_of(
    _acts("a_fault_soon", st.integers(0, 25), st.sampled_from(sorted(FAULTS))),
    _acts("a_fault_soon", st.integers(0, 25), st.sampled_from(sorted(FAULTS))),
    _acts("api_server", st.booleans()),
    _acts("controller_restarts"),
    _acts("second_controller"),
)


class Kernel(RuleBasedStateMachine):
    """One app, its people, its cluster, and up to two controllers."""

    night: Night
    next_fault: tuple[int, Fault] | None = None

    @initialize(
        seed=st.integers(0, 3),
        pods=st.integers(1, 6),
        surge=st.integers(0, 2),
        slack=st.integers(0, 2),
        manual=st.booleans(),
        lag=st.sampled_from((0.0, 0.0, 2.0)),
    )
    def a_night(self, seed: int, pods: int, surge: int, slack: int, manual: bool, lag: float) -> None:
        advance = {"canary": "manual" if manual else "auto", "batches": "auto"}
        twin = {"canary": 1, "batches": 3, "maxSurge": surge or (0 if slack else 1), "maxUnavailable": slack}
        world = a_world(
            seed,
            pods,
            type(CALM)(start=CALM.start, grace=CALM.grace, noise=CALM.noise, cache_lag=lag),
            strategy={"twin": {**twin, "advance": advance}},
            deadline={"batch": "2m", "release": "30m"},
            onBlind={"hold": "2m", "then": "rollBack"},
            observe={"atLeast": "30s", "atMost": "3m", "onUndecided": "rollBack"},
        )
        self.asked = self.losses = 0
        found = world.objects.items["ReleasePolicy", "shop", APP]
        self.policy = {key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": APP}}
        self.night = begin(world)
        self.night.faults = self._fault
        self._ask("v2")

    # ------------------------------------------------------------------------------------------------- rules

    @rule(seconds=st.sampled_from((1.0, 8.0, 20.0, 60.0, 150.0)))
    def time_passes(self, seconds: float) -> None:
        self.night.driver.run_to(self.world.now + seconds)

    @rule(act=PEOPLE, then=WAIT)
    def somebody(self, act: tuple[Any, ...], then: float) -> None:
        getattr(self, act[0])(*act[1:])
        self.time_passes(then)

    @rule(act=CLUSTER, then=WAIT)
    def something(self, act: tuple[Any, ...], then: float) -> None:
        getattr(self, act[0])(*act[1:])
        self.time_passes(then)

    @rule(act=CONTROLLERS, then=WAIT)
    def trouble(self, act: tuple[Any, ...], then: float) -> None:
        getattr(self, act[0])(*act[1:])
        self.time_passes(then)

    # ------------------------------------------------------------------------------------------------- people

    def push(self, version: str) -> None:
        if self.asked < 4:
            self._ask(version)

    def edit_release(self, field: str, value: object) -> None:
        name = f"r{self.asked}"
        if ("Release", "shop", name) in self.world.objects.items:
            self.world.edit("Release", name, {"spec": {field: value}})

    def promote_what_waits(self) -> None:
        _promote_what_waits(self.world)

    def lift_what_was_turned_back(self) -> None:
        for key, obj in list(self.world.objects.items.items()):
            if key[0] == "Release" and (obj.get("status") or {}).get("phase") == "RolledBack":
                self.world.edit("Release", key[2], {"spec": {"lift": {"reason": "it was mended"}}})

    def scale(self, name: str, pods: int) -> None:
        self._edit_slot(name, {"replicas": pods})
        self.night.memory.level = 0  # whatever pods go now, a person took them

    def set_image(self, name: str, version: str) -> None:
        containers = [{"name": "app", "image": f"registry.example/{APP}:{version}"}]
        self._edit_slot(name, {"template": {"spec": {"containers": containers}}})
        self.night.memory.level = 0

    def pause_the_deployment(self, name: str, paused: bool) -> None:
        self._edit_slot(name, {"paused": paused})

    def edit_the_policy(self, least: str, mode: str) -> None:
        if ("ReleasePolicy", "shop", APP) not in self.world.objects.items:
            self.world.create(self.policy)
        self.world.edit("ReleasePolicy", APP, {"spec": {"observe": {"atLeast": least}, "mode": mode}})

    def delete(self, kind: Any, name: str) -> None:
        name = {"Release": f"r{self.asked}", "ReleasePolicy": APP}.get(kind, name)
        if (kind, "shop", name) in self.world.objects.items and self.losses < 2:
            self.losses += 1
            self.night.memory.level = 0
            self.world.delete(kind, name)
            if kind == "Release":
                self.night.memory.forget_missing(self.world)

    def go_back(self, how: str) -> None:
        if self.asked < 6:
            self.asked += 1
            spec = {"policy": APP, how: f"r{self.asked - 1}", "requestedBy": "somebody"}
            self._create_release(spec)

    # ------------------------------------------------------------------------------------------------- the cluster

    def drain(self, number: int, name: str) -> None:
        self.night.memory.excused |= frozenset(self.world.pods)
        self.world.drain(number, only={pod.name for pod in self.world.pods_of(name)})

    def errors(self, version: str, errors: float) -> None:
        self.world.behave(version, errors=errors)

    def health(self, version: str, what: str) -> None:
        self.world.behave(version, ready=what != "unready", crashes_after=4.0 if what == "crash" else None)

    def quota(self, room: int | None) -> None:
        if room is None:
            self.world.quota.pop("shop", None)
        else:
            self.world.quota["shop"] = room

    def prometheus(self, up: bool) -> None:
        self.world.traffic.scraping = up
        self.world.store_fault = None if up else Failure(FailureKind.UNAVAILABLE, "connection refused")

    # ------------------------------------------------------------------------------------------------- controllers

    def a_fault_soon(self, after: int, fault: str) -> None:
        self.next_fault = (self.night.driver.requests + after, FAULTS[fault])

    def api_server(self, up: bool) -> None:
        self.world.api_fault = None if up else Failure(FailureKind.UNAVAILABLE, "the API server is away")

    def controller_restarts(self) -> None:
        self.night.driver.start("a", 1.0)

    def second_controller(self) -> None:
        if "b" not in self.night.driver.controllers:
            self.night.driver.start("b", 0.5)

    # ------------------------------------------------------------------------------------------------- laws

    @invariant()
    def at_most_one_moves(self) -> None:
        if hasattr(self, "night"):
            moving = [record for _, record in releases(self.world) if record.phase.value in MOVING]
            assert len(moving) <= 1, [record.phase for record in moving]

    def teardown(self) -> None:
        """L1: faults stop, nobody holds anything any more, and everything comes to an end."""
        if not hasattr(self, "night"):
            return
        world = self.world
        self.next_fault = None
        world.api_fault = world.store_fault = None
        world.traffic.scraping = True
        world.quota.clear()
        for version in ("v1", *VERSIONS):
            world.behave(version, ready=True, crashes_after=None)
        for name in (APP, TWIN):
            self._edit_slot(name, {"paused": False})
        for key, obj in list(world.objects.items.items()):
            if key[0] == "Release" and obj["spec"].get("paused"):
                world.edit("Release", key[2], {"spec": {"paused": False}})
        world.add_actor(20.0, _promote_what_waits)
        self.night.last_write = world.now
        self.night.run(5 * 120.0)
        self.night.stay_idle()
        assert slot(world, "search") is not None and replicas(world, "search") == 1

    # ------------------------------------------------------------------------------------------------- parts

    @property
    def world(self) -> World:
        return self.night.world

    def _fault(self, point: Point) -> Fault | None:
        if self.next_fault is None or point.index < self.next_fault[0]:
            return None
        fault, self.next_fault = self.next_fault[1], None
        is_write = isinstance(point.request, Write)
        if fault is FAULTS["409"] and not is_write:
            return FAULTS["500"]
        return fault

    def _ask(self, version: str) -> None:
        self.asked += 1
        spec = {"policy": APP, "images": {"app": f"registry.example/{APP}:{version}"}, "requestedBy": "somebody"}
        self._create_release(spec)

    def _create_release(self, spec: dict[str, Any]) -> None:
        head = {"apiVersion": "nightferry.dev/v1alpha1", "kind": "Release", "metadata": {"name": f"r{self.asked}"}}
        self.world.create({**head, "spec": spec})

    def _edit_slot(self, name: str, spec: dict[str, Any]) -> None:
        obj = slot(self.world, name)
        if obj is not None and not slot_state(obj).deleting:
            self.world.edit("Deployment", name, {"spec": spec})


def _promote_what_waits(world: World) -> None:
    for key, obj in list(world.objects.items.items()):
        status = obj.get("status") or {}
        if key[0] == "Release" and status.get("heldReason") == "Manual":
            world.edit("Release", key[2], {"spec": {"promote": {"batch": status["batch"]["index"]}}})


MOVING = ("Preflight", "Canary", "Batch", "RollingBack")
TestKernel = Kernel.TestCase
TestKernel.settings = settings.get_profile(os.environ.get("NIGHTFERRY_NIGHTS", "kernel"))
