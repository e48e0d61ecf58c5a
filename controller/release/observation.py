"""What is seen of a release at one instant: everything that one decision rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.release.names import AppKey, Ref
from controller.release.vocabulary import Phase, Role
from controller.release.words import command

CLOCK_SET_BACK = 60.0  # seconds; a pod that became ready that far in the future was ready before a clock was set back


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod as the API server shows it. `ready_since` is the Ready condition's last transition.

    ended: phase Failed or Succeeded, as an evicted pod stays for days. Its ReplicaSet has replaced it.
    """

    name: str
    replica_set: str
    ready: bool = False
    ready_since: float = 0.0
    terminating: bool = False
    ended: bool = False
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
    """A complete list of pods, without those that have ended, and the resourceVersion at which it was true."""

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
    heard: when it had it, 0 for never. over: whether a post alone says so, and the level not any more.
    """

    fingerprint: str
    name: str
    labels: Mapping[str, str]
    since: float
    then: Literal["rollBack", "pause"]
    told: bool = False
    summary: str = ""
    heard: float = 0.0
    over: bool = False


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

    app: AppKey
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

    def command(self, verb: str) -> str:
        """A command about the app, for a person."""
        return command(verb, self.app.policy, self.app.namespace)

    def available(self, role: Role) -> int:
        slot, pods = (self.incumbent, self.incumbents) if role == "incumbent" else (self.contender, self.contenders)
        return 0 if slot is None else sum(pod.available(self.now, slot.min_ready) for pod in pods)

    def ready(self, role: Role) -> int:
        """Pods that serve, for however short a time."""
        pods = self.incumbents if role == "incumbent" else self.contenders
        return sum(pod.ready and not pod.terminating for pod in pods)
