"""The stories of the twin strategy that every fault is tried on: small, quick, each with the end it must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.simulation import autoscaling, manifests
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, World
from tests.kernel.laws import SECRET
from tests.kernel.night import Night, begin

APP = "checkout"
GATE: Mapping[str, Any] = {
    "name": "errors",
    "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
    "tolerate": "0.5pp",
}
SPEC: Mapping[str, Any] = {
    "strategy": {"twin": {"canary": 1, "batches": 2, "maxSurge": 1, "maxUnavailable": 0}},
    "gates": [GATE],
    "observe": {"atLeast": "30s", "atMost": "5m", "onUndecided": "rollBack"},
    "onBlind": {"hold": "5m", "then": "rollBack"},
    "deadline": {"batch": "3m", "release": "1h"},
}
CALM = Conditions(start=(3.0, 6.0), grace=(1.0, 3.0), noise=QUIET)


def a_world(seed: int = 1, replicas: int = 4, conditions: Conditions = CALM, **spec: Any) -> World:
    """One app of some pods under much load, and a neighbour that nobody may touch."""
    world = World(seed, conditions)
    world.create(manifests.deployment("search", "v7", 1))
    world.add_app(APP, "v1", replicas, load=600.0, policy=manifests.policy(APP, **{**SPEC, **spec}))
    return world


def ask(world: World, version: str = "v2", name: str = "first", **spec: Any) -> None:
    """Somebody asks for a release."""
    env = {"env": {"app": {"PASSWORD": SECRET}}} if version else {}
    world.create(manifests.release(APP, name, version, **{**env, **spec}))


def status(world: World, name: str = "first") -> Mapping[str, Any]:
    found = world.objects.items.get(("Release", "shop", name))
    return (found or {}).get("status") or {}


def phase(world: World, name: str = "first") -> str:
    return str(status(world, name).get("phase", ""))


def in_batch(world: World, number: int, name: str = "first") -> bool:
    """Whether a release is in this batch or beyond it."""
    return phase(world, name) == "Batch" and status(world, name)["batch"]["index"] >= number


def whenever(world: World, true: Callable[[World], bool], act: Callable[[World], object]) -> None:
    """Once it is true, somebody acts. `act` must make it untrue, so that it happens once."""
    world.add_actor(5.0, lambda there: act(there) if true(there) else None)


def abort_once(world: World, when: Callable[[World], bool]) -> None:
    """A person aborts as soon as it is true."""
    whenever(
        world,
        lambda there: when(there) and "abort" not in there.objects.items["Release", "shop", "first"]["spec"],
        lambda there: there.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}}),
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story: its world, and the phase that each release must end in.

    `alike` is true as long as the story is word for word the beginning of another one, on which every fault is tried.
    """

    name: str
    build: Callable[[], World]
    ends: Mapping[str, str]
    alike: Callable[[World], bool] = lambda _: False

    def night(self) -> Night:
        return begin(self.build(), lambda world: all(phase(world, name) for name in self.ends))


def _healthy() -> World:
    world = a_world()
    ask(world)
    return world


def _errors_in_batch_2() -> World:
    # Four batches of four pods: the first one is merged with the canary, the second has an incumbent to compare with.
    world = a_world(strategy={"twin": {"canary": 1, "batches": 4, "maxSurge": 1, "maxUnavailable": 0}})
    ask(world)
    whenever(
        world,
        lambda there: in_batch(there, 2) and there.behaviour("v2").errors < 0.2,
        lambda there: there.behave("v2", errors=0.2),
    )
    return world


def _crash_loop() -> World:
    world = _healthy()
    world.behave("v2", crashes_after=2.0)
    return world


def _never_ready() -> World:
    world = _healthy()
    world.behave("v2", ready=False)
    return world


def _abort_in_mid_batch() -> World:
    world = _healthy()
    abort_once(world, lambda there: in_batch(there, 1))
    return world


def _raised_in_mid_release() -> World:
    def small(there: World) -> bool:
        claim = there.objects.items["Deployment", "shop", APP]["spec"]["replicas"]
        return in_batch(there, 1) and bool(claim == 2) and status(there)["batch"]["desired"] == 4

    world = _healthy()
    whenever(world, small, lambda there: there.edit("Deployment", APP, {"spec": {"replicas": 5}}))
    return world


