"""What a night brings: a calibrated mix of versions and of troubles, each with the endings that are right for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controller.release.vocabulary import Cause
from controller.requests.failure import Failure, FailureKind
from controller.simulation.traffic import empty
from controller.simulation.world import World

Happens = Callable[[World, np.random.Generator, str, str], None]  # world, chance, app and its new version
_GONE = Failure(FailureKind.UNAVAILABLE, "the store is down")
_NIGHTLY = frozenset({Cause.WINDOW_CLOSED})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of release. share: of all releases. harm: whether it must not stay. causes: that may turn it back.

    begins: what is so from the start. later: what happens some time after the canary began. shared: whether it meets
    every app of the cluster, so that it explains the endings of others, too.
    """

    name: str
    share: float
    harm: bool
    causes: frozenset[Cause]
    begins: Happens | None = None
    later: Happens | None = None
    shared: bool = False


def _behaves(**changes: object) -> Happens:
    return lambda world, rng, app, version: world.behave(version, **changes)


def _errors(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    world.behave(version, errors=world.ordinary.errors * float(rng.choice((5.0, 10.0, 30.0))))


def _slow_answers(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    world.behave(version, latency=float(rng.choice((2.0, 3.0))))


def _apart(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    """Pods of this night differ more than usual, on both sides alike."""
    world.traffic.noise = type(world.traffic.noise)(0.15, 0.2)


def _evictions(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    world.drain(
        1 + int(rng.integers(0, 2)),
        only={name for name, pod in world.pods.items() if pod.state.labels.get("app") == app},
    )


def _dark(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    """The store is gone, or answers with nothing, for longer than the policy waits."""
    if rng.random() < 0.5:
        world.store_fault = _GONE
    else:
        world.traffic.hostile = empty


def _quota(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    world.quota["shop"] = sum(pod.namespace == "shop" for pod in world.pods.values())


def _slow_start(world: World, rng: np.random.Generator, app: str, version: str) -> None:
    world.behave(version, starts_in=float(rng.uniform(120.0, 400.0)))


KINDS = (
    Kind("good", 0.60, False, _NIGHTLY),
    Kind("flaky", 0.08, False, _NIGHTLY | {Cause.UNDECIDED}, begins=_apart, later=_evictions, shared=True),
    Kind("errors", 0.07, True, _NIGHTLY | {Cause.GATE, Cause.UNDECIDED}, begins=_errors),
    Kind("errors later", 0.05, True, _NIGHTLY | {Cause.GATE, Cause.UNDECIDED, Cause.ALERT}, later=_errors),
    Kind("latency", 0.04, True, _NIGHTLY | {Cause.GATE, Cause.UNDECIDED}, begins=_slow_answers),
    Kind("crash loop", 0.03, True, _NIGHTLY | {Cause.CRASH_LOOP, Cause.GATE}, begins=_behaves(crashes_after=20.0)),
    Kind("no image", 0.02, True, _NIGHTLY | {Cause.IMAGE_PULL}, begins=_behaves(cannot_pull=True)),
    Kind("blind", 0.05, False, _NIGHTLY | {Cause.BLIND, Cause.REFUSED}, later=_dark, shared=True),
    Kind("quota", 0.03, False, _NIGHTLY | {Cause.BATCH_DEADLINE}, begins=_quota, shared=True),
    Kind("slow", 0.03, False, _NIGHTLY | {Cause.BATCH_DEADLINE}, begins=_slow_start),
)  # fmt: skip
"""The shares are of a year of releases of a team that ships weekly: four of five are fine, one in five is bad, and the
rest meets a cluster that is not at its best."""


def kind_of(rng: np.random.Generator) -> Kind:
    """One kind, drawn by its share."""
    shares = np.array([kind.share for kind in KINDS])
    return KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
