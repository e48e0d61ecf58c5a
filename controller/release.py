"""The nouns of a release: what is asked, what is recorded, what is observed, what is decided and planned.

Everything here is a frozen value without behaviour beyond reading itself. The record (`Record`) is the whole memory
of a release: it lives in the status of the `Release` object, and a controller that was killed at any instant goes on
from it and from the observed objects alone.

Times are seconds since the epoch (UTC, float); durations are seconds; counts of pods are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from analysis.verdict import Verdict

RECORD_VERSION = 1
GROUP = "nightferry.dev"
CLAIM_ANNOTATION = f"{GROUP}/claim"
MADE_BY = {"app.kubernetes.io/managed-by": "nightferry"}  # labels of what we make beside the Deployments
SLOT_LABEL = f"{GROUP}/slot"
CLOCK_SET_BACK = 60.0  # seconds; a pod that became ready that far in the future was ready before a clock was set back


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


Role = Literal["incumbent", "contender"]
Kind = Literal[
    "Service", "Endpoints", "Ingress", "HTTPRoute", "VirtualService", "DestinationRule", "ConfigMap", "Job",
    "HorizontalPodAutoscaler",
]  # fmt: skip
Origin = Literal["change", "rollback", "restore", "home"]


@dataclass(frozen=True, slots=True)
class AppKey:
    """The unit that ticks alone: one policy of one namespace."""

    namespace: str
    policy: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.policy}"


@dataclass(frozen=True, slots=True)
class TrainKey:
    """What ticks beside the apps: one train of one namespace."""

    namespace: str
    train: str

    def __str__(self) -> str:
        return f"{self.namespace}/train/{self.train}"


Key = AppKey | TrainKey


@dataclass(frozen=True, slots=True)
class Ref:
    """An object of the app's namespace that stands beside its Deployments."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