def _rollback_after_success() -> World:
    world = _healthy()
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "back") not in there.objects.items,
        lambda there: ask(there, "", "back", rollbackOf="first"),
    )
    return world


def _second_release() -> World:
    world = _healthy()
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "second") not in there.objects.items,
        lambda there: ask(there, "v3", "second"),
    )
    return world


def _restore() -> World:
    """The incumbent's Deployment is replaced in mid-release: a person is asked, and asks for a restore."""
    world = _healthy()
    whenever(
        world,
        lambda there: in_batch(there, 1) and status(there)["record"]["phase"] == "Batch" and _sabotage(there) < 2,
        _undo_replicas,
    )
    whenever(
        world,
        lambda there: phase(there) == "NeedsHuman" and ("Release", "shop", "again") not in there.objects.items,
        lambda there: ask(there, "", "again", restoreOf="first"),
    )
    return world


def _sabotage(world: World) -> int:
    return len(status(world)["record"].get("reversals", ()))


def _undo_replicas(world: World) -> None:
    """A tool sets the contender's replicas back to what it believes in."""
    world.edit("Deployment", f"{APP}-twin", {"spec": {"replicas": 0}}, manager="argocd-controller")


def _home() -> World:
    world = _healthy()
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "home") not in there.objects.items,
        lambda there: ask(there, "", "home", home=True),
    )
    return world


def _autoscaled(wants: int | None = None) -> World:
    """An autoscaler whose minimum is above what a batch leaves in its slot; `wants`: the pods that metrics ask for."""
    world = a_world(replicas=2, strategy={"twin": {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}})
    ask(world)
    scaler = manifests.autoscaler(APP, APP, 2, 8)
    if wants is not None:
        scaler["metadata"]["annotations"] = {autoscaling.WANTS: str(wants)}
    world.create(scaler)
    world.add_actor(autoscaling.PERIOD, autoscaling.sync)
    return world


def _autoscaled_to_the_end() -> World:
    # It wants what is there: one that would raise D in mid-preparation makes each interleaving a story of its own.
    return _autoscaled(wants=2)


def _autoscaled_abort() -> World:
    world = _autoscaled()
    abort_once(world, lambda there: in_batch(there, 1))
    return world


def _before(batch: int) -> Callable[[World], bool]:
    return lambda world: (
        phase(world) in ("", "Queued", "Preflight", "Canary")
        or (phase(world) == "Batch" and not in_batch(world, batch))
    )


def _prepared(world: World) -> bool:
    return phase(world) in ("", "Queued", "Preflight")


def _first_of_two(world: World) -> bool:
    return phase(world) != "Succeeded"


SCENARIOS = {
    each.name: each
    for each in (
        Scenario("healthy", _healthy, {"first": "Succeeded"}),
        Scenario("errors in batch 2", _errors_in_batch_2, {"first": "RolledBack"}, _before(2)),
        Scenario("crash loop", _crash_loop, {"first": "RolledBack"}, _prepared),
        Scenario("never ready", _never_ready, {"first": "RolledBack"}, _prepared),
        Scenario("abort in mid-batch", _abort_in_mid_batch, {"first": "RolledBack"}, _before(1)),
        Scenario("D raised in mid-release", _raised_in_mid_release, {"first": "Succeeded"}, _before(1)),
        Scenario(
            "rollback after success",
            _rollback_after_success,
            {"first": "Succeeded", "back": "Succeeded"},
            _first_of_two,
        ),
        Scenario("second release", _second_release, {"first": "Succeeded", "second": "Succeeded"}, _first_of_two),
        Scenario("home", _home, {"first": "Succeeded", "home": "Succeeded"}, _first_of_two),
        Scenario("HPA", _autoscaled_to_the_end, {"first": "Succeeded"}),
        Scenario("HPA and abort", _autoscaled_abort, {"first": "RolledBack"}, _before(1)),
        Scenario("restore", _restore, {"first": "NeedsHuman", "again": "RolledBack"}, _before(1)),
    )
}
