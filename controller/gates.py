"""Observation and gate in, verdict out: which counters a gate needs, and what its comparison says of the answers.

A gate asks at most two queries per look. The evidence of a whole release is computed anew at every look from what the
store holds, so nothing is lost with the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from analysis.comparisons import ComparisonInput, Settings, error_settings, latency_settings
from analysis.comparisons.again import compared
from analysis.engine import Worse
from analysis.learned import Learned, LearnedCounts, NotLearned
from analysis.levels import gauge_settings
from analysis.question import throughput_settings
from analysis.samples import CounterSeries, Frame, Groups
from analysis.verdict import Absence, NoData
from controller import before, versions
from controller.release.observation import Observation
from controller.release.record import GateVerdict, Record
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts, FetchReadings, Term
from controller.settings import Source
from controller.versions import sides_of
from policies.kept import kept
from policies.schema import Gate, ReleasePolicy

Answers = Mapping[str, Counts | Failure]  # by term

# The field of the policy that names a selector -> the term of the comparison that reads it.
_TERMS: Mapping[str, Term] = {
    "errors": "errors",
    "requests": "requests",
    "histogram": "buckets",
    "events": "events",
}
_MOST_INSTANTS = 10_000  # a store refuses more than 11,000 points a series
_POD_SUFFIX = 5  # characters that a ReplicaSet adds to its name for a pod, after a hyphen

_NO_DATA = {
    FailureKind.UNAVAILABLE: NoData.UNREACHABLE,
    FailureKind.THROTTLED: NoData.UNREACHABLE,
    FailureKind.UNAUTHORIZED: NoData.ERROR_STATUS,
    FailureKind.FORBIDDEN: NoData.ERROR_STATUS,
    FailureKind.INVALID: NoData.QUERY_REFUSED,
}


def replica_sets(record: Record) -> tuple[str, ...]:
    """Every ReplicaSet whose pods this release has seen, on both sides."""
    return tuple(
        dict.fromkeys(
            name for slot in (record.contender, record.incumbent) if slot is not None for name in slot.replica_sets
        )
    )


def questions(
    policy: ReleasePolicy,
    gate: Gate,
    namespace: str,
    names: tuple[str, ...],
    source: Source,
    start: float,
    end: float,
    learned: Learned | NotLearned | None = None,
    *,
    values: tuple[str, ...] = (),
) -> tuple[FetchCounts | FetchReadings, ...]:
    """The queries of one gate, at instants one window apart from `start` to `end` (seconds), both aligned.

    `values`: those of the label that a gate with `by` names; nothing is asked while they are not known.
    """
    by = gate.by
    if by is not None and not values:
        return ()
    first = max(start, end - (_MOST_INSTANTS - 1) * source.window)
    metrics = policy.spec.metrics
    if gate.gauge is not None:
        query = gate.gauge.query
        reading = FetchReadings(
            metrics.source, gate.name, query, namespace, metrics.pod, names, first, end, source.window
        )
        return (reading,)
    # Counters are split by route only for a gate that knows what routes there were.
    mixed = isinstance(learned, LearnedCounts) and bool(learned.mix) and gate.error_ratio is not None
    return tuple(
        FetchCounts(
            source=metrics.source,
            gate=gate.name,
            term=_TERMS[field],
            selector=selector,
            namespace=namespace,
            namespace_label=(by.namespace if by is not None else None) or metrics.namespace,
            pod_label=by.label if by is not None else metrics.pod,
            replica_sets=names if by is None else (),
            start=first,
            end=end,
            step=source.window,
            fresh_within=2 * source.scrape,
            stratum=gate.error_ratio.mix if mixed and gate.error_ratio is not None else None,
            values=values if by is not None else (),
        )
        for field, selector in gate.selectors().items()
    )


def instants(record: Record, source: Source, now: float) -> tuple[float, float] | None:
    """First and last aligned instant of the settled time, or None before the first window is complete.

    The last one lies a scrape in the past: the samples up to it have arrived.
    """
    if not record.observing:
        return None
    start = math.floor(record.observing[0].start / source.window) * source.window
    end = math.floor((now - source.scrape) / source.window) * source.window
    return (start, end) if end > start else None


def judge(
    gate: Gate,
    policy: ReleasePolicy,
    record: Record,
    seen: Observation,
    source: Source,
    answers: Answers,
    learned: Learned | NotLearned | None = None,
    *,
    beside: bool = True,
) -> GateVerdict:
    """What one gate says at this look. `answers` has the store's answer to each of its questions, by term.

    `learned` is what history taught about this gate, or why it taught nothing; None where nobody learns. `beside`:
    whether incumbents serve too; else the contender of this stage is held against what they did before the release.
    """
    terms: dict[str, tuple[CounterSeries, ...]] = {}
    unread: Absence | None = None
    for term, answer in answers.items():
        if isinstance(answer, Failure):
            unread = Absence(_NO_DATA.get(answer.kind, NoData.UNREACHABLE), answer.message)
        else:
            terms[term] = answer.series
    if not answers:
        unread = Absence(NoData.NO_WINDOW, "no window is complete yet")
    groups = _groups(record, seen, terms) if gate.by is None else versions.groups(sides_of(gate.by, record), seen)
    if not beside:
        terms, groups = before.paired(terms, groups, record, source, seen.now)
        learned = before.NOT_COVERED if learned is not None else None
    since = -math.inf if beside else record.stage_since
    frame = Frame(groups, tuple(span for span in _spans(record, seen.now) if span[0] >= since), source.window)
    asked = ComparisonInput(frame, settings(gate, policy), terms, unread, learned)
    evidence = compared(gate.kind, asked)
    seen_in = evidence.windows
    soak, batch = (seen_in.since(at) if seen_in is not None else 0 for at in (_span_start(record), record.stage_since))
    return GateVerdict(
        gate=gate.name,
        verdict=evidence.verdict,
        because="".join((evidence.because, *_grounds(gate, beside=beside))),
        required=gate.required,
        observed=soak * source.window,
        watched=batch * source.window,
        leaning=evidence.leaning,
        could_hide=evidence.could_hide
        if evidence.could_hide is not None and math.isfinite(evidence.could_hide)
        else None,
        evidence=evidence.to_dict(),
    )


def _grounds(gate: Gate, *, beside: bool) -> Iterator[str]:
    """What a comparison assumes, in words beside its numbers."""
    if not beside:
        yield " (against the minutes before the release)"
    if gate.by is not None:
        yield " (one series for each version: the noise of pods is assumed)"


@kept
def settings(gate: Gate, policy: ReleasePolicy) -> Settings:
    """The comparison's settings from the words of the policy."""
    promise = policy.spec.promise
    return replace(_settings(gate, promise.false_rollback.fraction), pause_alpha=promise.false_pause.fraction)


