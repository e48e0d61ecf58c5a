"""What the gates see in the watch after a release: a hard limit, and the app against its own history.

The comparison beside incumbents had its last say when the last of them was gone: without shared windows its evidence
stands still, and the promise that it was given is spent. Two things go on. A hard limit is a sequence of e-values over
all windows of the contender, with a new start every five minutes, and holds at any look. And the band forecasts each
hour of the watch from its beginning, with equal parts of what the promise leaves to the watch. The fleet is a new one
against the day from which an hour is forecast, so the luck of all pods is allowed for.

Whatever compares with minutes before the release has no say here: in an hour the time of day alone makes a difference.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.assumptions import BAND_STEP
from analysis.band import LearnedBand
from analysis.band_pods import Turnover
from analysis.learned import NotLearned
from analysis.verdict import Verdict
from controller import history
from controller.accompanied import Accompanied
from controller.asking import Look, Told, ask_gate, ask_knowledge, totals
from controller.attempt import Reading
from controller.release.names import AppKey
from controller.release.observation import Observation
from controller.release.record import Forecast, GateVerdict, Record, Span, Watching
from controller.release.vocabulary import Phase
from controller.reliance import Knowledge
from controller.requests.failure import Failure
from controller.requests.fetches import Totals
from controller.revise import with_replica_sets
from controller.settings import Source
from controller.versions import ONE_SERIES
from policies.schema import Gate, ReleasePolicy


def ask_watch(
    app: AppKey, record: Record, seen: Observation, policy: ReleasePolicy, source: Source, *, learns: bool
) -> Reading[Told]:
    """The verdicts of the gates that measure. `lacking` names the required ones that see no harm from here on."""
    watch = record.watch
    assert watch is not None
    look = Look(app, standing(record, seen, policy), seen, policy, source)
    known: Knowledge | Failure = Knowledge()
    if learns:
        known = yield from ask_knowledge(look)
    unread = known if isinstance(known, Failure) else None
    learnt = Knowledge() if isinstance(known, Failure) else known
    bands = {name: band for name, band in learnt.bands.items() if isinstance(band, LearnedBand)}
    among = sum(gate.required for gate in policy.spec.gates if gate.name in bands)
    verdicts: list[GateVerdict] = []
    forecasts: list[Forecast] = []
    lacking: list[str] = []
    for gate in policy.spec.compared:
        learned = learnt.gates.get(gate.name) if gate.by is None else ONE_SERIES
        verdict = _by_limit((yield from ask_gate(look, gate, learned)))
        if gate.name in bands:
            calibrated = learned is not None and not isinstance(learned, NotLearned)
            share = history.share_in_watch(watch.until - watch.since, among=among, calibrated=calibrated)
            verdict, made = yield from _ask_band(look, gate, bands[gate.name], share, verdict, watch)
            forecasts += [made] if made is not None else []
        elif gate.required and gate.limit is None and unread is None:
            lacking.append(gate.name)
        verdicts.append(verdict)
    return Told(tuple(verdicts), tuple(forecasts), tuple(lacking))


def standing(record: Record, seen: Observation, policy: ReleasePolicy) -> Record:
    """The record of a release that has succeeded as if its last watched stage went on."""
    assert record.watch is not None
    stages = Accompanied(policy.spec).stages(record)
    last = max((number for number, stage in enumerate(stages) if stage.gated), default=0)
    since = record.watch.since
    return replace(
        record,
        phase=Phase.BATCH if last else Phase.CANARY,
        stage=last,
        stage_since=since,
        observing=(*record.observing, Span(since)),
        incumbent=with_replica_sets(record.incumbent, seen.incumbents),
        contender=with_replica_sets(record.contender, seen.contenders),
    )


def _by_limit(verdict: GateVerdict) -> GateVerdict:
    """What a comparison says by itself from here on: a broken limit, that it sees, or that it is blind."""
    if verdict.verdict is not Verdict.DEGRADED or verdict.evidence.get("limitBroken"):
        return replace(verdict, leaning=False)
    because = f"nothing is left to compare with ({verdict.because})"
    return replace(verdict, verdict=Verdict.UNDECIDED, because=because, leaning=False)


def _ask_band(
    look: Look, gate: Gate, band: LearnedBand, share: float, verdict: GateVerdict, watch: Watching
) -> Reading[tuple[GateVerdict, Forecast | None]]:
    """The present hour of the watch against its forecast, which is made once, at the hour's beginning."""
    if verdict.verdict is Verdict.DEGRADED:
        return verdict, None
    now, policy, namespace = look.seen.now, look.policy, look.app.namespace
    origin = hour_of(watch, now)
    serving = _served(look)
    forecast, made = history.known_forecast(look.record, gate.name, origin), None
    if forecast is None:
        before = totals((yield history.past_question(policy, gate, namespace, look.record, look.source, origin)))
        forecast = made = history.forecast(gate.name, band, before, origin)
        if forecast is None:
            return history.unread(verdict, before, serving, 0.0), None
    since: Totals | None = None
    question = history.since_question(policy, gate, namespace, serving, look.source, origin, now)
    if question is not None and not forecast.absent:
        answer = totals((yield question))
        if isinstance(answer, Failure):
            return history.unread(verdict, answer, serving, 0.0), made
        since = answer
    told = history.weigh(gate, policy, band, forecast, since, share, now, serving.turnover)
    return history.combined(verdict, told, serving, 0.0), made


def hour_of(watch: Watching, now: float) -> float:
    """When the hour of the watch began that lasts now, in epoch seconds, a multiple of five minutes."""
    begun = int(max(0.0, min(now, watch.until - 1.0) - watch.since) // history.HOUR)
    return (watch.since + begun * history.HOUR) // BAND_STEP * BAND_STEP


def _served(look: Look) -> history.Serving:
    """Nobody of the day before serves any more: whoever does is new."""
    before, ours = look.record.desired, look.seen.ready("contender")
    return history.Serving(0.0, history.slots(look.record), Turnover(max(before, 1), 0, ours))
