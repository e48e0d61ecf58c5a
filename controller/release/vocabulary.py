"""The words that stand in a record for a phase, for a hold, and for the reason of a turn or an ending."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Phase(StrEnum):
    """Where a release stands. The legal moves between phases are the table in `transitions`."""

    QUEUED = "Queued"
    PREFLIGHT = "Preflight"
    CANARY = "Canary"
    BATCH = "Batch"
    ROLLING_BACK = "RollingBack"
    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"
    NEEDS_HUMAN = "NeedsHuman"
    CANCELLED = "Cancelled"


class HoldReason(StrEnum):
    """Why a release stands still beside its phase. A hold always says until when, and what happens then."""

    BLIND = "Blind"
    UNDECIDED = "Undecided"
    DEGRADED = "Degraded"
    MANUAL = "Manual"
    PAUSED_BY_PERSON = "PausedByPerson"
    PODS_LOST = "PodsLost"
    QUOTA = "Quota"
    UNSCHEDULABLE = "Unschedulable"
    NOT_OBSERVED = "NotObserved"
    INCUMBENT_UNHEALTHY = "IncumbentUnhealthy"
    INCUMBENT_CHANGED = "BaselineVersionChanged"
    POLICY_GONE = "PolicyGone"
    PREFLIGHT_BLIND = "PreflightBlind"
    LEARNING = "Learning"
    SHARED = "Shared"
    WINDOW_CLOSED = "WindowClosed"
    FROZEN = "Frozen"
    NOT_BEFORE = "NotBefore"
    AWAITS_TRAIN = "AwaitsTrain"
    QUARANTINED = "Quarantined"
    ALERT = "Alert"


class Cause(StrEnum):
    """The named reason of a turn or of an ending. Tests and reports count these, never the sentence beside them."""

    GATE = "GateDegraded"
    BLIND = "Blind"
    UNDECIDED = "Undecided"
    SHARED = "Shared"
    ALERT = "Alert"
    ALERT_ALREADY_FIRING = "AlertAlreadyFiring"
    WINDOW_CLOSED = "WindowClosed"
    TRAIN_STOPPED = "TrainStopped"
    QUARANTINED = "Quarantined"
    CRASH_LOOP = "CrashLoop"
    IMAGE_PULL = "ImagePull"
    BATCH_DEADLINE = "BatchDeadline"
    RELEASE_DEADLINE = "ReleaseDeadline"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    CONTENDER_CHANGED = "ContenderChanged"
    CONTENDER_MISSING = "ContenderMissing"
    POLICY_GONE = "PolicyGone"
    RESTORE = "Restore"
    COMPLETED = "Completed"
    RESTORED = "Restored"
    REFUSED = "Refused"
    WORKLOAD_MISSING = "WorkloadMissing"
    WORKLOAD_REPLACED = "WorkloadReplaced"
    INCUMBENT_CHANGED = "BaselineVersionChanged"
    ROUTE_MISSING = "RouteMissing"
    ROUTE_CHANGED = "RouteChanged"
    FIELD_FIGHT = "FieldFight"
    RECORD_INVALID = "RecordInvalid"
    STATE_REGRESSED = "StateRegressed"
    ROLLBACK_BLOCKED = "RollbackBlocked"


ENDS = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN, Phase.CANCELLED})
FORWARD = frozenset({Phase.CANARY, Phase.BATCH})

Role = Literal["incumbent", "contender"]
Origin = Literal["change", "rollback", "restore", "home"]
