"""What the laws remember of a night: what each controller was answered in its tick, and the life of each release."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from controller.accompanied import Accompanied
from controller.attempt import parsed
from controller.record import RecordInvalid, RecordTooNew, read_record
from controller.release.names import CLAIM_ANNOTATION
from controller.release.observation import Claim, PodList, PodState
from controller.release.plan import PatchSlot
from controller.release.record import Record, Stage
from controller.release.vocabulary import FORWARD, Phase
from controller.requests import Answer, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import FetchCounts, FetchReadings, FetchTotals
from controller.requests.looks import ReadBaseline, ReadPods, ReadPolicy, ReadRelease, ReadSlot
from controller.requests.outside import Deliver, ReadFiring
from controller.requests.writes import Write, WriteEvent, WriteRecord, WriteSlot
from controller.simulation.world import Trace, World
from controller.slots import read_claim
from controller.strategies.pins import pin_of
from policies.load import from_object
from policies.schema import ReleasePolicy
from policies.strategy import Moves

MOVING = FORWARD | {Phase.ROLLING_BACK}
Object = Mapping[str, Any]


@lru_cache(maxsize=64)
def policy_of(text: str) -> ReleasePolicy:
    """The policy that a record pins."""
    return from_object(json.loads(text))


@dataclass(slots=True)
class Eyes:
    """What one controller asked and was answered in its present tick; `pods` and `slots` are fresh reads only."""

    tick: int = -1
    pods: PodList | None = None
    slots: dict[str, Answer] = field(default_factory=dict)
    fetched: dict[tuple[str, str], Answer] = field(default_factory=dict)
    unread: tuple[tuple[Request, Failure], ...] = ()
    intents: tuple[str, ...] = ()
    cached: int = 0
    quorum: int = 0
    queries: int = 0
    firing: tuple[Answer, ...] = ()  # what Alertmanager said
    heard_last: bool = False  # whether it was asked after every gate, and after the record
    totals: int = 0  # questions about the app as a whole
    told: int = 0  # notices that were handed over or asked about
    writes: int = 0
    events: int = 0

    def saw(self, request: Request, answer: Answer) -> None:
        if isinstance(request, ReadFiring) and not isinstance(answer, Failure):
            # It is asked twice in a tick: who was heard in the end knows.
            self.unread = tuple(each for each in self.unread if not isinstance(each[0], ReadFiring))
        if isinstance(request, ReadFiring | FetchCounts | FetchReadings | ReadRelease):
            self.heard_last = isinstance(request, ReadFiring)
        if isinstance(request, WriteEvent):
            self.events += 1
        elif isinstance(request, Write):
            self.writes += 1
        elif isinstance(request, FetchCounts | FetchReadings):
            self.queries += 1
            self.fetched[request.gate, request.term] = answer
        elif isinstance(request, FetchTotals):
            self.totals += 1
        elif isinstance(request, ReadFiring):
            self.firing = (*self.firing, answer)
        elif isinstance(request, Deliver):
            self.told += 1
        elif getattr(request, "fresh", not isinstance(request, ReadPolicy | ReadBaseline)):
            self.quorum += 1
            if isinstance(request, ReadPods) and isinstance(answer, PodList):
                self.pods = answer
            if isinstance(request, ReadSlot):
                self.slots[request.name] = answer
        else:
            self.cached += 1
        if isinstance(answer, Failure) and answer.kind is not FailureKind.ABSENT and not isinstance(request, Write):
            self.unread = (*self.unread, (request, answer))


@dataclass(slots=True)
class Life:
    """One release as its record told it."""

    name: str
    record: Record = field(default_factory=Record)
    phases: tuple[Phase, ...] = ()
    ends: tuple[tuple[Phase, str], ...] = ()
    bound: tuple[str, str] | None = None  # digests of incumbent and contender at its admission
    unsettled: float = 0.0  # when its stage was last seen without all its pods


@dataclass(slots=True)
class Memory:
    """Everything the laws need beyond the world itself."""

    eyes: dict[str, Eyes] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)  # by uid
    served: frozenset[str] = frozenset()  # names of available pods at the last check
    behind: frozenset[str] = frozenset()  # names of the pods behind the Service that a release switches, then too
    level: int = 0  # pods below which availability must not fall by our hand
    excused: frozenset[str] = frozenset()  # pods that something outside took away
    lying: bool = False  # a read was answered with the past
    skew: float = 0.0  # seconds that the controllers' clock is ahead
    contenders: Mapping[str, int] = field(default_factory=dict)  # of a held rollout at the last check, by Deployment

    def fork(self) -> Memory:
        return replace(
            self,
            eyes={name: replace(e, slots=dict(e.slots), fetched=dict(e.fetched)) for name, e in self.eyes.items()},
            lives={uid: replace(life) for uid, life in self.lives.items()},
        )

    def of(self, controller: str) -> Eyes:
        return self.eyes.setdefault(controller, Eyes())

    def forget_missing(self, world: World) -> None:
        """Releases that somebody deleted have no life any more."""
        there = {str(obj["metadata"]["uid"]) for key, obj in world.objects.items.items() if key[0] == "Release"}
        self.lives = {uid: life for uid, life in self.lives.items() if uid in there}

    @property
    def moving(self) -> Iterable[tuple[str, Life]]:
        return ((uid, life) for uid, life in self.lives.items() if life.record.phase in MOVING)


@dataclass(frozen=True, slots=True)
class Moment:
    """One applied write as a law sees it. `record` and `was` are set where a Release's record was written."""

    world: World
    memory: Memory
    entry: Trace
    eyes: Eyes
    life: Life | None = None
    record: Record | None = None
    was: Record | None = None

    @property
    def request(self) -> Write:
        return self.entry.request

    @property
    def ending(self) -> Phase | None:
        """The phase in which this very write ends a release; later ones mark what people were told."""
        before = self.was.phase if self.was is not None else None
        return self.record.phase if self.record is not None and self.record.phase is not before else None


