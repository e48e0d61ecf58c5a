"""The laws of the kernel, each with its name and its sentence, as functions over a write and over an ending.

A law of `WRITE_LAWS` sees every write that was applied, in the world as it is right after it; a law of `STANDING_LAWS`
sees the world at every answer; a law of `END_LAWS` sees a night that came to rest. Each returns what breaks it, or "".
The letters are those of the project's page of faults and invariants.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from analysis.verdict import Verdict
from controller.record import read_record
from controller.release import (
    CLAIM_ANNOTATION,
    FORWARD,
    CreateSlot,
    HoldReason,
    PatchSlot,
    Phase,
    Record,
)
from controller.requests import (
    Counts,
    CreateRelease,
    DeleteRelease,
    FetchCounts,
    WriteEvent,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
)
from controller.simulation.world import World
from controller.slots import template_digest
from controller.transitions import MOVES
from policies.schema import ReleasePolicy
from tests.kernel.memory import MOVING, Memory, Moment, available_in, claim_of, policy_of, replicas, slot

SECRET = "correct-horse-battery-staple"  # stands in the app's environment and must never leave it
MOST_RECORD = 64 * 1024
_WINDOW, _SCRAPE = 30.0, 15.0


@dataclass(frozen=True, slots=True)
class Law:
    """A law: its name, its sentence, and what breaks it."""

    name: str
    says: str
    broken: Callable[[Moment], str]


class Broken(AssertionError):
    """A law is broken; the message has the law, its sentence and the numbers."""

    def __init__(self, name: str, says: str, how: str) -> None:
        super().__init__(f"{name}: {says} {how}")
        self.law = name


def _patched(now: Moment) -> tuple[PatchSlot, int, int] | None:
    """(the patch, replicas before, replicas after) where this write is a patch of a slot."""
    if not isinstance(now.request, WriteSlot) or not isinstance(now.request.write, PatchSlot):
        return None
    before, after = now.entry.before, now.entry.after
    if before is None or after is None:
        return None
    return now.request.write, int(before["spec"]["replicas"]), int(after["spec"]["replicas"])


def _pinned(record: Record) -> ReleasePolicy:
    return policy_of(record.policy)


# ------------------------------------------------------------------------------------------- S1, S2: capacity


def availability_of_a_write(now: Moment) -> str:
    found = _patched(now)
    if found is None or found[1] <= found[2] or now.life is None:
        return ""
    write, before, after = found
    claim, twin = claim_of(now.entry.after), _pinned(now.life.record).spec.strategy.twin
    if claim is None or twin is None:
        return f"{write.name} was lowered without a claim"
    if now.eyes.pods is None:
        return f"{write.name} {before} -> {after} on no list of pods of this tick"
    assert now.entry.before is not None
    floor, going = claim.desired - twin.unavailable(claim.desired), before - after
    min_ready = float(now.entry.before["spec"].get("minReadySeconds") or 0)
    names = _slots(now.world, write.name)
    ready = {name: len(available_in(now.eyes.pods.items, name, now.entry.at, min_ready)) for name in names}
    spare = sum(ready.values()) - floor
    if min(ready[write.name], going) <= spare or going <= before - ready[write.name]:
        return ""
    return f"{write.name} {before} -> {after} with {ready} ready and a floor of {floor}"


def surge_of_a_write(now: Moment) -> str:
    found = _patched(now)
    if found is None or found[2] <= found[1] or now.life is None:
        return ""
    write, before, after = found
    claim, twin = claim_of(now.entry.after), _pinned(now.life.record).spec.strategy.twin
    if claim is None or twin is None:
        return f"{write.name} was raised without a claim"
    other = next((name for name in _slots(now.world, write.name) if name != write.name), None)
    if other is None:
        return ""
    theirs = claim_of(slot(now.world, other))
    if theirs is not None and theirs.replicas != replicas(now.world, other):
        return ""  # a person has just scaled the other slot
    total = after + replicas(now.world, other)
    bound = claim.desired + twin.surge(claim.desired)
    return f"{write.name} {before} -> {after}: {total} pods, bound {bound}" if total > bound else ""


def _slots(world: World, name: str, namespace: str = "shop") -> list[str]:
    app = name.removesuffix("-twin")
    return [each for each in (app, f"{app}-twin") if slot(world, each, namespace) is not None]


def availability(world: World, memory: Memory) -> str:
    """Pods may be lost to what happens outside; what goes by our hand must leave D - U, or what was left of it."""
    need, ready = 0, frozenset[str]()
    current: set[str] = set()
    moved = False
    for _, life in memory.moving:
        record = life.record
        twin = _pinned(record).spec.strategy.twin
        assert record.incumbent is not None and twin is not None
        need += record.desired - twin.unavailable(record.desired)
        for name in _slots(world, record.incumbent.name):
            obj = slot(world, name)
            assert obj is not None
            claim = claim_of(obj)
            moved = moved or claim is None or claim.replicas != int(obj["spec"]["replicas"])
            min_ready = float(obj["spec"].get("minReadySeconds") or 0)
            states = [pod.state for pod in world.pods_of(name)]
            ready |= {pod.name for pod in available_in(states, name, world.now, min_ready)}
            current.add(_current_set(world, name))
    outside = sum(_lost_outside(world, memory, name, current) for name in memory.served - ready)
    before, memory.served = memory.level, ready
    memory.level = min(len(ready), need)
    if len(ready) >= need or len(ready) + outside >= before or moved:
        return ""
    return f"{len(ready)} pods are available, {before} were, {need} are promised"


def _lost_outside(world: World, memory: Memory, name: str, current: set[str]) -> bool:
    """Whether a pod that served before went for a reason that is not a slot's replicas."""
    pod = world.pods.get(name)
    if name in memory.excused or pod is None:
        return name in memory.excused
    return not pod.state.terminating or pod.state.replica_set not in current


