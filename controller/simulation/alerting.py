"""A simulated Alertmanager: alerts that fire, fall silent and come again, and the posts that tell of them.

The level is `World.alerts`. A post does what the receiver does with it: it is in the inbox of every policy that it
matches, confirmed by the level, before anybody else moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from controller.inbox import Told, instant, joined, read_inbox, written
from controller.release.instants import stamp
from controller.requests.failure import Failure
from controller.requests.outside import FiringAlerts, ReadFiring

if TYPE_CHECKING:
    from controller.simulation.world import World


def answer(world: World, ask: ReadFiring) -> FiringAlerts | Failure:
    """What Alertmanager says to a level read."""
    if world.alerts_fault is not None:
        return world.alerts_fault
    found = [item for item in world.alerts.values() if any(_carries(item["labels"], each) for each in ask.matches)]
    return FiringAlerts(tuple(found))


def _carries(labels: Mapping[str, str], wanted: Iterable[tuple[str, str]]) -> bool:
    return all(labels.get(name) == value for name, value in wanted)


def fire(world: World, name: str, labels: Mapping[str, str], *, since: float | None = None) -> str:
    """An alert fires, unless it does already -> its fingerprint. `since`: when it began, in epoch seconds."""
    every = {"alertname": name, **labels}
    fingerprint = hashlib.sha256(repr(sorted(every.items())).encode()).hexdigest()[:16]
    if fingerprint not in world.alerts:
        world.alerts[fingerprint] = {
            "fingerprint": fingerprint,
            "labels": every,
            "annotations": {"summary": f"{name} of the simulation"},
            "startsAt": stamp(world.now if since is None else since),
            "endsAt": stamp(world.now + 300.0),
            "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        }
    return fingerprint


def resolve(world: World, name: str) -> None:
    """Every alert of a name is over."""
    for fingerprint in _named(world, name):
        del world.alerts[fingerprint]


def mute(world: World, name: str) -> None:
    """Somebody silences every alert of a name."""
    for fingerprint in _named(world, name):
        status = {"state": "suppressed", "silencedBy": ["5ae6"], "inhibitedBy": []}
        world.alerts[fingerprint] = {**world.alerts[fingerprint], "status": status}


def _named(world: World, name: str) -> list[str]:
    return [key for key, item in world.alerts.items() if item["labels"]["alertname"] == name]


def post(world: World, name: str, *, ended: bool = False) -> None:
    """Alertmanager posts what fires under a name (or that it is over), and the receiver keeps it."""
    items = [world.alerts[key] for key in _named(world, name)]
    for (kind, namespace, policy), obj in list(world.objects.items.items()):
        if kind != "ReleasePolicy":
            continue
        news = [_told(world, item, ended=ended) for item in items if _concerns(obj, item)]
        if news:
            inbox = written(joined(read_inbox(obj), news))
            world.edit("ReleasePolicy", policy, {"status": {"inbox": inbox}}, namespace=namespace, status=True)


def _concerns(policy: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    return any(_carries(item["labels"], each["match"].items()) for each in policy["spec"].get("alerts") or ())


def _told(world: World, item: Mapping[str, Any], *, ended: bool) -> Told:
    return Told(
        fingerprint=item["fingerprint"],
        name=item["labels"]["alertname"],
        labels=item["labels"],
        since=instant(item["startsAt"], world.now)[0],
        heard=world.now,
        ended=world.now if ended else None,
        confirmed=world.alerts_fault is None and not ended,
        summary=item["annotations"]["summary"],
    )
