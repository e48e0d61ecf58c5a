"""The claim of a release on a slot, as every strategy writes it: fencing stamps, and what a slot was given."""

from __future__ import annotations

from controller.release.observation import Claim, Observation, SlotState
from controller.release.plan import PatchSlot, Plan
from controller.release.record import Record
from controller.release.vocabulary import Role


def claim(record: Record, seen: Observation, role: Role, replicas: int, digest: str, saved: str = "") -> Claim:
    """What we say on a slot when we set it to `replicas`. `saved`: fields of it that are borrowed, as they were."""
    return Claim(
        release=seen.release,
        uid=seen.uid,
        role=role,
        phase=record.phase,
        epoch=record.epoch,
        replicas=replicas,
        desired=record.desired,
        digest=digest,
        saved=saved,
    )


def claimed(seen: Observation, slot: SlotState | None) -> bool:
    """Whether the slot carries the claim of this release."""
    return slot is not None and slot.claim is not None and slot.claim.uid == seen.uid


def holds(seen: Observation, slot: SlotState) -> bool:
    """Whether the claim is ours and knows the slot's replicas: who scales it before the start undoes nothing."""
    return slot.claim is not None and slot.claim.uid == seen.uid and slot.claim.replicas == slot.replicas


def stamped(record: Record, seen: Observation, slot: SlotState) -> bool:
    """Whether the claim is ours, of this epoch, and says what the slot has."""
    found = slot.claim
    return (
        found is not None
        and found.uid == seen.uid
        and found.epoch == record.epoch
        and found.replicas == slot.replicas
        and found.desired == record.desired
    )


def stamp(record: Record, seen: Observation, slot: SlotState, role: Role) -> PatchSlot:
    """The write that claims a slot as it is; it moves nothing."""
    saved = slot.claim.saved if slot.claim is not None else ""
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=claim(record, seen, role, slot.replicas, digest_of(record, role), saved),
        summary=f"claim {slot.name} as {role}",
    )


def digest_of(record: Record, role: Role) -> str:
    """The version that the release is bound to on a side; "" before its start."""
    slot = record.contender if role == "contender" else record.incumbent
    return slot.digest if slot is not None else ""


def released(uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
    """The writes that take the claims of an ended release away."""
    found = {slot.name: slot for slot in slots if slot is not None and slot.claim is not None and slot.claim.uid == uid}
    return Plan(
        tuple(
            PatchSlot(slot.name, slot.resource_version, claim=None, summary=f"release the claim on {slot.name}")
            for slot in found.values()
        )
    )


def set_by_others(slot: SlotState, uid: str) -> bool:
    """Whether the slot's replicas are not those that we wrote."""
    return stripped(slot, uid) or (slot.claim is not None and slot.claim.replicas != slot.replicas)


def stripped(slot: SlotState, uid: str) -> bool:
    """Whether somebody took our claim away."""
    return slot.claim is None or slot.claim.uid != uid


def reversal(slot: SlotState) -> str:
    """One undoing of our replicas, named by the slot's generation so that it is counted once."""
    return f"{slot.name}@{slot.generation}"
