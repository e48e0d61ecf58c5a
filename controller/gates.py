"""Observation and gate in, verdict out: which counters a gate needs, and what its comparison says of the answers.

A gate asks at most two queries per look. The evidence of a whole release is computed anew at every look from what the
store holds, so nothing is lost with the process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from analysis.comparisons import COMPARISONS, ComparisonInput, Settings, error_settings, latency_settings
from analysis.counting import ALIGNMENT, count_buckets, count_events
from analysis.samples import CounterSeries, Frame, Groups, Histogram, Tally
from analysis.verdict import Absence, Evidence, NoData
from controller.release import GateVerdict, Observation, Record
from controller.requests import Counts, Failure, FailureKind, FetchCounts, Source, Term
from policies.schema import Gate, ReleasePolicy

Answers = Mapping[str, Counts | Failure]  # by term

# The field of the policy that names a selector -> the term of the comparison that reads it.
_TERMS: Mapping[str, Term] = {"errors": "errors", "requests": "requests", "histogram": "buckets"}
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
    policy: ReleasePolicy, gate: Gate, namespace: str, names: tuple[str, ...], source: Source, start: float, end: float
) -> tuple[FetchCounts, ...]:
    """The queries of one gate, at instants one window apart from `start` to `end` (seconds), both aligned."""
    first = max(start, end - (_MOST_INSTANTS - 1) * source.window)
    return tuple(
        FetchCounts(
            source=policy.spec.metrics.source,
            gate=gate.name,
            term=_TERMS[field],
            selector=selector,
            namespace=namespace,
            namespace_label=policy.spec.metrics.namespace,
            pod_label=policy.spec.metrics.pod,
            replica_sets=names,
            start=first,
            end=end,
            step=source.window,
            fresh_within=2 * source.scrape,
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
    gate: Gate, policy: ReleasePolicy, record: Record, seen: Observation, source: Source, answers: Answers
) -> GateVerdict:
    """What one gate says at this look. `answers` has the store's answer to each of its questions, by term."""
    terms: dict[str, tuple[CounterSeries, ...]] = {}
    unread: Absence | None = None
    for term, answer in answers.items():
        if isinstance(answer, Failure):
            unread = Absence(_NO_DATA.get(answer.kind, NoData.UNREACHABLE), answer.message)
        else:
            terms[term] = answer.series
    if not answers:
        unread = Absence(NoData.NO_WINDOW, "no window is complete yet")
    groups = _groups(record, seen, terms)
    frame = Frame(groups, _spans(record, seen.now), source.window)
    evidence: Evidence = COMPARISONS[gate.kind](ComparisonInput(frame, settings(gate, policy), terms, unread))
    tally = _tally(gate, terms, frame) if unread is None else None
    soak, batch = (
        _usable_since(tally, since) if tally is not None else 0 for since in (_span_start(record), record.stage_since)
    )
    return GateVerdict(
        gate=gate.name,
        verdict=evidence.verdict,
        because=evidence.because,
        required=gate.required,
        observed=soak * source.window,
        watched=batch * source.window,
        evidence=evidence.to_dict(),
    )


def settings(gate: Gate, policy: ReleasePolicy) -> Settings:
    """The comparison's settings from the words of the policy."""
    alpha = policy.spec.promise.false_rollback.fraction
    limit = gate.limit.share if gate.limit is not None else None
    margin = gate.margin
    if gate.latency is not None:
        objective = gate.latency.objective
        return latency_settings(
            alpha=alpha,
            margin_ratio=margin.ratio or 1.08,
            limit=limit,
            objective=objective.seconds if objective is not None else None,
        )
    if margin.points is not None:
        return error_settings(alpha=alpha, margin_points=margin.points, limit=limit)
    return error_settings(alpha=alpha, margin_ratio=margin.ratio, limit=limit)


def _spans(record: Record, now: float) -> tuple[tuple[float, float], ...]:
    spans = ((span.start, span.end if span.end is not None else now) for span in record.observing)
    return tuple((start, end) for start, end in spans if end > start)


def _span_start(record: Record) -> float:
    return record.observing[-1].start if record.observing else 0.0


def _tally(gate: Gate, terms: Mapping[str, Sequence[CounterSeries]], frame: Frame) -> Tally | None:
    """The gate's counts per pod and settled window; None where there is no usable one."""
    if not frame.settled:
        return None
    counted = (
        count_buckets(terms.get("buckets", ()), frame)
        if gate.latency is not None
        else count_events(terms.get("requests", ()), terms.get("errors", ()), frame)
    )
    match counted:
        case Absence():
            return None
        case Histogram():
            return counted.tally
    return counted


def _usable_since(tally: Tally, since: float) -> int:
    """Windows that began at `since` or later in which the contender had usable data; 0 while no request reached it.

    Time in which nobody asked the contender anything is no observation, however well its counters were scraped.
    """
    ours, kept = tally.contender, tally.ends - tally.window >= since - ALIGNMENT
    if not tally.exposure[ours][:, kept].any():
        return 0
    return int(tally.seen[ours][:, kept].any(axis=0).sum())


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
    )


def _pods_of(names: Sequence[str], pods: set[str]) -> set[str]:
    known = set(names)
    return {pod for pod in pods if pod[: -_POD_SUFFIX - 1] in known and pod[-_POD_SUFFIX - 1] == "-"}
