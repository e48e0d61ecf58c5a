"""What the controller writes into the status of its objects; here only for the cluster's schema and the docs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, WithJsonSchema

from policies.model import Part

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]

PhaseName = Literal[
    "Queued",
    "Preflight",
    "Canary",
    "Batch",
    "RollingBack",
    "Succeeded",
    "RolledBack",
    "NeedsHuman",
    "Cancelled",
]

_BY_TYPE: dict[str, JsonValue] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class Condition(Part):
    """A condition in the form that kubectl wait, Argo CD and Flux understand."""

    type: str = Field(description="Ready, Reconciling or Stalled.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    observed_generation: int | None = Field(default=None, description="The generation of the spec this speaks of.")
    last_transition_time: Time | None = Field(default=None, description="When the status last changed.")
    reason: str | None = Field(default=None, description="The reason in one word.")
    message: str | None = Field(default=None, description="The reason in one sentence, with numbers.")


class HeldStatus(Part):
    """A hold beside the phase: always with what happens next, and when."""

    reason: str = Field(description="The reason in one word, such as Blind or PausedByPerson.")
    since: Time = Field(description="When the hold began.")
    until: Time | None = Field(default=None, description="When it ends by itself; absent: only a person ends it.")
    then: str | None = Field(default=None, description="What happens at `until`.")
    because: str | None = Field(default=None, description="The reason in one sentence, with numbers.")


class BatchStatus(Part):
    """The stage a release is in, and its pods."""

    index: int = Field(description="0 is the canary, 1 the first batch.")
    name: str | None = Field(
        default=None, description="The stage's own name, where it is no batch: preview, switch, keep, hand back."
    )
    of: int = Field(description="The number of batches after the canary.")
    contender: int = Field(description="Contender pods.")
    incumbent: int = Field(description="Incumbent pods.")
    desired: int = Field(description="Pods the app should have.")


class VerdictStatus(Part):
    """What one gate says."""

    gate: str = Field(description="The gate's name.")
    verdict: Literal["Healthy", "Undecided", "Blind", "Degraded", "Shared"] = Field(description="The verdict.")
    because: str | None = Field(default=None, description="The reason in one sentence, with numbers.")
    required: bool = Field(default=True, description="Whether the gate can stop the release.")
    evidence: Mapping[str, Any] | None = Field(default=None, description="The numbers behind the verdict.")


class SlotStatus(Part):
    """One of the two Deployments of a release."""

    name: str = Field(description="The Deployment's name.")
    uid: str | None = Field(default=None, description="The Deployment's uid.")
    digest: str | None = Field(default=None, description="The digest of the pod template.")
    replica_sets: tuple[str, ...] = Field(
        default=(), strict=False, description="The ReplicaSets whose pods belong to this side."
    )


class SlotsStatus(Part):
    """Which Deployment is which."""

    incumbent: SlotStatus | None = Field(default=None, description="The version that was live before.")
    contender: SlotStatus | None = Field(default=None, description="The version that is being released.")


class WatchStatus(Part):
    """What goes on after the success."""

    until: Time = Field(description="How long gates and alerts may bring the version before it back.")
    over: str | None = Field(default=None, description="Why the watch is over; absent while it lasts.")
    because: str | None = Field(default=None, description="What the watch has found, in one sentence with numbers.")
    release: str | None = Field(default=None, description="The release that brings the version before it back.")


class DecisionStatus(Part):
    """One line of the log of decisions."""

    at: Time = Field(description="When it was decided.")
    kind: str = Field(description="The decision in one word.")
    because: str = Field(description="The reason in one sentence, with numbers.")
    phase: PhaseName | None = Field(default=None, description="The phase that followed.")
    batch: int | None = Field(default=None, description="The stage that followed.")


class ReleaseStatus(Part):
    """The record of a release; the controller writes it and keeps no other memory."""

    observed_generation: int | None = Field(default=None, description="The generation of the spec that was seen last.")
    app: str | None = Field(default=None, description="The Deployment whose app is released.")
    phase: PhaseName | None = Field(default=None, description="Where the release stands.")
    since: Time | None = Field(default=None, description="Since when it stands there.")
    cause: str | None = Field(default=None, description="Why it turned or ended, in one word, such as GateDegraded.")
    because: str | None = Field(default=None, description="Why it stands there, in one sentence with numbers.")
    held: HeldStatus | None = Field(default=None, description="Why it stands still; absent while it moves.")
    held_reason: str | None = Field(default=None, description="`held.reason`, for the table of kubectl get.")
    batch: BatchStatus | None = Field(default=None, description="The stage and its pods.")
    batch_text: str | None = Field(
        default=None, description="The stage for the table of kubectl get: 2/4, or its own name."
    )
    verdict: str | None = Field(default=None, description="The worst verdict of the required gates.")
    verdicts: tuple[VerdictStatus, ...] = Field(default=(), strict=False, description="What each gate says.")
    conditions: tuple[Condition, ...] = Field(
        default=(), strict=False, description="Ready, Reconciling and Stalled.", json_schema_extra=_BY_TYPE
    )
    slots: SlotsStatus | None = Field(default=None, description="Which Deployment is which.")
    watch: WatchStatus | None = Field(default=None, description="The watch after the success, where there is one.")
    policy_digest: str | None = Field(default=None, description="The digest of the policy the release is bound to.")
    epoch: int | None = Field(default=None, description="Counts the changes of phase; stamped on what is written.")
    decisions: tuple[DecisionStatus, ...] = Field(default=(), strict=False, description="The last decisions.")
    record: Mapping[str, Any] | None = Field(default=None, description="The controller's own state; not for reading.")


class ToldAlert(Part):
    """An alert that a post of Alertmanager has told of."""

    fingerprint: str = Field(description="What Alertmanager calls this alert: a hash of its labels.")
    alert: str | None = Field(default=None, description="The alert's name.")
    labels: Mapping[str, str] = Field(default={}, description="Its labels.")
    since: Time = Field(description="When it began to fire.")
    heard: Time = Field(description="When the post came.")
    ended: Time | None = Field(default=None, description="When a post said that it is over.")
    confirmed: bool = Field(default=False, description="Whether Alertmanager itself said then that it fires.")
    summary: str | None = Field(default=None, description="The alert's own words.")


class ReleasePolicyStatus(Part):
    """What the controller says about a policy."""

    observed_generation: int | None = Field(default=None, description="The generation of the spec that was seen last.")
    because: str | None = Field(default=None, description="Why the policy is ready or refused, in one sentence.")
    inbox: tuple[ToldAlert, ...] = Field(
        default=(), strict=False, description="What posts of Alertmanager have told of the app, oldest first."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), strict=False, description="Ready, Reconciling and Stalled.", json_schema_extra=_BY_TYPE
    )


class DepartureStatus(Part):
    """A release that has left with the train."""

    release: str = Field(description="The release's name.")
    uid: str = Field(description="The release's uid.")
    policy: str = Field(description="Its policy, the car.")
    at: Time = Field(description="When it was let go.")
    ended: PhaseName | None = Field(default=None, description="How it ended; absent while it is under way.")


class WaitingStatus(Part):
    """A release that waits for its turn."""

    release: str = Field(description="The release's name.")
    uid: str = Field(description="The release's uid.")
    policy: str = Field(description="Its policy, the car.")
    because: str = Field(description="What it waits for, in one sentence.")


class NightStatus(Part):
    """The train's present or last night."""

    id: str = Field(description="The date of the night: that of its opening in the zone of the window.")
    opened: Time = Field(description="When it opened.")
    closes: Time = Field(description="When it closes.")
    closed: Time | None = Field(default=None, description="When the train saw its end; it does not open again.")
    departed: tuple[DepartureStatus, ...] = Field(
        default=(), strict=False, description="What has left, in this order. Written before it leaves."
    )
    waiting: tuple[WaitingStatus, ...] = Field(default=(), strict=False, description="What has not left yet, and why.")
    stopped: str | None = Field(default=None, description="Why the line was stopped; absent while it is not.")
    recalled: str | None = Field(default=None, description="Why the cars are called back; absent while they are not.")
    over: Time | None = Field(default=None, description="When all that had left had ended.")
    reported: tuple[str, ...] = Field(default=(), strict=False, description="The notifiers that have had the report.")


class ReleaseTrainStatus(Part):
    """What the controller says of a train; it is the only writer, and keeps no other memory of it."""

    observed_generation: int | None = Field(default=None, description="The generation of the spec that was seen last.")
    phase: Literal["Refused", "Closed", "Frozen", "Open", "Stopped", "Recalling"] | None = Field(
        default=None, description="What the train does now."
    )
    because: str | None = Field(default=None, description="Why, in one sentence.")
    counts: str | None = Field(default=None, description="Of the night, for the table of kubectl get: 2 left, 1 waits.")
    conditions: tuple[Condition, ...] = Field(
        default=(), strict=False, description="Ready: whether the train can leave.", json_schema_extra=_BY_TYPE
    )
    night: NightStatus | None = Field(default=None, description="The present night, or the last one.")
