"""Laws of belief: what may carry a release forward, and that what was judged is what succeeds."""

from __future__ import annotations

from analysis.assumptions import STALE_WINDOWS
from analysis.verdict import Verdict
from controller.release.record import Record
from controller.release.vocabulary import FORWARD, Phase
from controller.requests.fetches import Counts
from controller.slots import template_digest
from controller.strategies import targets_of
from tests.kernel.asking import unproven
from tests.kernel.memory import (
    Moment,
    pinned_by,
    replicas,
    slot,
    stage_of,
    ungated,
)

_WINDOW = 30.0


def _goes_forward(now: Moment) -> bool:
    record, was = now.record, now.was
    if record is None or was is None or was.phase not in FORWARD:
        return False
    # What was borrowed is given back without asking anybody: the stage before it has answered.
    return stage_of(was).gated and (record.stage > was.stage or record.phase is Phase.SUCCEEDED)


def evidence(now: Moment) -> str:
    if not _goes_forward(now):
        return ""
    record, was = now.record, now.was
    assert record is not None and was is not None and now.entry.after is not None
    policy = pinned_by(record)
    if ungated(record) or policy.spec.mode == "observe":
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
        if gate.asks():
            if lacking := unproven(now.world, gate, was, str(now.entry.after["metadata"]["uid"])):
                return f"gate {gate.name}: {lacking}"
            continue
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
        if newest["contender"] < at - (STALE_WINDOWS + 1) * _WINDOW:  # the last one is not complete yet
            return f"{term} of the contender is {at - newest['contender']:.0f} s old"
    return ""


def soak(now: Moment) -> str:
    if not _goes_forward(now) or now.life is None or now.memory.lying:
        return ""
    record, was = now.record, now.was
    assert record is not None and was is not None and now.entry.after is not None
    promoted = (now.entry.after["spec"].get("promote") or {}).get("batch") == was.stage
    if ungated(record) or promoted:
        return ""
    stated = stage_of(was).least
    least = pinned_by(record).spec.observe.at_least.seconds if stated is None else stated
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
    if now.ending is not Phase.SUCCEEDED or record.contender is None or record.incumbent is None:
        return ""
    obj = slot(now.world, record.contender.name)
    digest = template_digest(obj["spec"]["template"]) if obj is not None else "nothing"
    if digest != record.contender.digest:
        return f"{record.contender.name} holds {digest}, judged was {record.contender.digest}"
    alone = record.incumbent.name == record.contender.name
    left = 0 if alone else replicas(now.world, record.incumbent.name)
    reached = replicas(now.world, record.contender.name)
    if (reached, left) != (record.desired, 0):
        return f"contender {reached} of {record.desired}, incumbent {left}"
    strangers = {
        pod.state.replica_set for pod in now.world.pods_of(record.contender.name) if not pod.terminating
    } - set(record.contender.replica_sets)
    return f"pods of {strangers} were never judged" if strangers else ""


_HARMFUL = ("GateDegraded", "CrashLoop", "Alert")  # why a release turns back from a version


def quarantined(now: Moment) -> str:
    record, after = now.record, now.entry.after
    if record is None or after is None or record.phase not in FORWARD or record.origin != "change":
        return ""
    assert record.contender is not None
    for (kind, _, name), obj in now.world.objects.items.items():
        if kind != "Release" or obj["metadata"]["uid"] == after["metadata"]["uid"] or obj["spec"].get("lift"):
            continue
        status = obj.get("status") or {}
        spoke = status.get("phase") == Phase.ROLLED_BACK and status.get("cause") in _HARMFUL
        if spoke and status["slots"]["contender"]["digest"] == record.contender.digest:
            return f"version {record.contender.digest} goes forward, from which {name} turned back ({status['cause']})"
    return ""


def monotonous(now: Moment) -> str:
    record, was = now.record, now.was
    if record is None or was is None or not was.policy or record.policy == was.policy:
        return ""
    if was.phase is Phase.PREFLIGHT:
        return ""  # what is borrowed is recorded with its policy before the release has started
    old, new = pinned_by(was).spec, pinned_by(record).spec
    gates = {gate.name: gate for gate in new.gates}
    loosened = [
        name
        for name, loose in (
            ("strategy", new.strategy.kind != old.strategy.kind
             or targets_of(new, 100) != targets_of(old, 100)
             or new.strategy.moves.unavailable(100) > old.strategy.moves.unavailable(100)),
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
