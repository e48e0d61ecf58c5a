"""What a tick may write: each write is absolute, and refused where the object is no longer the one that was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controller.release.plan import ObjectWrite, SlotWrite


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """Merge-patch the status of a Release at `resource_version` -> the object as written."""

    namespace: str
    name: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteSlot:
    """Create or patch one Deployment -> the object as written."""

    namespace: str
    write: SlotWrite


@dataclass(frozen=True, slots=True)
class WriteObject:
    """Create, patch or delete one object beside the Deployments -> the object as written, None where it is gone."""

    namespace: str
    write: ObjectWrite


@dataclass(frozen=True, slots=True)
class WritePolicyStatus:
    """Merge-patch the status of a ReleasePolicy at `resource_version` -> the object as written."""

    namespace: str
    name: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteTrainStatus:
    """Merge-patch the status of a ReleaseTrain at `resource_version` -> the object as written."""

    namespace: str
    name: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateRelease:
    """Create a Release (a restore, where a record was lost) -> the object as written."""

    namespace: str
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteRelease:
    """Delete a finished Release beyond the history limit, only if it still has this uid -> None."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class WriteEvent:
    """Record a Kubernetes Event about a Release; best effort, the answer is not used.

    `name` is made from the release and the record's sequence, so that a repeated write is one event.
    """

    namespace: str
    name: str
    release: str
    release_uid: str
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str
    at: float


Write = (
    WriteRecord | WriteSlot | WriteObject | WritePolicyStatus | WriteTrainStatus | CreateRelease | DeleteRelease
    | WriteEvent
)  # fmt: skip
