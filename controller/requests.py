"""What a tick may ask of the world, and what the world may answer.

The tick is a generator that yields one request at a time and is sent one answer. Three shells perform the requests:
the loop against a real cluster and a real metric store, the simulation in virtual time, and the tests, which stop a
tick after any request or answer it with a fault.

An answer is the thing asked for, or a `Failure`. A failure is a value, never an exception, and never looks like an
empty list: absence (`FailureKind.ABSENT`) is one thing, not knowing is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from analysis.samples import CounterSeries
from controller.release.names import Ref
from controller.release.observation import PodList, ReplicaSetState
from controller.release.plan import ObjectWrite, SlotWrite
from policies.schema import GateKind, Query, Selector


class FailureKind(StrEnum):
    """What kept an answer away, by what the tick has to do about it."""

    ABSENT = "Absent"  # 404 of the object: it does not exist
    NO_KIND = "NoKind"  # 404 of the kind: our CRD is gone
    CONFLICT = "Conflict"  # 409: somebody wrote in between; look again and decide again
    EXISTS = "Exists"  # 409 of a create
    FORBIDDEN = "Forbidden"  # 403
    UNAUTHORIZED = "Unauthorized"  # 401
    INVALID = "Invalid"  # 400, 422, or an admission webhook's refusal: the message says why
    THROTTLED = "Throttled"  # 429; retry_after is set
    UNAVAILABLE = "Unavailable"  # 5xx, refused, reset, timed out, undecodable
    STALE = "Stale"  # the shell refuses a write that rests on a read too old


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `message` is one line, safe to log, without secrets; `retry_after` in seconds."""

    kind: FailureKind
    message: str
    retry_after: float | None = None


# ------------------------------------------------------------------------------------------------- reads


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """-> the ReleasePolicy object as a dict, from the watch cache."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ReadReleases:
    """-> list of the policy's Release objects as dicts; `fresh` reads through the watch cache with a quorum.

    A policy of "" means the releases of every policy.
    """

    namespace: str
    policy: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadRelease:
    """-> one Release object as a dict, quorum read."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ReadSlot:
    """-> a Deployment object as a dict."""

    namespace: str
    name: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadPods:
    """-> PodList of the pods that carry all these labels. Complete or a Failure; never a partial list."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadReplicaSets:
    """-> ReplicaSetList of the ReplicaSets that carry all these labels. Complete or a Failure."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaSetList:
    """A complete list of ReplicaSets and the resourceVersion at which it was true."""

    items: tuple[ReplicaSetState, ...]
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class ReadObject:
    """-> an object beside the Deployments as a dict; ABSENT where it, NO_KIND where its kind does not exist."""

    namespace: str
    ref: Ref
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadNeighbours:
    """-> Neighbours: what else in the namespace touches the app. Asked in preflight only."""

    namespace: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Objects as dicts: the other policies, the autoscalers and the Services of the namespace."""

    policies: Sequence[Mapping[str, Any]] = ()
    autoscalers: Sequence[Mapping[str, Any]] = ()
    services: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """A verb on a resource, such as ("patch", "apps", "deployments")."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class ReviewAccess:
    """-> tuple of the permissions that the controller lacks in this namespace (empty: it may do all of them)."""

    namespace: str
    permissions: tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class ReadBaseline:
    """-> the Baseline object called as the policy, as a dict from the watch cache; a Failure ABSENT without one."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class CallWebhook:
    """-> Spoken: one signed POST to an endpoint of the configuration; `id` is the same for a repetition."""

    endpoint: str
    id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """An endpoint's answer, not judged: the HTTP status and the body, cut to its bound."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ReadPolicies:
    """-> list of the namespace's ReleasePolicy objects as dicts, from the watch cache."""

    namespace: str


@dataclass(frozen=True, slots=True)
class ReadTrains:
    """-> list of the namespace's ReleaseTrain objects as dicts, from the watch cache; NO_KIND where there are none."""

    namespace: str


