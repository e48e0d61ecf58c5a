"""The app against its own history: the band that was learned of a gate, held against the hour since the release began.

Two questions. While enough incumbent pods serve: have they left their band too? Then the environment is worse, and
whatever the gate says of the contender is shared. Once they serve less than a fifth there is nothing left to compare
with at the same time: then the band speaks for the app as a whole, which is nearly the contender.

Pods that come and go move the app's number by their own luck, which the band allows for: none while all incumbents
serve, the difference between a part of them and the whole once some have gone, and that between new pods and old ones
in the end.

The forecast is made once, at its origin, and kept in the record. The origin is the release's beginning, or that of the
present stage once the release is older than the hour that a band can forecast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from analysis.assumptions import BAND_FILL, BAND_HORIZON, BAND_SMALL_INCUMBENT, BAND_STEP, HISTORY_SHARE
from analysis.band import LearnedBand, opened, opening
from analysis.band_pods import NOBODY_CAME, Turnover
from analysis.band_terms import Series, series_of
from analysis.comparisons.history import HistoryInput, compare, history_share
from analysis.verdict import Absence, Evidence, NoData, Verdict
from controller.gates import settings
from controller.release.observation import Observation
from controller.release.record import Forecast, GateVerdict, Record
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import FetchTotals, Totals
from controller.settings import Source
from policies.schema import Gate, ReleasePolicy

HOUR = BAND_HORIZON * BAND_STEP  # seconds
_BEFORE = 26 * 3600.0  # seconds of history from which an hour is forecast


@dataclass(frozen=True, slots=True)
class Serving:
    """Which part of the serving pods are incumbents, in which Deployments the pods are that the band speaks of, and how
    many of those served before the release."""

    incumbent_share: float
    deployments: tuple[str, ...]
    turnover: Turnover = NOBODY_CAME

    @property
    def alone(self) -> bool:
        """Whether too few incumbents are left for a comparison."""
        return self.incumbent_share < BAND_SMALL_INCUMBENT


def serving(record: Record, seen: Observation, *, beside: bool = True) -> Serving:
    """Who serves now; incumbents that are ready but get no requests (not `beside`) do not."""
    ours, theirs = seen.ready("contender"), seen.ready("incumbent") if beside else 0
    share = theirs / (ours + theirs) if ours + theirs else 1.0
    both = slots(record)
    alone = share < BAND_SMALL_INCUMBENT
    before = max(record.desired, theirs)
    return Serving(share, both if alone else both[:1], Turnover(before, theirs, ours if alone else 0))


def slots(record: Record) -> tuple[str, ...]:
    """The incumbent's Deployment, then the contender's."""
    return tuple(slot.name for slot in (record.incumbent, record.contender) if slot is not None)


def may_speak(gate: Gate, now: Serving) -> bool:
    """Whether the band of a gate has anything to say. Incumbents that shrink get less done, which is no harm."""
    return now.alone or gate.throughput is None


def share_in_watch(seconds: float, *, among: int, calibrated: bool) -> float:
    """The part of a gate's alpha that its band has in each hour of a watch of this length.

    Half of what the band has of a release goes to its stages where a watch follows, and half to the hours of the watch.
    """
    whole = HISTORY_SHARE if calibrated else history_share(0.0)
    return 0.5 * whole / (max(among, 1) * max(1, math.ceil(seconds / HOUR)))


def share_of(now: Serving, *, among: int, calibrated: bool, watched: bool = False) -> float:
    """The part of a gate's alpha that its band has, among so many bands that can speak in this release.

    Where the comparison with incumbents was calibrated it has had its 80 %, and what is spent is not spent again; an
    assumed one has promised nothing, so the band may have as much. What leads to Shared pauses, and turns nothing back.
    `watched`: whether a watch follows, which has half of it.
    """
    whole = 1.0 if not now.alone else HISTORY_SHARE if calibrated else history_share(now.incumbent_share)
    return whole * (0.5 if watched and now.alone else 1.0) / max(among, 1)


def origin_of(record: Record, now: float) -> float:
    """When the forecast of the present look was made, in epoch seconds, a multiple of five minutes."""
    start = record.started if now - record.started <= HOUR else record.stage_since
    return math.floor(start / BAND_STEP) * BAND_STEP


def known_forecast(record: Record, gate: str, origin: float) -> Forecast | None:
    """The forecast that was made at this origin."""
    return next((each for each in record.forecasts if each.gate == gate and each.origin == origin), None)


def with_forecasts(record: Record, made: tuple[Forecast, ...]) -> Record:
    """The record with new forecasts in the place of those of the same gates."""
    if not made:
        return record
    gates = {each.gate for each in made}
    return replace(record, forecasts=(*(each for each in record.forecasts if each.gate not in gates), *made))


def past_question(
    policy: ReleasePolicy, gate: Gate, namespace: str, record: Record, source: Source, origin: float
) -> FetchTotals:
    """What the app's number was up to the origin, over both slots: they took turns."""
    return _question(policy, gate, namespace, slots(record), source, origin - _BEFORE, origin)