# ---------------------------------------------------------------------------------------------- the record


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a release: the pods of both versions, and who lets it go on.

    weight: percent of the traffic that the contender gets by a router, None where traffic follows the pods.
    gated: whether gates watch it; a stage that is not gated only has to settle. least: seconds that it is watched at
    least, where it says so itself instead of the policy. name: what people call it, "" for canary and batches.
    """

    contender: int
    incumbent: int
    weight: int | None = None
    gated: bool = True
    by_hand: bool = False
    least: float | None = None
    name: str = ""
    beside: bool = True  # whether the incumbent serves too; else gates know it from before the release only


@dataclass(frozen=True, slots=True)
class Saved:
    """What a release borrows for its own length, as it was before: given back in every ending.

    fields: canonical JSON of the fields by their path, null where the field was not set; text, because a merge patch
    would merge a map.
    """

    kind: str
    name: str
    uid: str
    fields: str


@dataclass(frozen=True, slots=True)
class Held:
    """A hold: `until` is None where only a person ends it; `then` names what happens at `until`."""

    reason: HoldReason
    since: float
    until: float | None = None  # a merge patch drops what is null, so every nullable field has a default
    then: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """What a release knows of one of its two Deployments. `replica_sets` are the names whose pods it has seen."""

    name: str
    uid: str
    digest: str
    replica_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of settled time, in which metric windows count; `end` is None while it lasts."""

    start: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What one gate says at a look, with its evidence as plain JSON types."""

    gate: str
    verdict: Verdict
    because: str
    required: bool = True
    observed: float = 0.0  # seconds of usable contender windows in the present settled span
    watched: float = 0.0  # seconds of usable contender windows in the present batch
    leaning: bool = False  # worse than chance explains, not enough to turn back: it must not go on by itself
    could_hide: float | None = None  # the smallest harm that is ruled out, as a ratio: anything below may be hidden
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Relied:
    """The baseline that a release began with. Thresholds that changed in mid-release would void what they promise.

    digest: of the policy's part that learning depends on. learned_at: epoch seconds. gates: "name margin" of the gates
    that it knew, because an edit may tighten a margin afterwards.
    """

    digest: str
    learned_at: float
    gates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """How the app's number of one gate should go on for an hour from `origin` (epoch seconds), as its band saw it then.

    It is kept because it cannot be made again: what came after the origin must not have a part in it. numbers: as
    `analysis.band.Opening` writes them. absent: why there is none, or "".
    """

    gate: str
    origin: float
    numbers: Mapping[str, Any] = field(default_factory=dict)
    absent: str = ""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a gate has asked outside the metric store in a stage: a Job that runs, or calls of a webhook.

    since: when it began to ask. tries: calls so far. found: the uid of the Job that was seen. said: the last answer,
    None before any; a Job that has ended, and a webhook that has said healthy or degraded, are not asked again.
    """

    gate: str
    stage: int
    since: float
    tries: int = 0
    found: str = ""
    said: Verdict | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class KnownAlert:
    """An alert that this release has met, so that it is told once and charged once.

    since: when it began to fire. heard: when the receiver of posts had it, 0 where it came by the level alone.
    part: before (it fired when the release began, and does not count), charged (it turned the release back, or held
    it), muted (silenced or inhibited), late (the release was going back already), idle (mode observe).
    """

    fingerprint: str
    name: str
    since: float
    at: float
    part: Literal["before", "charged", "muted", "late", "idle"]
    heard: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people are to be told, by one notifier; it stays in the record until it was sent.

    id: the same for a repetition. notifier: kind and name. event: the policy's word for what happened, at `stage` of
    `stages`. done: sent, or given up with the reason in `failed`.
    """

    id: str
    notifier: str
    event: str
    at: float
    because: str = ""
    done: bool = False
    failed: str = ""
    stage: int = 0
    stages: int = 0
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Watching:
    """The watch of a release that has succeeded: gates and alerts go on, and the way back is kept.

    over: why it has ended, "" while it lasts. back: the release that brings the version before it back, "" for none.
    asked: whether that release was created.
    """

    since: float
    until: float
    over: str = ""
    back: str = ""
    asked: bool = False
    blind_since: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the decision log that `explain` prints: what was decided, when, and the numbers behind it."""

    at: float
    kind: str
    because: str
    phase: Phase
    stage: int
    verdicts: tuple[GateVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """The whole memory of one release; written with compare-and-swap before anything it announces is done."""

    phase: Phase = Phase.QUEUED
    since: float = 0.0  # when the present phase began
    because: str = ""
    cause: Cause | None = None
    turned: Cause | None = None  # why it turned back: `cause` is that of its end
    origin: Origin = "change"
    asked: str = ""  # digest of what the release asked for when it began; "" before
    epoch: int = 0  # raised at every change of phase and stamped on both slots: a paused writer is fenced by it
    sequence: int = 0  # raised at every write of the record
    written: float = 0.0  # when it was written last
    latest: float = 0.0  # the latest time at which it was written: a clock that is set back reopens no window
    intent: str = ""  # the write that follows this record
    policy: str = ""  # the pinned policy as canonical JSON: text, because a merge patch would merge a map
    policy_digest: str = ""
    desired: int = 0
    stage: int = 0  # 0 is the canary, i is batch i
    stages: int = 0  # number of batches after the canary
    stage_since: float = 0.0
    started: float = 0.0  # when capacity began to move; the release deadline counts from here
    excused: float = 0.0  # seconds a person held it: not charged to the release deadline
    excused_since: float | None = None
    moving_since: float | None = None  # last progress of a batch not yet settled; the batch deadline counts from here
    observing: tuple[Span, ...] = ()
    held: Held | None = None
    reversals: tuple[str, ...] = ()  # "slot@generation" of each time somebody undid the replicas we had set
    ready: tuple[int, int] = (0, 0)  # available pods of contender and incumbent at the last write
    incumbent: SlotRecord | None = None
    contender: SlotRecord | None = None
    saved: tuple[Saved, ...] = ()  # what the release borrows, as it was before: given back in every ending
    skip_gates: str = ""
    notes: tuple[str, ...] = ()
    baseline: Relied | None = None  # None: it began without one, and goes on without one
    forecasts: tuple[Forecast, ...] = ()  # at most one per gate
    inquiries: tuple[Inquiry, ...] = ()  # at most one per gate
    verdicts: tuple[GateVerdict, ...] = ()
    verdicts_at: float = 0.0
    decisions: tuple[Entry, ...] = ()
    watch: Watching | None = None  # what goes on after the success
    notices: tuple[Notice, ...] = ()  # what people are to be told, oldest first
    alerts: tuple[KnownAlert, ...] = ()  # oldest first, bounded
    version: int = RECORD_VERSION

    @property
    def ended(self) -> bool:
        return self.phase in ENDS

    @property
    def watched(self) -> bool:
        """Whether something goes on although the release has ended."""
        return self.watch is not None and not (self.watch.over and self.watch.asked == bool(self.watch.back))


ENDS = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN, Phase.CANCELLED})
FORWARD = frozenset({Phase.CANARY, Phase.BATCH})


# ----------------------------------------------------------------------------------------- the observation


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod as the API server shows it. `ready_since` is the Ready condition's last transition."""

    name: str
    replica_set: str
    ready: bool = False
    ready_since: float = 0.0
    terminating: bool = False
    restarts: int = 0
    restarted_at: tuple[float, ...] = ()
    waiting: str = ""  # the reason of a waiting container, such as ImagePullBackOff
    message: str = ""
    unschedulable: bool = False
    node: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def available(self, now: float, min_ready: float) -> bool:
        """Ready for `min_ready` seconds. A clock that was set back does not make a serving pod unavailable."""
        age = now - self.ready_since
        return self.ready and not self.terminating and (age >= min_ready or min_ready <= 0.0 or age < -CLOCK_SET_BACK)


