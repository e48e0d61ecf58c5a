"""The whole memory of one release, and the values that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis.verdict import Verdict
from controller.release.vocabulary import ENDS, Cause, HoldReason, Origin, Phase

RECORD_VERSION = 1


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
    services: tuple[str, ...] = ()  # that led to both versions when it began, where requests follow the pods
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
