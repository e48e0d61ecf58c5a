"""The next writes of a blue-green release: what is pinned first, then pods, then the switch, then everything back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from controller.release.observation import SlotState
from controller.release.plan import ObjectWrite, PatchSlot, SlotWrite
from controller.release.record import Stage
from controller.release.vocabulary import Role
from controller.services import selector_of
from controller.strategies import claims, pins
from controller.strategies.bluegreen_standing import PREVIEW, Standing, both
from controller.strategies.stages import HAND_BACK

PAUSED = json.dumps({"spec.paused": None}, sort_keys=True, separators=(",", ":"))
_MOST_AT_ONCE = 3  # writes that move neither pods nor requests, in one tick
_SIDES: tuple[Role, Role] = ("incumbent", "contender")

Write = SlotWrite | ObjectWrite


def forward(here: Standing, stage: Stage) -> list[Write]:
    """The next writes towards the stage: what is pinned first, then pods, then the switch; the last stage lets go."""
    live, spare, desired = here.seen.incumbent, here.seen.contender, here.record.desired
    if live is None or spare is None or here.at in ("missing", "elsewhere"):
        return []
    full = spare.replicas == desired and here.seen.available("contender") >= here.need
    last = stage.name == HAND_BACK
    if last and live.replicas == 0:
        if spare.replicas != desired:
            return [_scaled(here, "contender", desired)]
        return _let_go(here) if full and here.pods("incumbent") == 0 else []
    if last and full and here.at != "incumbent" and here.reached["contender"] >= here.enough:
        return [_scaled(here, "incumbent", 0)] if _acted_upon(here) else []
    if waiting := list(_to_pin(here)):
        return waiting[:_MOST_AT_ONCE]
    if here.at != "incumbent" and stage.name == PREVIEW:
        return []
    for role in _SIDES:
        slot = here.slot(role)
        if slot is not None and slot.replicas < desired and not (role == "incumbent" and last):
            return [_scaled(here, role, desired)]
    for role in _SIDES:
        slot = here.slot(role)
        if slot is not None and slot.replicas > desired and _may_shrink(here, role):
            return [_scaled(here, role, desired)]
    if stage.name != PREVIEW and here.at == "incumbent" and full and here.previewed >= here.enough:
        return [_pointed(here, "contender")]
    return []


def held(here: Standing, stage: Stage) -> list[Write]:
    """While everything stands still: what keeps it standing still is put back."""
    spare, live = here.seen.contender, here.seen.incumbent
    if spare is None or spare.replicas == 0 or live is None or live.replicas == 0 or stage.name == HAND_BACK:
        return []
    if here.at in ("missing", "elsewhere"):
        return []
    return list(_to_pin(here))[:_MOST_AT_ONCE]


def _to_pin(here: Standing) -> Iterator[Write]:
    """What has to be there before a contender may have pods, and stay as long as both sides have some."""
    if here.incumbent_hash == here.contender_hash or not here.incumbent_hash or not here.contender_hash:
        return
    if here.at == "owner":
        side: Role = "contender" if here.record.stage > 0 and _is_ready(here, "contender") else "incumbent"
        yield _pointed(here, side)
    elif here.at in ("incumbent", "contender") and _moved_on(here, here.at):
        yield _pointed(here, here.at)
    for slot in both(here.seen):
        if not slot.paused:
            yield _patched(here, slot, {"paused": True}, f"pause {slot.name}")
    if here.preview is None and here.service is not None:
        yield pins.make_preview(
            here.record, here.seen, here.preview_name, here.service, here.app, here.own, here.contender_hash
        )
    elif here.preview is not None and selector_of(here.preview) != pins.pinned(here.own, here.contender_hash):
        yield pins.set_selector(
            here.record,
            here.seen,
            here.preview,
            pins.pinned(here.own, here.contender_hash),
            here.own,
            f"Service {here.preview_name} selects the contender",
        )


def backward(here: Standing) -> list[Write]:
    """The way back: requests first, then pods, then everything as it was."""
    live, spare, desired = here.seen.incumbent, here.seen.contender, here.record.desired
    if live is None:
        return []
    if not here.contender_gone and here.incumbent_hash:
        astray = here.at == "contender" or (here.at == "owner" and live.replicas > 0)
        if astray and _may_take_over(here):
            return [_pointed(here, "incumbent")]
        if here.at == "incumbent" and _moved_on(here, "incumbent"):
            return [_pointed(here, "incumbent")]
    if live.replicas != desired and (live.replicas < desired or _acted_upon(here)):
        return [_scaled(here, "incumbent", desired)]
    if spare is not None and spare.replicas > 0:
        return [_scaled(here, "contender", 0)] if _may_leave(here) else []
    if here.contender_gone:
        return _let_go(here)
    return []


def _may_take_over(here: Standing) -> bool:
    """Whether the incumbent has the pods for all requests, or at least no fewer than the contender has."""
    ready = here.seen.ready("incumbent")
    return ready > 0 and (ready >= here.need or ready >= here.seen.ready("contender"))


def _may_leave(here: Standing) -> bool:
    """Whether the contender's pods may go: nothing that somebody relies upon goes with them."""
    if not _acted_upon(here):
        return False
    if here.at == "missing":
        return here.seen.available("incumbent") >= here.need
    if here.reached["incumbent"] >= here.enough:
        return True
    return here.at == "incumbent" and here.reached["contender"] == 0