def moment(world: World, memory: Memory, entry: Trace) -> Moment:
    """The moment of a write; a release is known from its first record on."""
    eyes = memory.of(entry.controller)
    if isinstance(entry.request, WriteRecord) and entry.after is not None:
        uid = str(entry.after["metadata"]["uid"])
        life = memory.lives.setdefault(uid, Life(entry.request.name))
        return Moment(world, memory, entry, eyes, life, _record(entry.after), _record(entry.before))
    claim = claim_of(entry.after) or claim_of(entry.before) or pin_of(entry.after) or pin_of(entry.before)
    return Moment(world, memory, entry, eyes, memory.lives.get(claim.uid) if claim is not None else None)


def _record(obj: Object | None) -> Record:
    try:
        return read_record((obj or {}).get("status"))
    except (RecordInvalid, RecordTooNew):
        return Record(phase=Phase.PREFLIGHT)  # a record that somebody broke may end in any way


def remember(now: Moment) -> None:
    """Take an applied write into the memory, after all laws have seen it."""
    life, record, request = now.life, now.record, now.request
    if isinstance(request, WriteRecord) and record is not None and life is not None:
        now.eyes.intents = (*now.eyes.intents, record.intent)
        if not life.phases or life.phases[-1] is not record.phase:
            life.phases = (*life.phases, record.phase)
        if record.ended and not life.ends:
            life.ends = ((record.phase, record.cause.value if record.cause else ""),)
        if record.phase in MOVING and life.bound is None and record.incumbent and record.contender:
            life.bound = (record.incumbent.digest, record.contender.digest)
        if life.record.stage != record.stage or life.record.phase is not record.phase:
            life.unsettled = now.world.now
        life.record = record


def claim_of(obj: Object | None) -> Claim | None:
    """The claim on a Deployment object."""
    return read_claim(((obj or {}).get("metadata", {}).get("annotations") or {}).get(CLAIM_ANNOTATION))


def slot(world: World, name: str, namespace: str = "shop") -> Object | None:
    return world.objects.items.get(("Deployment", namespace, name))


def replicas(world: World, name: str, namespace: str = "shop") -> int:
    found = slot(world, name, namespace)
    return int(found["spec"]["replicas"]) if found is not None else 0


def available_in(pods: Iterable[PodState], deployment: str, now: float, min_ready: float) -> list[PodState]:
    """The available pods of one Deployment in a list of pods."""
    return [
        pod
        for pod in pods
        if pod.replica_set == f"{deployment}-{pod.labels.get('pod-template-hash', '')}"
        and pod.available(now, min_ready)
    ]


def releases(world: World) -> list[tuple[str, Record]]:
    """(uid, record) of every Release of the world."""
    found = []
    for key, obj in world.objects.items.items():
        if key[0] == "Release":
            attempt = parsed(obj)
            found.append((attempt.uid, attempt.record))
    return found


def patched(now: Moment) -> tuple[PatchSlot, int, int] | None:
    """(the patch, replicas before, replicas after) where this write is a patch of a slot."""
    if not isinstance(now.request, WriteSlot) or not isinstance(now.request.write, PatchSlot):
        return None
    before, after = now.entry.before, now.entry.after
    if before is None or after is None:
        return None
    return now.request.write, int(before["spec"]["replicas"]), int(after["spec"]["replicas"])


def pinned_by(record: Record) -> ReleasePolicy:
    """The policy of a record."""
    return policy_of(record.policy)


def moves_of(record: Record) -> Moves:
    """The strategy's own part of the policy of a record: its surge and slack."""
    return pinned_by(record).spec.strategy.moves


def stage_of(record: Record) -> Stage:
    """The stage that a release is in."""
    return Accompanied(pinned_by(record).spec).stage(record)


def ungated(record: Record) -> bool:
    """Whether no gate is asked: the emergency door, a rollback, a restore."""
    return bool(record.skip_gates) or record.origin != "change"