def _current_set(world: World, name: str) -> str:
    obj = slot(world, name)
    sets = world.replica_sets.get(obj["metadata"]["uid"], ()) if obj is not None else ()
    return max(sets, key=lambda each: each.replicas).name if sets else ""


def settling(world: World, memory: Memory) -> str:
    """Remembers when each stage was last seen without all its pods; breaks nothing itself."""
    for _, life in memory.moving:
        record = life.record
        if record.phase in FORWARD and record.contender is not None:
            twin = _pinned(record).spec.strategy.twin
            assert twin is not None
            target = twin.targets(record.desired)[record.stage]
            states = (pod.state for pod in world.pods_of(record.contender.name))
            if len(available_in(states, record.contender.name, world.now, 0.0)) < target:
                life.unsettled = world.now
    return ""


# ------------------------------------------------------------------------- S3, S4, S15, S20: what may be believed


def _goes_forward(now: Moment) -> bool:
    record, was = now.record, now.was
    if record is None or was is None or was.phase not in FORWARD:
        return False
    return record.stage > was.stage or record.phase is Phase.SUCCEEDED


def _ungated(record: Record) -> bool:
    return bool(record.skip_gates) or record.origin != "change"


def evidence(now: Moment) -> str:
    if not _goes_forward(now):
        return ""
    record, was = now.record, now.was
    assert record is not None and was is not None and now.entry.after is not None
    policy = _pinned(record)
    if _ungated(record) or policy.spec.mode == "observe":
        return ""
    promoted = (now.entry.after["spec"].get("promote") or {}).get("batch") == was.stage
    doubtful = promoted or policy.spec.observe.on_undecided == "advance"
    said = {verdict.gate: verdict for verdict in record.verdicts}
    for gate in (gate for gate in policy.spec.gates if gate.required):
        verdict = said.get(gate.name)
        if verdict is None:
            return f"gate {gate.name} said nothing"
        allowed = (Verdict.HEALTHY, Verdict.UNDECIDED) if doubtful else (Verdict.HEALTHY,)
        if verdict.verdict not in allowed:
            return f"gate {gate.name} said {verdict.verdict}"
        if now.world.traffic.hostile is not None:
            return f"gate {gate.name} believed a hostile store"
        if lacking := _lacking(now, gate.name, len(gate.selectors()), record):
            return f"gate {gate.name}: {lacking}"
    return ""


def _lacking(now: Moment, gate: str, terms: int, record: Record) -> str:
    """What the store's answers of this very tick lack to speak for a gate."""
    answers = {term: answer for (name, term), answer in now.eyes.fetched.items() if name == gate}
    if len(answers) < terms:
        return f"{len(answers)} of {terms} questions asked in this tick"
    for term, answer in answers.items():
        if not isinstance(answer, Counts):
            return f"{term} was answered {answer}"
        if term == "errors":
            continue  # no error is no series
        newest = {"contender": 0.0, "incumbent": 0.0}
        for role, known in (("contender", record.contender), ("incumbent", record.incumbent)):
            sets = known.replica_sets if known is not None else ()
            times = [series.times[-1] for series in answer.series if series.pod.rpartition("-")[0] in sets]
            newest[role] = max(times, default=0.0)
        if not newest["incumbent"]:
            return f"{term} has nothing of the incumbent"
        at = now.entry.at + now.memory.skew  # the store is asked by the controller's clock
        if newest["contender"] < at - 2 * _WINDOW - _SCRAPE:
            return f"{term} of the contender is {at - newest['contender']:.0f} s old"
    return ""


