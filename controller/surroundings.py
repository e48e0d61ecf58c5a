"""What has to be asked for before a release may begin: permissions, neighbours, history, and the metric store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from analysis.learned import NotLearned
from controller import inquiry, preflight, reliance
from controller.attempt import Reading
from controller.baseline import Baseline
from controller.case import Case
from controller.casting import Template
from controller.findings import Finding, Learning, Refusal, Wait
from controller.firing import described
from controller.gates import questions
from controller.listening import ask_level
from controller.preflight import LEARNING_PATIENCE
from controller.release.observation import Firing, Observation
from controller.release.vocabulary import HoldReason
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts, FetchReadings
from controller.requests.looks import Neighbours, Permission, ReadBaseline, ReadNeighbours, ReadObject, ReviewAccess
from controller.settings import Settings, Source
from controller.versions import incumbents

Learnt = Baseline | NotLearned
_WAITED = f"Hold{HoldReason.LEARNING.value}"  # the entry of the decision log


_NOBODY = Neighbours()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What speaks against the release, lines for its plan, and what else is in the namespace."""

    finding: Finding
    notes: tuple[str, ...] = ()
    around: Neighbours = _NOBODY
    fired: tuple[Firing, ...] = ()  # alerts that fire already, and will not count


def surroundings(case: Case, observed: Observation, template: Template, settings: Settings) -> Reading[Surroundings]:
    """Permissions, neighbours, what the version needs, and whether the metric store knows these pods."""
    app, policy = case.app, case.policy
    lacking = yield ReviewAccess(app.namespace, _permissions(case))
    if isinstance(lacking, Failure):
        blind = f"permissions could not be reviewed: {lacking.message}"
        return Surroundings(Wait(HoldReason.PREFLIGHT_BLIND, blind))
    if finding := preflight.of_access(lacking, app.namespace):  # type: ignore[arg-type]
        return Surroundings(finding)
    around = yield ReadNeighbours(app.namespace)
    if not isinstance(around, Neighbours):
        why = around.message if isinstance(around, Failure) else "no answer"
        return Surroundings(Wait(HoldReason.PREFLIGHT_BLIND, f"the namespace could not be read: {why}"))
    if case.origin == "restore":
        return Surroundings(None, (), around)
    finding, notes = preflight.of_neighbours(app.policy, policy.spec, case.course.slot_names, observed, around)
    if finding is None and case.origin != "change":
        rests = yield from _resting(case, observed, template)
        if isinstance(rests, Wait):
            return Surroundings(rests)
        observed = rests
    finding = finding or case.course.problems(case.attempt.record, observed, around, template)
    if finding is None and case.origin == "change" and not case.attempt.record.skip_gates:
        finding = yield from inquiry.of_gates(app, policy.spec, observed, settings)
    if finding is None and _gates_speak(case):
        finding = yield from _of_gates(case, observed, settings)
    fired: tuple[Firing, ...] = ()
    if finding is None and _gates_speak(case) and policy.spec.alerts:
        # Last, so that whatever begins to fire after this belongs to the release.
        heard = yield from ask_level(policy.spec.alerts, (), case.now)
        finding = preflight.of_alerts(policy.spec, heard, case.now, hears=settings.hears)
        fired = (*heard.active, *heard.muted)
        notes = (*notes, f"{described(fired, case.now)}: it fired before, and does not count") if fired else notes
    return Surroundings(finding, notes, around, fired)


def _resting(case: Case, observed: Observation, template: Template) -> Reading[Observation | Wait]:
    """What is seen, with what a version that is there already needs beside its template."""
    objects = dict(observed.objects)
    for ref in case.course.rests_on(template):
        if ref in objects:
            continue
        found = yield ReadObject(case.app.namespace, ref, fresh=True)
        if isinstance(found, Failure) and found.kind is not FailureKind.ABSENT:
            return Wait(HoldReason.PREFLIGHT_BLIND, f"{ref} could not be read: {found.message}")
        objects[ref] = found if isinstance(found, Mapping) else None
    return replace(observed, objects=objects)


def _permissions(case: Case) -> tuple[Permission, ...]:
    # A way back asks no gate, so it does not need what gates need.
    of_gates = inquiry.permissions(case.policy.spec) if case.origin == "change" else ()
    return tuple(dict.fromkeys((*preflight.PERMISSIONS, *case.course.permissions, *of_gates)))


def _gates_speak(case: Case) -> bool:
    skipped = case.attempt.record.skip_gates
    return case.origin == "change" and not skipped and case.policy.spec.mode != "observe"


def _of_gates(case: Case, observed: Observation, settings: Settings) -> Reading[Finding]:
    """Whether the metric store can be asked, and tells this app's pods apart."""
    policy = case.policy
    if not policy.spec.compared:
        return None
    source = settings.sources.get(policy.spec.metrics.source)
    if source is None:
        known = ", ".join(sorted(settings.sources)) or "none"
        return Refusal(f"metric source {policy.spec.metrics.source} is not configured; known: {known}")
    if finding := preflight.of_plan(policy.spec, source.window):
        return finding
    for question in _metric_questions(case, observed, source):
        answer = yield question
        assert isinstance(answer, Counts | Failure)
        values = question.values if isinstance(question, FetchCounts) else ()
        finding = preflight.of_metrics(question.gate, answer, observed, values, question.pod_label)
        if finding is not None:
            return finding
    return None


def _metric_questions(case: Case, observed: Observation, source: Source) -> list[FetchCounts | FetchReadings]:
    """One question per required gate, about the incumbents, over the last few windows."""
    end = (case.now - source.scrape) // source.window * source.window
    start = end - 4 * source.window
    sets = tuple(sorted({pod.replica_set for pod in observed.incumbents}))
    asked: list[FetchCounts | FetchReadings] = []
    for gate in case.policy.spec.compared:
        if gate.required:
            values = incumbents(gate.by, sets) if gate.by is not None else ()
            each = questions(case.policy, gate, case.app.namespace, sets, source, start, end, values=values)
            asked += [question for question in each if question.term != "errors"]
    return asked


def history(case: Case, settings: Settings) -> Reading[Learnt]:
    """What was learned of this policy's gates; no answer is like no baseline, and never a reason not to begin."""
    found = yield ReadBaseline(case.app.namespace, case.app.policy)
    if isinstance(found, Failure) and found.kind is not FailureKind.ABSENT:
        return NotLearned("Unread", f"the baseline could not be read: {found.message}")
    source = settings.sources.get(case.policy.spec.metrics.source, Source())
    obj = found if isinstance(found, Mapping) else None
    return reliance.read(obj, case.policy, source.window, case.now)


def learner_finding(case: Case, learned: Learnt) -> Learning | None:
    """Whether to wait for the check of the last hour: noise that has changed since would void the promise."""
    if not case.policy.spec.learnable or reliance.is_present(learned, case.attempt.uid):
        return None
    # From the first wait on: preparing the slots takes ticks of its own, in which nothing is held.
    since = next((each.at for each in case.attempt.record.decisions if each.kind == _WAITED), case.now)
    if case.now - since >= LEARNING_PATIENCE:
        return None
    told = f"{learned.reason}: {learned.detail}" if isinstance(learned, NotLearned) else "the last hour is not checked"
    return Learning(f"waits for the learner ({told})")