@dataclass(frozen=True, slots=True)
class PodList:
    """A complete list of pods and the resourceVersion at which it was true."""

    items: tuple[PodState, ...]
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Our annotation on a slot: who moves it, and the replicas we last wrote, so that another's write is seen."""

    release: str
    uid: str
    role: Role
    phase: Phase
    epoch: int
    replicas: int
    desired: int
    digest: str = ""
    saved: str = ""  # fields of this Deployment that the release borrows, as in `Saved`: the way back without a record
    paused: bool | None = None  # whether we left the Deployment paused; None where a strategy never pauses one


@dataclass(frozen=True, slots=True)
class SlotState:
    """One of the app's two Deployments as the API server shows it; `raw` is the object itself."""

    name: str
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    replicas: int
    paused: bool
    digest: str
    min_ready: float
    claim: Claim | None
    blocked: str  # message of the ReplicaFailure condition (quota, admission), or ""
    deleting: bool
    raw: Mapping[str, Any]

    @property
    def observed(self) -> bool:
        return self.observed_generation >= self.generation


@dataclass(frozen=True, slots=True)
class ReplicaSetState:
    """One ReplicaSet of the app; `hash` is its pod-template-hash, `digest` that of its template without the hash."""

    name: str
    uid: str
    deployment: str
    hash: str
    digest: str
    replicas: int
    min_ready: float
    revision: int
    template: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people asked of a release that runs: the verbs are fields of its spec."""

    paused: bool = False
    promote: int | None = None  # the batch that may begin
    abort: str | None = None  # a reason; "" counts
    unclear: str = ""  # why the spec is refused since somebody edited it: nobody knows what is asked


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that fires at this instant and matches the policy.

    then: what the policy wants of it. since: epoch seconds at which it began. told: whether the receiver had it.
    heard: when it had it, 0 for never.
    """

    fingerprint: str
    name: str
    labels: Mapping[str, str]
    since: float
    then: Literal["rollBack", "pause"]
    told: bool = False
    summary: str = ""
    heard: float = 0.0


@dataclass(frozen=True, slots=True)
class Night:
    """What windows, freezes and trains say of this instant to a release under way.

    closed: why its window is closed, or "". opens: when it opens again. frozen: why nothing may advance, or "". thaws:
    when that ends. recalled: why a train calls its cars back, or "".
    """

    closed: str = ""
    opens: float | None = None
    frozen: str = ""
    thaws: float | None = None
    recalled: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything one decision rests on. A slot that does not exist is None; its pods are then empty."""

    release: str
    uid: str
    now: float
    incumbent: SlotState | None
    contender: SlotState | None
    incumbents: tuple[PodState, ...] = ()
    contenders: tuple[PodState, ...] = ()
    replica_sets: tuple[ReplicaSetState, ...] = ()
    objects: Mapping[Ref, Mapping[str, Any] | None] = field(default_factory=dict)  # what the strategy asked to see
    wishes: Wishes = Wishes()
    policy_exists: bool = True
    policy_refused: str = ""  # why it is no policy since somebody edited it
    superseded_by: str = ""
    night: Night = Night()
    firing: tuple[Firing, ...] | None = ()  # those that count against this release; None: nobody could be asked
    unheard: str = ""  # why nobody could be asked what fires
    others: tuple[str, ...] = ()  # what else was released beside this, where an alert asks for a culprit
    first_sample_by: float = 0.0  # until then a gate without data is waiting for its first windows, not blind

    def available(self, role: Role) -> int:
        slot, pods = (self.incumbent, self.incumbents) if role == "incumbent" else (self.contender, self.contenders)
        return 0 if slot is None else sum(pod.available(self.now, slot.min_ready) for pod in pods)

    def ready(self, role: Role) -> int:
        """Pods that serve, for however short a time."""
        pods = self.incumbents if role == "incumbent" else self.contenders
        return sum(pod.ready and not pod.terminating for pod in pods)


# ------------------------------------------------------------------------------------ decisions and plans


@dataclass(frozen=True, slots=True)
class Proceed:
    """Go on with the present batch: move towards its target, or watch it."""

    because: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the split exactly as it is."""

    reason: HoldReason
    because: str
    until: float | None
    then: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Begin batch `stage`."""

    stage: int
    because: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """Turn back: the incumbent to its full size, the contender to nothing."""

    cause: Cause
    because: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End the release; ends are absorbing."""

    phase: Phase
    cause: Cause
    because: str


Decision = Proceed | Hold | Advance | RollBack | Finish


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