def soak(now: Moment) -> str:
    if not _goes_forward(now) or now.life is None or now.memory.lying:
        return ""
    record, was = now.record, now.was
    assert record is not None and was is not None and now.entry.after is not None
    promoted = (now.entry.after["spec"].get("promote") or {}).get("batch") == was.stage
    if _ungated(record) or promoted:
        return ""
    least = _pinned(record).spec.observe.at_least.seconds
    soaked = now.world.now - now.life.unsettled
    return f"batch {was.stage} was left after {soaked:.1f} s of {least:.0f} s" if soaked < least else ""


def one_version(now: Moment) -> str:
    record, life = now.record, now.life
    if record is None or life is None:
        return ""
    if life.bound is not None and record.incumbent and record.contender:
        bound = (record.incumbent.digest, record.contender.digest)
        if bound != life.bound:
            return f"the record was bound to {life.bound} and now says {bound}"
    if record.phase is not Phase.SUCCEEDED or record.contender is None or record.incumbent is None:
        return ""
    obj = slot(now.world, record.contender.name)
    digest = template_digest(obj["spec"]["template"]) if obj is not None else "nothing"
    if digest != record.contender.digest:
        return f"{record.contender.name} holds {digest}, judged was {record.contender.digest}"
    left, reached = replicas(now.world, record.incumbent.name), replicas(now.world, record.contender.name)
    if (reached, left) != (record.desired, 0):
        return f"contender {reached} of {record.desired}, incumbent {left}"
    strangers = {pod.state.replica_set for pod in now.world.pods_of(record.contender.name)} - set(
        record.contender.replica_sets
    )
    return f"pods of {strangers} were never judged" if strangers else ""


def monotonous(now: Moment) -> str:
    record, was = now.record, now.was
    if record is None or was is None or not was.policy or record.policy == was.policy:
        return ""
    old, new = _pinned(was).spec, _pinned(record).spec
    gates = {gate.name: gate for gate in new.gates}
    loosened = [
        name
        for name, loose in (
            ("strategy", new.strategy.twin is None or old.strategy.twin is None
             or new.strategy.twin.targets(100) != old.strategy.twin.targets(100)
             or new.strategy.twin.unavailable(100) > old.strategy.twin.unavailable(100)),
            ("observe.atLeast", new.observe.at_least < old.observe.at_least),
            ("onBlind.hold", new.on_blind.hold > old.on_blind.hold),
            ("deadline.batch", new.deadline.batch > old.deadline.batch),
            ("deadline.release", new.deadline.release > old.deadline.release),
            ("mode", old.mode == "enforce" and new.mode != "enforce"),
            ("onDegraded", old.on_degraded == "rollBack" and new.on_degraded != "rollBack"),
        )
        if loose
    ]  # fmt: skip
    for gate in old.gates:
        later = gates.get(gate.name)
        if later is None or (gate.required and not later.required):
            loosened.append(f"gate {gate.name}")
        elif (gate.margin.ratio or 0) < (later.margin.ratio or 0) or (gate.margin.points or 0) < (
            later.margin.points or 0
        ):
            loosened.append(f"tolerate of gate {gate.name}")
    return f"loosened: {', '.join(loosened)}" if loosened else ""


# --------------------------------------------------------------------------------- S5, S6, L6: phases and ends


def one_end(now: Moment) -> str:
    record, life = now.record, now.life
    if record is None or life is None or not life.ends:
        return ""
    says = (record.phase, record.cause.value if record.cause else "")
    return f"it had ended {life.ends[0]} and was written {says}" if says != life.ends[0] else ""


def legal_moves(now: Moment) -> str:
    record, was, life = now.record, now.was, now.life
    if record is None or was is None or life is None:
        return ""
    if record.phase is not was.phase and record.phase not in MOVES[was.phase]:
        return f"{was.phase} -> {record.phase}"
    if record.cause is not None and record.cause.value == "RecordInvalid":
        return ""  # the record before was nobody's
    if record.sequence <= was.sequence:
        return f"sequence {was.sequence} -> {record.sequence}"
    if record.epoch < was.epoch:
        return f"epoch {was.epoch} -> {record.epoch}"
    if record.phase is not was.phase and was.phase in MOVING and record.epoch == was.epoch:
        return f"{was.phase} -> {record.phase} without a new epoch"
    if record.phase is was.phase and record.stage < was.stage:
        return f"stage {was.stage} -> {record.stage}"
    return ""


