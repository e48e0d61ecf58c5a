"""What a settled batch asks: the baseline that the release relies on, then the metric store, gate by gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from analysis.band import LearnedBand
from analysis.learned import Learned, NotLearned
from analysis.verdict import Verdict
from controller import before, history, outlook
from controller.accompanied import Accompanied
from controller.attempt import Reading
from controller.gates import instants, judge, questions, replica_sets
from controller.inquiry import ask_outside
from controller.release.names import AppKey
from controller.release.observation import Observation
from controller.release.plan import ObjectWrite
from controller.release.record import Forecast, GateVerdict, Inquiry, Record
from controller.release.vocabulary import FORWARD
from controller.reliance import Knowledge, knowledge
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, Totals
from controller.requests.looks import ReadBaseline
from controller.revise import revised
from controller.settings import Source
from controller.versions import ONE_SERIES, sides_of
from policies.schema import Gate, ReleasePolicy


@dataclass(frozen=True, slots=True)
class Told:
    """What the gates said at a look, the forecasts that were made for it, and what the stage cannot see.

    inquiries: what gates have asked outside. writes: Jobs to start, once the record says so.
    """

    verdicts: tuple[GateVerdict, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    lacking: tuple[str, ...] = ()
    inquiries: tuple[Inquiry, ...] = ()
    writes: tuple[ObjectWrite, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that one look at a settled batch asks from; `record` is as the observation has it."""

    app: AppKey
    record: Record
    seen: Observation
    policy: ReleasePolicy
    source: Source


def ask_gates(
    app: AppKey, record: Record, seen: Observation, policy: ReleasePolicy, source: Source, *, learns: bool = False
) -> Reading[Told]:
    """The gates' verdicts while the batch is settled; nothing is asked while pods still move.

    `learns`: whether baselines are kept; a release relies on the one that it began with.
    """
    if record.phase not in FORWARD or seen.incumbent is None or seen.contender is None:
        return Told()
    course = Accompanied(policy.spec)
    if not course.stage(record).gated:
        return Told()
    settled = revised(record, seen, course)
    if not settled.observing or settled.observing[-1].end is not None:
        return Told()
    look = Look(app, settled, seen, policy, source)
    known = Knowledge()
    unread: Failure | None = None
    if learns:
        answer = yield from ask_knowledge(look)
        known, unread = (known, answer) if isinstance(answer, Failure) else (answer, None)
    serving = history.serving(settled, seen, beside=course.stage(record).beside)
    bands = {
        gate.name: band
        for gate in policy.spec.learnable
        if isinstance(band := known.bands.get(gate.name), LearnedBand) and history.may_speak(gate, serving)
    }
    among = sum(gate.required for gate in policy.spec.gates if gate.name in bands)
    verdicts: list[GateVerdict] = []
    forecasts: list[Forecast] = []
    lacking: list[str] = []
    inquiries: list[Inquiry] = []
    writes: list[ObjectWrite] = []
    for gate in policy.spec.gates:
        if gate.asks():
            verdict, said = yield from ask_outside(app, settled, seen, policy, gate)
            verdicts.append(verdict)
            inquiries += [said.inquiry] if said.inquiry is not None else []
            writes += [said.write] if said.write is not None else []
            continue
        learned = known.gates.get(gate.name) if gate.by is None else ONE_SERIES
        verdict = yield from ask_gate(look, gate, learned)
        if unread is not None and verdict.verdict is not Verdict.DEGRADED:
            because = f"what the release relies on cannot be read just now: {unread.message}"
            verdict = replace(verdict, verdict=Verdict.BLIND, because=because)
        if gate.required and not outlook.is_told(settled):
            lacking.append(outlook.lacking(settled, policy, gate, verdict, learned, source.window))
        if gate.name in bands:
            calibrated = learned is not None and not isinstance(learned, NotLearned)
            watched = policy.spec.watch is not None
            share = history.share_of(serving, among=among, calibrated=calibrated, watched=watched)
            verdict, made = yield from _ask_history(look, gate, bands[gate.name], serving, share, verdict)
            forecasts += [made] if made is not None else []
        verdicts.append(verdict)
    return Told(tuple(verdicts), tuple(forecasts), tuple(filter(None, lacking)), tuple(inquiries), tuple(writes))


def ask_knowledge(look: Look) -> Reading[Knowledge | Failure]:
    """What the release may rely on. A baseline that is not there is gone; one that cannot be read may be there."""
    record, gates, now = look.record, look.policy.spec.learnable, look.seen.now
    if record.baseline is None:
        return knowledge(record, None, gates, now)
    found = yield ReadBaseline(look.app.namespace, look.app.policy)
    if isinstance(found, Failure) and found.kind not in _GONE:
        return found
    return knowledge(record, found if isinstance(found, Mapping) else None, gates, now)


# The object, its kind, or our permission is gone: time does not bring it back.
_GONE = frozenset({FailureKind.ABSENT, FailureKind.NO_KIND, FailureKind.FORBIDDEN})


def ask_gate(look: Look, gate: Gate, learned: Learned | NotLearned | None) -> Reading[GateVerdict]:
    """At most two questions about the pods of both versions."""
    answers: dict[str, Counts | Failure] = {}
    names = replica_sets(look.record)
    beside = Accompanied(look.policy.spec).stage(look.record).beside
    ends = instants if beside else before.instants
    span = ends(look.record, look.source, look.seen.now)
    if span is not None:
        values = sides_of(gate.by, look.record).all if gate.by is not None else ()
        app, policy = look.app.namespace, look.policy
        for question in questions(policy, gate, app, names, look.source, *span, learned, values=values):
            answer = yield question
            if isinstance(answer, Counts | Failure):
                answers[question.term] = answer
            if isinstance(answer, Failure) and answer.kind is FailureKind.UNAVAILABLE:
                break  # one unanswered question of a gate is enough; the next tick asks again
    return judge(gate, look.policy, look.record, look.seen, look.source, answers, learned, beside=beside)


def _ask_history(
    look: Look, gate: Gate, band: LearnedBand, serving: history.Serving, share: float, verdict: GateVerdict
) -> Reading[tuple[GateVerdict, Forecast | None]]:
    """One question about the app as a whole, and once for each origin one about the day before it."""
    # What turns back or cannot see is not changed by history, so history is not asked.
    if verdict.verdict in (Verdict.DEGRADED, Verdict.BLIND):
        return verdict, None
    policy, namespace, now = look.policy, look.app.namespace, look.seen.now
    origin, at_most = history.origin_of(look.record, now), policy.spec.observe.at_most.seconds
    forecast, made = history.known_forecast(look.record, gate.name, origin), None
    if forecast is None:
        before = totals((yield history.past_question(policy, gate, namespace, look.record, look.source, origin)))
        forecast = made = history.forecast(gate.name, band, before, origin)
        if forecast is None:
            return history.unread(verdict, before, serving, at_most), None
    since: Totals | None = None
    question = history.since_question(policy, gate, namespace, serving, look.source, origin, now)
    if question is not None and not forecast.absent:
        answer = totals((yield question))
        if isinstance(answer, Failure):
            return history.unread(verdict, answer, serving, at_most), made
        since = answer
    told = history.weigh(gate, policy, band, forecast, since, share, now, serving.turnover)
    return history.combined(verdict, told, serving, at_most), made


def totals(answer: object) -> Totals | Failure:
    if isinstance(answer, Totals | Failure):
        return answer
    return Failure(FailureKind.UNAVAILABLE, "the store gave no number of the app as a whole")