def since_question(
    policy: ReleasePolicy, gate: Gate, namespace: str, now: Serving, source: Source, origin: float, at: float
) -> FetchTotals | None:
    """What it was since; None before the first five minutes are complete. The last scrape before `at` has arrived."""
    end = min(math.floor((at - source.scrape) / BAND_STEP) * BAND_STEP, origin + HOUR)
    if end <= origin:
        return None
    return _question(policy, gate, namespace, now.deployments, source, origin + BAND_STEP, end)


def _question(
    policy: ReleasePolicy,
    gate: Gate,
    namespace: str,
    deployments: tuple[str, ...],
    source: Source,
    start: float,
    end: float,
) -> FetchTotals:
    metrics = policy.spec.metrics
    return FetchTotals(
        source=metrics.source,
        gate=gate.name,
        of=gate.kind,
        selectors=tuple(gate.selectors().items()),
        query=gate.gauge.query if gate.gauge is not None else None,
        namespace=namespace,
        namespace_label=metrics.namespace,
        pod_label=metrics.pod,
        deployments=deployments,
        start=start,
        end=end,
        step=BAND_STEP,
        fresh_within=2 * source.scrape,
    )


def forecast(gate: str, band: LearnedBand, answer: Totals | Failure, origin: float) -> Forecast | None:
    """The forecast at the origin, or why there is none for good; None where the store may answer another time."""
    if isinstance(answer, Failure):
        refused = answer.kind is FailureKind.INVALID
        return (
            Forecast(gate, origin, absent=f"the store refuses the query: {answer.message}"[:256]) if refused else None
        )
    before = _whole(series_of(answer.times, answer.values), origin)
    made = before if isinstance(before, Absence) else opening(band, before)
    if isinstance(made, Absence):
        return Forecast(gate, origin, absent=made.detail[:256])
    return Forecast(gate, origin, made.to_dict())


def _whole(before: Series | Absence, origin: float) -> Series | Absence:
    """The series, unless it ends too long before the origin: the forecast is made at its last point."""
    if isinstance(before, Absence) or before.end >= origin - BAND_FILL * BAND_STEP - 1e-3:
        return before
    late = (origin - before.end) / 60.0
    return Absence(NoData.STALE, f"the last point is {late:.0f} minutes older than the beginning of the forecast")


def weigh(
    gate: Gate,
    policy: ReleasePolicy,
    band: LearnedBand,
    made: Forecast,
    answer: Totals | None,
    share: float,
    at: float,
    turnover: Turnover = NOBODY_CAME,
) -> Evidence:
    """What the band says of the answer, with `share` of the gate's alpha; `at` is now, in epoch seconds."""
    start = Absence(NoData.NO_HISTORY, made.absent) if made.absent else opened(made.numbers)
    after: Series | Absence
    if answer is None:
        after = Absence(NoData.NO_SERIES, "no five minutes are complete yet")
    else:
        after = series_of(answer.times, answer.values)
    return compare(HistoryInput(band, start, after, at, settings(gate, policy), share, turnover))


def combined(verdict: GateVerdict, history: Evidence, now: Serving, at_most: float) -> GateVerdict:
    """The gate's verdict with what history adds to it; a band that knows nothing changes nothing.

    A worse contender beside its incumbents stays one, whatever the environment does. `at_most`: seconds for which a
    stage is observed; a band may use all of that, and no time beyond it, for what it does not know.
    """
    told = replace(verdict, evidence={**verdict.evidence, "history": _told(history)})
    if verdict.verdict in (Verdict.DEGRADED, Verdict.BLIND) or history.verdict is Verdict.BLIND:
        return told
    if not now.alone:
        if history.verdict is not Verdict.DEGRADED:
            return told
        because = f"both versions are worse than history: the incumbents have {history.because}"
        return replace(told, verdict=Verdict.SHARED, because=because)
    if history.verdict is Verdict.DEGRADED:
        return replace(told, verdict=Verdict.DEGRADED, because=f"worse than history: {history.because}")
    unsure = history.verdict is Verdict.UNDECIDED and (history.leaning or verdict.watched < at_most)
    if verdict.verdict is Verdict.HEALTHY and unsure:
        because = f"{verdict.because}; history: {history.because}"
        return replace(told, verdict=Verdict.UNDECIDED, because=because, leaning=verdict.leaning or history.leaning)
    return replace(told, leaning=verdict.leaning or history.leaning)


def unread(verdict: GateVerdict, answer: Totals | Failure, now: Serving, at_most: float) -> GateVerdict:
    """The gate's verdict where the store did not answer about the app as a whole.

    With few incumbents left history is a witness that is waited for, as long as the stage is observed in any case.
    """
    said = answer.message if isinstance(answer, Failure) else "no answer"
    told = replace(verdict, evidence={**verdict.evidence, "history": {"verdict": "Blind", "because": said[:280]}})
    if now.alone and verdict.verdict is Verdict.HEALTHY and verdict.watched < at_most:
        because = f"{verdict.because}; history cannot be read: {said}"
        return replace(told, verdict=Verdict.UNDECIDED, because=because)
    return told


def _told(history: Evidence) -> dict[str, object]:
    """The part of the evidence that a record keeps."""
    whole = history.to_dict()
    kept = ("verdict", "because", "logEvidence", "marginEvidence", "guarantee", "effect", "noData")
    return {name: whole[name] for name in kept if name in whole}