def _may_shrink(here: Standing, role: Role) -> bool:
    """Whether a side may follow a smaller D: the one that serves keeps D - U even if only ready pods go."""
    slot = here.slot(role)
    if slot is None or not _acted_upon(here):
        return False
    return here.at != role or here.seen.available(role) - (slot.replicas - here.record.desired) >= here.need


def _let_go(here: Standing) -> list[Write]:
    """The owner's selector, then both Deployments un-paused and the preview gone."""
    ours = here.service is not None and here.at not in ("missing", "elsewhere")
    if here.service is not None and ours and (here.at != "owner" or pins.pin_of(here.service) is not None):
        return [pins.give_back(here.service, here.own)]
    writes: list[Write] = [
        _patched(here, slot, {"paused": None}, f"resume {slot.name}") for slot in both(here.seen) if slot.paused
    ]
    if here.preview is not None and pins.is_ours(here.preview, here.app):
        writes.append(pins.remove(here.preview))
    return writes


def _is_ready(here: Standing, role: Role) -> bool:
    return here.seen.available(role) >= here.need


def _moved_on(here: Standing, role: Role) -> bool:
    """Whether the pods of a pinned side are in another ReplicaSet of the same version by now: somebody restarted it."""
    assert here.service is not None
    now = selector_of(here.service).get(pins.HASH)
    return bool(here.hash(role)) and now != here.hash(role)


def _acted_upon(here: Standing) -> bool:
    """Whether the controllers have seen the last change of both: pods of an unobserved change would count twice."""
    return all(slot.observed for slot in both(here.seen))


# ------------------------------------------------------------------------------------------------------ single writes


def _pointed(here: Standing, role: Role) -> ObjectWrite:
    assert here.service is not None
    wanted = pins.pinned(here.own, here.hash(role))
    summary = f"Service {here.name} points at the {role} ({pins.HASH}={here.hash(role)})"
    return pins.set_selector(here.record, here.seen, here.service, wanted, here.own, summary)


def _scaled(here: Standing, role: Role, replicas: int) -> SlotWrite:
    slot = here.slot(role)
    assert slot is not None
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=claims.claim(here.record, here.seen, role, replicas, claims.digest_of(here.record, role), PAUSED),
        summary=f"{role} {slot.name} {slot.replicas} -> {replicas}",
        replicas=replicas,
    )


def _patched(here: Standing, slot: SlotState, fields: Mapping[str, Any], summary: str) -> SlotWrite:
    role: Role = "incumbent" if slot is here.seen.incumbent else "contender"
    digest = claims.digest_of(here.record, role)
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=claims.claim(here.record, here.seen, role, slot.replicas, digest, PAUSED),
        summary=summary,
        fields=fields,
    )


def stamps(here: Standing) -> Iterator[Write]:
    """The stamps of this epoch on everything that the release moves and that does not carry them."""
    for slot, role in ((here.seen.contender, "contender"), (here.seen.incumbent, "incumbent")):
        if slot is not None and not claims.stamped(here.record, here.seen, slot):
            yield claims.stamp(here.record, here.seen, slot, "contender" if role == "contender" else "incumbent")
    if here.service is not None and here.at in ("incumbent", "contender"):
        pin = pins.pin_of(here.service)
        if pin is None or (pin.uid, pin.epoch) != (here.seen.uid, here.record.epoch):
            yield pins.stamp(here.record, here.seen, here.service, here.own)


def target(write: Write) -> tuple[str, str]:
    """Which object a write is for: no tick writes one twice."""
    return ("Deployment", write.name) if isinstance(write, SlotWrite) else (write.ref.kind, write.ref.name)