def restored(now: Moment) -> str:
    record = now.record
    if record is None or record.phase is not Phase.ROLLED_BACK or record.incumbent is None:
        return ""
    twin = _pinned(record).spec.strategy.twin
    live = slot(now.world, record.incumbent.name)
    if live is None or twin is None:
        return f"{record.incumbent.name} does not exist"
    size, left = int(live["spec"]["replicas"]), replicas(now.world, record.contender.name) if record.contender else 0
    if (size, left) != (record.desired, 0):
        return f"incumbent {size} of {record.desired}, contender {left}"
    if (digest := template_digest(live["spec"]["template"])) != record.incumbent.digest:
        return f"{record.incumbent.name} holds {digest}, recorded was {record.incumbent.digest}"
    pods = now.eyes.pods.items if now.eyes.pods is not None else ()
    min_ready = float(live["spec"].get("minReadySeconds") or 0)
    ready = len(available_in(pods, record.incumbent.name, now.entry.at, min_ready))
    floor = record.desired - twin.unavailable(record.desired)
    return f"{ready} of {floor} promised incumbent pods were seen ready" if ready < floor else ""


def ended_hold(now: Moment) -> str:
    held = now.record.held if now.record is not None else None
    if held is None:
        return ""
    if not held.because or not held.then:
        return f"{held.reason} says neither why nor what then"
    by_person = held.reason in (HoldReason.PAUSED_BY_PERSON, HoldReason.MANUAL)
    return f"{held.reason} has no end" if held.until is None and not by_person else ""


# ------------------------------------------------------------------------- S7, S8: ignorance and mutual exclusion


def direction_of_ignorance(now: Moment) -> str:
    found = _patched(now)
    if found is None or found[2] <= found[1]:
        return ""
    claim = claim_of(now.entry.after)
    if claim is None or claim.role != "contender":
        return ""
    assert now.life is not None
    policy = _pinned(now.life.record).spec
    asked_in_vain = policy.mode == "observe" or _ungated(now.life.record)
    needed = {gate.name for gate in policy.gates if gate.required and not asked_in_vain}
    unread = [
        (type(request).__name__, failure.message)
        for request, failure in now.eyes.unread
        if not isinstance(request, FetchCounts) or request.gate in needed
    ]
    return f"contender raised although {unread} could not be read" if unread else ""


def one_writer(now: Moment) -> str:
    moving = [uid for uid, life in now.memory.lives.items() if life.record.phase in MOVING]
    if len(moving) > 1:
        return f"{len(moving)} releases move one app"
    found = _patched(now)
    if found is None:
        return ""
    before, after = claim_of(now.entry.before), claim_of(now.entry.after)
    if after is None or now.life is None:
        return ""
    if before is not None and before.uid != after.uid and before.uid in moving:
        return f"{found[0].name} was claimed by {before.release}, which still moves"
    if after.epoch < now.life.record.epoch and found[1] != found[2]:
        return f"{found[0].name} was moved at epoch {after.epoch}, the record stands at {now.life.record.epoch}"
    if before is not None and before.uid == after.uid and after.epoch < before.epoch:
        return f"epoch of {found[0].name} fell from {before.epoch} to {after.epoch}"
    return ""


# --------------------------------------------------------------------------- S13, S14, S18, S19: what we may write


def blast_radius(now: Moment) -> str:
    request, before, after = now.request, now.entry.before, now.entry.after
    match request:
        case WriteRecord() | WritePolicyStatus():
            if before is not None and after is not None and before["spec"] != after["spec"]:
                return "a status write changed a spec"
            return ""
        case WriteEvent() | CreateRelease():
            return ""
        case DeleteRelease():
            return (
                "" if before is None or read_record(before.get("status")).ended else "a release under way was deleted"
            )
        case WriteSlot(_, CreateSlot(name)):
            obj = after or {}
            if not name.endswith("-twin") or obj["spec"]["replicas"] != 0 or obj["metadata"].get("ownerReferences"):
                return f"created {name} at {obj['spec']['replicas']}"
            return ""
    assert isinstance(request, WriteSlot)
    if before is None or after is None:
        return f"{request.write.name} was deleted"
    fields = {key for key in {*before["spec"], *after["spec"]} if before["spec"].get(key) != after["spec"].get(key)}
    allowed = {"replicas"}
    claim = claim_of(after)
    prepared = claim is not None and claim.role == "contender" and claim.phase is Phase.PREFLIGHT
    if prepared and before["spec"]["replicas"] == 0:
        allowed = {"template", "minReadySeconds"}
    if fields - allowed:
        return f"{request.write.name}: wrote {sorted(fields - allowed)}"
    if _foreign_metadata(before) != _foreign_metadata(after):
        return f"{request.write.name}: wrote metadata that is not ours"
    return ""


