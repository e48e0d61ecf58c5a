"""Where everything of a blue-green release stands, out of one observation: Service, preview, sides, endpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from controller.release.names import Ref
from controller.release.observation import Observation, SlotState
from controller.release.record import Record
from controller.release.vocabulary import FORWARD, Role
from controller.services import Object, Selector, is_gone, selector_of
from controller.strategies import pins
from policies.bluegreen import BlueGreen as BlueGreenPolicy
from policies.schema import ReleasePolicySpec

PREVIEW, SWITCH, KEEP = "preview", "switch", "keep"
At = Literal["incumbent", "contender", "owner", "elsewhere", "missing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where everything of a release stands, out of one observation. Hashes are "" where they are not known."""

    record: Record
    seen: Observation
    name: str
    service: Object | None
    preview_name: str
    preview: Object | None
    own: Selector  # as the owner wrote it
    at: At
    incumbent_hash: str
    contender_hash: str
    need: int  # D - U
    reached: Mapping[Role, int]  # pods that the Service sends requests to, by side
    previewed: int
    app: str

    @classmethod
    def of(cls, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Standing:
        blue = blue_green(policy)
        service, preview = (seen.objects.get(Ref("Service", name)) for name in (blue.service, blue.previews))
        own = own_selector(record, service)
        reached = pins.addresses(seen.objects.get(Ref("Endpoints", blue.service)))
        previewed = pins.addresses(seen.objects.get(Ref("Endpoints", blue.previews)))
        names: dict[Role, set[str]] = {
            "incumbent": {pod.name for pod in seen.incumbents},
            "contender": {pod.name for pod in seen.contenders},
        }
        return cls(
            record=record,
            seen=seen,
            name=blue.service,
            service=service,
            preview_name=blue.previews,
            preview=preview,
            own=own,
            at=_where(service, own, seen),
            incumbent_hash=pins.hash_of(seen.incumbent, seen.replica_sets, seen.incumbents),
            contender_hash=pins.hash_of(seen.contender, seen.replica_sets, seen.contenders),
            need=record.desired - blue.unavailable(record.desired),
            reached={role: len(reached & pods) for role, pods in names.items()},
            previewed=len(previewed & names["contender"]),
            app=policy.target.deployment,
        )

    @property
    def enough(self) -> int:
        """Endpoints that stand for D - U pods."""
        return min(self.need, pins.MOST_ADDRESSES)

    def hash(self, role: Role) -> str:
        return self.incumbent_hash if role == "incumbent" else self.contender_hash

    def slot(self, role: Role) -> SlotState | None:
        return self.seen.incumbent if role == "incumbent" else self.seen.contender

    def pods(self, role: Role) -> int:
        """Pods that are there and not on their way out."""
        pods = self.seen.incumbents if role == "incumbent" else self.seen.contenders
        return sum(not pod.terminating for pod in pods)

    @property
    def contender_gone(self) -> bool:
        spare = self.seen.contender
        return (spare is None or spare.replicas == 0) and self.pods("contender") == 0


def own_selector(record: Record, service: Object | None) -> Selector:
    """The selector as its owner wrote it: by the record, else by our annotation, else without a hash."""
    for each in record.saved:
        if each.kind == "Service":
            found = json.loads(each.fields).get(pins.SELECTOR)
            if isinstance(found, dict):
                return {str(key): str(value) for key, value in found.items()}
    if service is None:
        return {}
    pin = pins.pin_of(service)
    if pin is not None:
        return pin.selector
    return {key: value for key, value in selector_of(service).items() if key != pins.HASH}


def _where(service: Object | None, own: Selector, seen: Observation) -> At:
    """Where the Service points: at a side, where its owner pointed it, or where somebody else did."""
    if service is None or is_gone(service):
        return "missing"
    selector = selector_of(service)
    if selector == dict(own):
        return "owner"
    hashed = selector.get(pins.HASH, "")
    if selector != pins.pinned(own, hashed):
        return "elsewhere"
    owner = pins.owner_of(hashed, seen.replica_sets)
    pin = pins.pin_of(service)
    if not owner and pin is not None and pin.uid == seen.uid:
        # Our own pin on pods that are nobody's: the incumbent's ReplicaSet is there, so it was the contender's, whose
        # Deployment somebody deleted. Requests that lead nowhere have to be led back.
        return "contender"
    for slot, at in ((seen.incumbent, "incumbent"), (seen.contender, "contender")):
        if slot is not None and slot.name == owner:
            return at  # type: ignore[return-value]
    return "elsewhere"


def unpinned(record: Record, seen: Observation) -> tuple[str, str] | None:
    """(name, version) of the Service where both sides have pods and somebody has taken our pin away."""
    saved = next((each for each in record.saved if each.kind == "Service"), None)
    spare = seen.contender
    if saved is None or spare is None or spare.replicas == 0 or record.phase not in FORWARD:
        return None
    live = seen.incumbent
    if live is None or live.replicas == 0:
        return None
    service = seen.objects.get(Ref("Service", saved.name))
    if service is None or _where(service, own_selector(record, service), seen) != "owner":
        return None
    return saved.name, pins.version_of(service)


def both(seen: Observation) -> tuple[SlotState, ...]:
    return tuple(slot for slot in (seen.incumbent, seen.contender) if slot is not None)


def blue_green(policy: ReleasePolicySpec) -> BlueGreenPolicy:
    blue = policy.strategy.blue_green
    if blue is None:
        raise TypeError("this policy's strategy is not blueGreen")
    return blue