def _settings(gate: Gate, alpha: float) -> Settings:
    margin, limit = gate.margin, gate.limit
    share = limit.share if limit is not None else None
    if gate.latency is not None:
        objective = gate.latency.objective
        return latency_settings(
            alpha=alpha,
            margin_ratio=margin.ratio or 1.08,
            limit=share,
            objective=objective.seconds if objective is not None else None,
        )
    if gate.gauge is not None:
        level = limit.level if limit is not None else None
        return gauge_settings(
            alpha=alpha, margin_ratio=margin.ratio or 1.10, limit=level, worse=Worse(gate.gauge.worse)
        )
    if gate.throughput is not None:
        return throughput_settings(alpha=alpha, margin_ratio=margin.ratio or 1.25, worse=Worse(gate.throughput.worse))
    if margin.points is not None:
        return error_settings(alpha=alpha, margin_points=margin.points, limit=share)
    return error_settings(alpha=alpha, margin_ratio=margin.ratio, limit=share)


def _spans(record: Record, now: float) -> tuple[tuple[float, float], ...]:
    spans = ((span.start, span.end if span.end is not None else now) for span in record.observing)
    return tuple((start, end) for start, end in spans if end > start)


def _span_start(record: Record) -> float:
    return record.observing[-1].start if record.observing else 0.0


def _groups(record: Record, seen: Observation, terms: Mapping[str, Sequence[CounterSeries]]) -> Groups:
    """Who is who: the pods that serve now and the pods that answered, sorted by the names of their ReplicaSets."""
    answered = {series.pod for many in terms.values() for series in many}
    contenders = _pods_of(record.contender.replica_sets if record.contender else (), answered)
    incumbents = _pods_of(record.incumbent.replica_sets if record.incumbent else (), answered)
    serving = tuple(pod.name for pod in seen.contenders if not pod.terminating)
    ours = tuple(sorted(contenders | set(serving)))
    theirs = tuple(sorted((incumbents | {pod.name for pod in seen.incumbents if not pod.terminating}) - set(ours)))
    return Groups(
        contender=ours,
        incumbent=theirs,
        restarts={pod.name: pod.restarted_at for pod in (*seen.contenders, *seen.incumbents) if pod.restarted_at},
        reporting=serving,
        incumbent_serving=any(not pod.terminating for pod in seen.incumbents),
        born={pod.name: pod.ready_since for pod in (*seen.contenders, *seen.incumbents) if pod.ready_since > 0.0},
    )


def _pods_of(names: Sequence[str], pods: set[str]) -> set[str]:
    known = set(names)
    return {pod for pod in pods if pod[: -_POD_SUFFIX - 1] in known and pod[-_POD_SUFFIX - 1] == "-"}