_OURS = ("resourceVersion", "generation", "managedFields")


def _foreign_metadata(obj: object) -> object:
    assert isinstance(obj, dict)
    kept = {key: value for key, value in obj["metadata"].items() if key not in _OURS}
    notes = {key: value for key, value in (kept.get("annotations") or {}).items() if key != CLAIM_ANNOTATION}
    return {**kept, "annotations": notes}


def intent_first(now: Moment) -> str:
    if not isinstance(now.request, WriteSlot):
        return ""
    write = now.request.write
    if isinstance(write, PatchSlot) and write.claim is None:
        ended = now.life is not None and now.life.record.ended
        return "" if ended else f"the claim on {write.name} was released before the end"
    if any(write.summary in intent for intent in now.eyes.intents):
        return ""
    return f"{write.summary!r} is in no record of this tick ({now.eyes.intents})"


def no_secret(now: Moment) -> str:
    if isinstance(now.request, WriteSlot):
        return ""  # the template itself carries it, there where the owner put it
    return "it stands in a write" if SECRET in repr(now.request) else ""


def bounded_record(now: Moment) -> str:
    if not isinstance(now.request, WriteRecord):
        return ""
    size = len(json.dumps(now.request.status))
    return f"{size} bytes" if size > MOST_RECORD else ""


def bounded_tick(now: Moment) -> str:
    """Watch-cache reads cost the API server nothing; every other request of a tick is counted."""
    eyes = now.eyes
    gates = len(_pinned(now.life.record).spec.gates) if now.life is not None and now.life.record.policy else 2
    for what, count, bound in (
        ("cached reads", eyes.cached, 8),
        ("metric queries", eyes.queries, 2 * gates),
        ("quorum reads", eyes.quorum, 6),
        ("writes", eyes.writes, 5),
        ("events", eyes.events, 6),
    ):
        if count > bound:
            return f"{count} {what}, bound {bound}"
    return ""


WRITE_LAWS = (
    Law("S1 availability of a write", "Whoever lowers a slot leaves D - U available, even if only ready pods go.",
        availability_of_a_write),
    Law("S2 surge", "No write raises the two slots above D + S.", surge_of_a_write),
    Law("S3 positive evidence", "No batch and no success without a healthy verdict on data of this tick.", evidence),
    Law("S4 analysed is promoted", "What succeeds is the version that was bound and judged.", one_version),
    Law("S5 one end", "A release ends once, and its end is absorbing.", one_end),
    Law("S5 legal moves", "Phases move by the table, epochs and sequences only rise.", legal_moves),
    Law("S6 rollback restores", "RolledBack means: the incumbent is at D and ready, the contender is gone.", restored),
    Law("S7 direction of ignorance", "Who cannot read does not raise the contender.", direction_of_ignorance),
    Law("S8 one writer", "One release moves an app, and no older epoch moves it.", one_writer),
    Law("S13 blast radius", "We write our fields of our two Deployments and delete none.", blast_radius),
    Law("S14 intent first", "Every write of a slot stands in the record before it is made.", intent_first),
    Law("S15 soak", "A batch is left only after its least observation with all its pods.", soak),
    Law("S18 no secrets", "A secret of the app never appears in what we write about it.", no_secret),
    Law("S19 bounded record", "A record has at most 64 KiB.", bounded_record),
    Law("S19 bounded tick", "A tick makes a bounded number of requests.", bounded_tick),
    Law("S20 monotonous policy", "No edit loosens the policy of a running release.", monotonous),
    Law("L6 no false freeze", "Every hold says why, until when and what then.", ended_hold),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A law about the world at any time."""

    name: str
    says: str
    broken: Callable[[World, Memory], str]


STANDING_LAWS = (
    Standing("S1 availability", "Nothing of ours takes the app below D - U.", availability),
    Standing("S15 settling", "Remembers since when a stage has all its pods.", settling),
)


def judge_write(now: Moment, laws: tuple[Law, ...] = WRITE_LAWS) -> None:
    """Raise Broken for the first law that this write breaks."""
    for law in laws:
        if how := law.broken(now):
            raise Broken(law.name, law.says, how)


def judge_standing(world: World, memory: Memory) -> None:
    for law in STANDING_LAWS:
        if how := law.broken(world, memory):
            if law.broken is availability and memory.lying:
                continue  # a lie about pods cannot be seen through: only S1 against the served list holds
            raise Broken(law.name, law.says, how)