@dataclass(frozen=True, slots=True)
class ReadTrain:
    """-> one ReleaseTrain object as a dict, quorum read."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ReadFiring:
    """-> FiringAlerts: every alert that fires at this instant and carries all labels of one of `matches`."""

    matches: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class FiringAlerts:
    """Alerts as Alertmanager's API v2 gives them (dicts with fingerprint, labels, annotations, startsAt, status)."""

    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """-> Delivery: hand a notice to its notifier without waiting; `id` is the same for a repetition."""

    notifier: str
    id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a notice stands. pending: on its way, ask again after `again_in` seconds; failed: it will not arrive."""

    state: Literal["pending", "sent", "failed"]
    because: str = ""
    again_in: float = 1.0


Term = Literal["errors", "requests", "buckets", "events", "readings"]


@dataclass(frozen=True, slots=True)
class FetchCounts:
    """-> Counts: cumulative counters of the pods of some ReplicaSets, at `start, start + step, ... <= end`.

    Aggregated on the store to one series per pod (and per `le` for term "buckets", and per value of the label
    `stratum`, if given) and no further. Pods are matched by the names of their ReplicaSets, so that pods already gone
    still count. `fresh_within` is the greatest age, in seconds, that a sample may have at an instant.
    """

    source: str
    gate: str
    term: Term
    selector: Selector
    namespace: str
    namespace_label: str
    pod_label: str
    replica_sets: tuple[str, ...]
    start: float
    end: float
    step: float
    fresh_within: float
    stratum: str | None = None
    values: tuple[str, ...] = ()  # whole values of `pod_label` instead of the pods of ReplicaSets: one series for each


@dataclass(frozen=True, slots=True)
class FetchReadings:
    """-> Counts: what a gauge's query says of the pods of some ReplicaSets, at `start, start + step, ... <= end`.

    One series per pod, `le` and `stratum` None; a reading may be any finite number.
    """

    source: str
    gate: str
    query: Query
    namespace: str
    pod_label: str
    replica_sets: tuple[str, ...]
    start: float
    end: float
    step: float

    @property
    def term(self) -> Term:
        return "readings"


@dataclass(frozen=True, slots=True)
class Counts:
    """The usable answer of a metric store: a success without warnings, of the declared type."""

    series: tuple[CounterSeries, ...]


@dataclass(frozen=True, slots=True)
class FetchTotals:
    """-> Totals: one number for all pods of some Deployments together, at `start, start + step, ... <= end`.

    The very series from which the band of a gate is learned. errorRatio: the share of failed requests. latency: the
    95th percentile in seconds. throughput: events per second. gauge: the mean over pods. `selectors` by the names of
    the policy's fields; `query` for a gauge.
    """

    source: str
    gate: str
    of: GateKind
    selectors: tuple[tuple[str, Selector], ...]
    query: Query | None
    namespace: str
    namespace_label: str
    pod_label: str
    deployments: tuple[str, ...]
    start: float
    end: float
    step: float
    fresh_within: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers at instants in seconds, ascending, with holes where there was nothing."""

    times: tuple[float, ...]
    values: tuple[float, ...]


# ------------------------------------------------------------------------------------------------ writes


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


Fetch = FetchCounts | FetchReadings | FetchTotals  # what a metric store answers
Look = (
    ReadPolicy | ReadReleases | ReadRelease | ReadSlot | ReadReplicaSets | ReadObject | ReadPods | ReadNeighbours
    | ReadBaseline | ReviewAccess | ReadPolicies | ReadTrains | ReadTrain
)  # fmt: skip
Read = Look | Fetch | CallWebhook | ReadFiring | Deliver
Write = (
    WriteRecord | WriteSlot | WriteObject | WritePolicyStatus | WriteTrainStatus | CreateRelease | DeleteRelease
    | WriteEvent
)  # fmt: skip
Request = Read | Write

Answer = (
    Mapping[str, Any]
    | Sequence[Mapping[str, Any]]
    | PodList
    | ReplicaSetList
    | Neighbours
    | tuple[Permission, ...]
    | Counts
    | Totals
    | Spoken
    | FiringAlerts
    | Delivery
    | Failure
    | None
)


def objects_in(answer: Answer) -> list[Mapping[str, Any]]:
    """The objects of a list; none where the answer is something else."""
    return [each for each in answer if isinstance(each, Mapping)] if isinstance(answer, list | tuple) else []


_FIRST_WINDOWS = 3  # in which a gate may wait for its first samples before it counts as blind


@dataclass(frozen=True, slots=True)
class Source:
    """A metric source as the tick knows it: seconds between scrapes and the length of a window (>= 2 scrapes)."""

    scrape: float = 15.0
    window: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.scrape <= self.window:
            raise ValueError(f"a window ({self.window:g} s) must hold at least two scrapes ({self.scrape:g} s)")

    @property
    def patience(self) -> float:
        """Seconds within which the first samples of something new are waited for; later it counts as blind."""
        return _FIRST_WINDOWS * self.window + self.scrape


@dataclass(frozen=True, slots=True)
class Settings:
    """What the controller's own configuration tells a tick."""

    sources: Mapping[str, Source] = field(default_factory=lambda: {"default": Source()})
    interval: float = 15.0  # seconds between ticks of an active release
    endpoints: frozenset[str] = frozenset()  # names that webhook gates may call
    hears: bool = True  # whether an Alertmanager is configured: else nobody can say what fires
    learns: bool = False  # whether somebody keeps Baseline objects: else no release asks or waits for one
