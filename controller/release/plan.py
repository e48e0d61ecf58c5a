"""The writes that follow from a decision: on the Deployments, and on the objects beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.release.names import Ref
from controller.release.observation import Claim


@dataclass(frozen=True, slots=True)
class CreateSlot:
    """Create the spare Deployment, at zero replicas."""

    name: str
    manifest: Mapping[str, Any]
    summary: str


@dataclass(frozen=True, slots=True)
class PatchSlot:
    """A JSON merge patch on a slot, refused by the API server unless the slot is still at `resource_version`.

    `replicas` is the number it sets, or None where it moves no capacity; `template` replaces the pod template whole.
    """

    name: str
    resource_version: str
    claim: Claim | None  # None removes the claim
    summary: str
    replicas: int | None = None
    template: Mapping[str, Any] | None = None
    min_ready: float | None = None
    fields: Mapping[str, Any] | None = None  # further fields of `spec` as a merge patch (paused, strategy, ...)
    annotations: Mapping[str, str | None] | None = None  # further annotations of ours, None where one goes


@dataclass(frozen=True, slots=True)
class CreateObject:
    """Create an object beside the Deployments; one that exists already is looked at in the next tick."""

    ref: Ref
    manifest: Mapping[str, Any]
    summary: str


@dataclass(frozen=True, slots=True)
class PatchObject:
    """A JSON merge patch on an object beside the Deployments, refused unless it is still at `resource_version`."""

    ref: Ref
    resource_version: str
    patch: Mapping[str, Any]
    summary: str


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Delete an object that we made, if it still is that one."""

    ref: Ref
    uid: str
    resource_version: str
    summary: str


SlotWrite = CreateSlot | PatchSlot
ObjectWrite = CreateObject | PatchObject | DeleteObject


@dataclass(frozen=True, slots=True)
class Plan:
    """The writes of one tick, in order; at most the last one changes capacity or traffic."""

    writes: tuple[SlotWrite | ObjectWrite, ...] = ()

    @property
    def summary(self) -> str:
        return "; ".join(write.summary for write in self.writes)

    @property
    def moves(self) -> bool:
        """Whether one of the writes changes capacity or traffic: more than a stamp."""
        return any(moves(write) for write in self.writes)


def moves(write: SlotWrite | ObjectWrite) -> bool:
    """Whether a write changes anything beside our own annotation."""
    if isinstance(write, PatchSlot):
        return any(part is not None for part in (write.replicas, write.template, write.min_ready, write.fields))
    return True
