"""What a train sees of the cluster: its own object, and the policies that are its cars.

Everything is read leniently: a train that is refused, or whose status somebody edited, is a value too. Nothing leaves
with either of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from controller.night.train import Departed, Seat, TrainNight, Waiting
from controller.release.instants import rfc3339
from controller.requests import Answer, objects_in
from controller.requests.failure import Failure, FailureKind
from policies.cars import disorder, never_fits, order_of
from policies.load import PolicyRefused, authored, from_object, train_from_object
from policies.schema import ReleasePolicy
from policies.train import ReleaseTrainSpec
from policies.translate import meant

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Train:
    """A ReleaseTrain object, read. `spec` is None where `refused` says why it is none."""

    namespace: str
    name: str
    uid: str
    created: str
    resource_version: str
    generation: int
    spec: ReleaseTrainSpec | None
    refused: str
    night: TrainNight | None
    status: Object
    claims: tuple[Object, ...]  # the cars as they are written, for a train that is refused too

    def carries(self, policy: str, labels: Mapping[str, str]) -> bool:
        """Whether one of its cars is this policy."""
        if any(car.get("policy") == policy for car in self.claims):
            return True
        wanted = [car["policies"] for car in self.claims if isinstance(car.get("policies"), Mapping)]
        return any(each and each.items() <= labels.items() for each in wanted)


def train_of(obj: Object) -> Train:
    """A ReleaseTrain object as it is."""
    metadata, status = obj.get("metadata") or {}, obj.get("status") or {}
    spec, refused = _asked(msgspec.json.encode(authored(obj)))
    cars = (obj.get("spec") or {}).get("cars")
    return Train(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        created=str(metadata.get("creationTimestamp", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        generation=int(metadata.get("generation") or 0),
        spec=spec,
        refused=refused,
        night=_night(status.get("night")),
        status=status,
        claims=tuple(car for car in cars if isinstance(car, Mapping)) if isinstance(cars, list) else (),
    )


def trains_of(objects: Sequence[Object]) -> tuple[Train, ...]:
    """All trains of a namespace, the oldest first: of two that carry one policy, the older one has it."""
    return tuple(sorted((train_of(obj) for obj in objects), key=lambda each: (each.created, each.name)))


def trains_in(answer: Answer) -> tuple[Train, ...] | Failure:
    """The trains in an answer, none where the cluster does not know the kind; or what kept them from being read."""
    if isinstance(answer, Failure) and answer.kind is not FailureKind.NO_KIND:
        return answer
    return trains_of(objects_in(answer))


@lru_cache(maxsize=256)
def _asked(text: bytes) -> tuple[ReleaseTrainSpec | None, str]:
    try:
        return train_from_object(msgspec.json.decode(text)).spec, ""
    except PolicyRefused as error:
        return None, "; ".join(f"{each.path}: {each.message}" for each in error.errors)[:1024]


@lru_cache(maxsize=1024)
def _policy(text: bytes) -> tuple[ReleasePolicy | None, str]:
    try:
        return from_object(msgspec.json.decode(text)), ""
    except PolicyRefused as error:
        return None, "; ".join(f"{each.path}: {each.message}" for each in error.errors)[:512]


def policies_of(objects: Sequence[Object]) -> dict[str, tuple[ReleasePolicy | None, Object]]:
    """The policies of a namespace by name, as values where they are legal, and their labels."""
    found = {}
    for obj in objects:
        metadata = obj.get("metadata") or {}
        value, _ = _policy(msgspec.json.encode(authored(obj)))
        found[str(metadata.get("name", ""))] = (value, metadata.get("labels") or {})
    return found


# --------------------------------------------------------------------------------------------------- the cars


def seats_of(
    train: Train, others: Sequence[Train], policies: Mapping[str, tuple[ReleasePolicy | None, Object]]
) -> tuple[tuple[Seat, ...], str]:
    """The cars of a train with their policies, and why the train cannot leave, or "". `others` as `trains_of` sorts."""
    assert train.spec is not None
    for index, car in enumerate(train.spec.cars):
        if car.policy is not None and car.policy not in policies:
            found = f"spec.cars[{index}].policy: found {car.policy}, and no such policy in the namespace"
            return (), found + meant(car.policy, sorted(policies))
    after = order_of(train.spec, {name: labels for name, (_, labels) in policies.items()})
    if wrong := disorder(after):
        return (), f"spec.cars: {wrong}"
    for older in others:
        if (older.created, older.name) >= (train.created, train.name):
            continue
        if twice := [name for name in after if older.carries(name, policies[name][1])]:
            return (), f"spec.cars: {twice[0]} rides the train {older.name} already; one train for each policy"
    return tuple(_seat(train.spec, name, first, policies[name][0]) for name, first in after.items()), ""


def _seat(train: ReleaseTrainSpec, name: str, after: tuple[str, ...], policy: ReleasePolicy | None) -> Seat:
    if policy is None:
        return Seat(name, after, lacks="its policy is refused")
    least, _ = policy.spec.strategy.moves.shortest(policy.spec.observe.at_least)
    said = "on_undecided" in policy.spec.observe.model_fields_set
    lacks = "" if said else "its policy does not say observe.onUndecided, and at night nobody is there to go on"
    return Seat(name, after, least.seconds, lacks or never_fits(train, policy))


# ------------------------------------------------------------------------------------------------- the status


def _night(raw: Any) -> TrainNight | None:
    """The night in a train's status; one that somebody edited into nonsense is a night in which nothing leaves."""
    if not isinstance(raw, Mapping):
        return None
    try:
        opened, closes = _at(raw.get("opened")), _at(raw.get("closes"))
        if opened is None or closes is None:
            raise ValueError("no times")
        return TrainNight(
            id=str(raw["id"]),
            opened=opened,
            closes=closes,
            departed=tuple(
                Departed(str(each["release"]), str(each["uid"]), str(each["policy"]), _at(each["at"]) or 0.0,
                         str(each.get("ended") or ""))
                for each in raw.get("departed") or ()
            ),
            waiting=tuple(
                Waiting(str(each["release"]), str(each["uid"]), str(each["policy"]), str(each["because"]))
                for each in raw.get("waiting") or ()
            ),
            stopped=str(raw.get("stopped") or ""),
            recalled=str(raw.get("recalled") or ""),
            closed=_at(raw.get("closed")),
            over=_at(raw.get("over")),
            reported=tuple(str(each) for each in raw.get("reported") or ()),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        return TrainNight("", 0.0, 0.0, stopped="somebody edited the status of the train")


def night_status(night: TrainNight) -> dict[str, Any]:
    """The night as the status shows it; every key is present, null where there is nothing, as a merge patch needs."""
    return {
        "id": night.id,
        "opened": rfc3339(night.opened),
        "closes": rfc3339(night.closes),
        "closed": rfc3339(night.closed) if night.closed is not None else None,
        "departed": [
            {"release": each.release, "uid": each.uid, "policy": each.policy, "at": rfc3339(each.at),
             **({"ended": each.ended} if each.ended else {})}
            for each in night.departed
        ],
        "waiting": [
            {"release": each.release, "uid": each.uid, "policy": each.policy, "because": each.because}
            for each in night.waiting
        ],
        "stopped": night.stopped or None,
        "recalled": night.recalled or None,
        "over": rfc3339(night.over) if night.over is not None else None,
        "reported": list(night.reported),
    }  # fmt: skip


def _at(text: Any) -> float | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if isinstance(text, str) and text else None
