"""Fetches what one policy's gates are learned from, and counts it; what cannot be had is left out with a reason.

One question after the other, all of them through one `History`: the store is asked gently, and whoever stops the
process waits for one answer at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.counting import count_buckets, count_events, count_rate
from analysis.learned import NotLearned
from analysis.levels import Levels, read_levels
from analysis.samples import CounterSeries, Frame, Groups, Histogram, Tally
from analysis.verdict import Absence
from controller.attempt import seconds
from controller.baseline import Excluded
from controller.learning import fetch_plan
from controller.learning.asks import (
    FetchAlerts,
    FetchLevels,
    FetchPods,
    FetchPresence,
    History,
    PodSeries,
    Presence,
    Scope,
    Unfetched,
    Why,
)
from controller.learning.fetch_plan import Rollout, Span
from controller.requests.fetches import FetchTotals, Term, Totals
from controller.settings import Source
from controller.strategies import strategy_of, targets_of
from policies.schema import Gate, ReleasePolicy, Selector

Counted = Tally | Histogram | Levels
_TERMS: Mapping[str, Term] = {"errors": "errors", "requests": "requests", "histogram": "buckets", "events": "events"}
_PRESENCE_STEP = 300.0
# What ends the questions of a gate at once: the next one would be answered alike.
_HOPELESS = frozenset(
    {Why.UNREACHABLE, Why.REFUSED, Why.NATIVE, Why.RECORDED, Why.DOUBLED, Why.TOO_LARGE, Why.NO_SERIES}
)
_MOST_LOST = 0.25  # share of a gate's segments that may be lost to time-outs and odd answers


class Stopped(Exception):
    """The process is asked to stop in the middle of the questions."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: `done` of `total` questions, and what is asked at the moment."""

    done: int
    total: int
    doing: str


Told = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose history: a policy in a namespace, the store that has it, and how that store scrapes."""

    policy: ReleasePolicy
    namespace: str
    store: History
    source: Source

    @property
    def scope(self) -> Scope:
        """The pods of all the app's ReplicaSets, those of the spare slot included."""
        spec = self.policy.spec
        deployments = strategy_of(spec).slot_names(spec.target.deployment)
        return Scope(spec.metrics.source, self.namespace, spec.metrics.namespace, spec.metrics.pod, tuple(deployments))


@dataclass(frozen=True, slots=True)
class GateHistory:
    """What was counted of one gate: per segment, and around past rollouts with the births of pods (seconds)."""

    gate: Gate
    segments: tuple[Counted, ...] = ()
    rollouts: tuple[tuple[Counted, Mapping[str, float]], ...] = ()
    line: Totals | NotLearned | None = None
    trouble: NotLearned | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that history says about a policy. start, end: the span that has data, in epoch seconds.

    segments: as they were asked for. length: seconds of one. coverage: share of wanted windows that had data.
    """

    start: float
    end: float
    window: float
    length: float
    segments: tuple[Span, ...]
    excluded: tuple[Excluded, ...]
    rollouts: tuple[Rollout, ...]
    gates: Mapping[str, GateHistory] = field(default_factory=dict)
    coverage: float = 0.0


def gather(
    subject: Subject,
    now: float,
    *,
    releases: Sequence[Mapping[str, Any]] = (),
    span: float | None = None,
    hours: Sequence[float] | None = None,
    bands: bool = True,
    progress: Told = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Gathered:
    """Ask for everything that a policy is learned from.

    now: epoch seconds; nothing later is asked for. releases: Release objects of the policy, whose time is left out.
    span: seconds back from now, by default those of the policy. hours: weights of the 24 hours (UTC) of a day. bands:
    whether the series of all pods together are wanted. Raises Stopped.
    """
    window = subject.source.window
    asker = _Asker(subject, progress, stopping)
    back = span if span is not None else subject.policy.spec.baseline.history.seconds
    bounds = fetch_plan.aligned((now - back, now - subject.source.scrape), window)
    presence = asker.presence(bounds)
    if isinstance(presence, NotLearned):
        gates = {gate.name: GateHistory(gate, trouble=presence) for gate in subject.policy.spec.learnable}
        return Gathered(*bounds, window, 0.0, (), (), (), gates)
    seen = [at for instants in presence.pods.values() for at, _ in instants]
    if min(seen) - bounds[0] >= _PRESENCE_STEP:
        bounds = min(seen), bounds[1]  # the store remembers no more than this, or the app is not older
    rollouts = fetch_plan.rollouts_of(presence, _PRESENCE_STEP)
    left_out = (*fetch_plan.excluded_by(rollouts, released(releases, now)), *asker.incidents(bounds))
    excluded = tuple(
        sorted(
            (one for one in left_out if one.end > bounds[0] and one.start < bounds[1]),
            key=lambda one: (one.start, one.end),
        )
    )
    free = fetch_plan.free_of(bounds, excluded)
    length = fetch_plan.segment_length(free, release_seconds(subject.policy), window)
    segments = fetch_plan.segments_of(free, length, window, hours=hours)
    around = [fetch_plan.around(one, window, bounds) for one in rollouts[-fetch_plan.MOST_ROLLOUTS :]]
    asker.plan(len(segments), sum(one is not None for one in around), bands=bands)
    gates = {}
    for gate in subject.policy.spec.learnable:
        found = asker.gate(gate, segments, [one for one in around if one is not None], max(seen))
        if bands:
            found = replace(found, line=asker.line(gate, bounds))
        gates[gate.name] = found
    return Gathered(
        *bounds, window, length, segments, excluded, rollouts, gates, _coverage(gates.values(), segments, window)
    )


def recent(subject: Subject, now: float, seconds_back: float, **how: Any) -> Gathered:
    """The last seconds as one segment per gate, without a band; rollouts in them are not looked for. Raises Stopped."""
    asker = _Asker(subject, how.get("progress", lambda _: None), how.get("stopping", lambda: False))
    window = subject.source.window
    span = fetch_plan.aligned((now - seconds_back, now - subject.source.scrape), window)
    asker.plan(1, 0, bands=False)
    gates = {gate.name: asker.gate(gate, [span], [], span[1]) for gate in subject.policy.spec.learnable}
    coverage = _coverage(gates.values(), [span], window)
    return Gathered(*span, window, span[1] - span[0], (span,), (), (), gates, coverage)


def release_seconds(policy: ReleasePolicy) -> float:
    """How long all stages of a release may take, each watched as long as it may be."""
    spec = policy.spec
    return len(targets_of(spec, 1_000)) * float(spec.observe.at_most.seconds)


def released(releases: Iterable[Mapping[str, Any]], now: float) -> Iterator[Excluded]:
    """When releases moved pods, from their objects; one that is under way lasts until now."""
    for obj in releases:
        metadata, status = obj.get("metadata") or {}, obj.get("status") or {}
        phase = str(status.get("phase") or "Queued")
        if phase in ("Queued", "Preflight", "Cancelled"):
            continue
        try:
            begin = seconds(str(metadata.get("creationTimestamp", "")))
            ended = phase in ("Succeeded", "RolledBack", "NeedsHuman")
            end = seconds(str(status.get("since", ""))) if ended else now
        except ValueError:
            continue
        if 0.0 < begin <= end:
            yield Excluded(begin, end, f"release {metadata.get('name', '')} {phase}")


def _coverage(gates: Iterable[GateHistory], segments: Sequence[Span], window: float) -> float:
    """The share of wanted windows in which a gate saw anything, of the gate that saw least."""
    wanted = sum(round((end - begin) / window) for begin, end in segments)
    shares = [sum(_windows(one) for one in gate.segments) / wanted for gate in gates if wanted]
    return min(1.0, min(shares, default=0.0))


def _windows(one: Counted) -> int:
    seen = one.tally.seen if isinstance(one, Histogram) else one.seen
    return int(np.any(seen, axis=0).sum())


class _Asker:
    """The questions about one subject, counted."""

    def __init__(self, subject: Subject, progress: Told, stopping: Callable[[], bool]) -> None:
        self._subject = subject
        self._scope = subject.scope
        self._progress = progress
        self._stopping = stopping
        self._done = 0
        self._total = 1

    def plan(self, segments: int, rollouts: int, *, bands: bool) -> None:
        """How many questions there will be."""
        each = sum(
            1 + (segments + rollouts) * max(1, len(gate.selectors())) + bands
            for gate in self._subject.policy.spec.learnable
        )
        self._total = self._done + each

    def presence(self, bounds: Span) -> Presence | NotLearned:
        """Which ReplicaSets had pods, told by the first gate whose series says it."""
        trouble: NotLearned | None = None
        for gate in self._subject.policy.spec.learnable:
            for selector in _witnesses(gate):
                self._step("which versions ran when")
                stretch = fetch_plan.stretch(fetch_plan.aligned(bounds, _PRESENCE_STEP), _PRESENCE_STEP, _PRESENCE_STEP)
                found = self._subject.store.presence(FetchPresence(self._scope, gate.name, selector, stretch))
                if isinstance(found, Unfetched):
                    trouble = trouble or _untaught(found, gate)
                elif found.pods:
                    return found
                else:
                    why = self._subject.store.diagnose(
                        self._scope, gate.name, selector, stretch.end, self._subject.source.window
                    )
                    trouble = trouble or (_untaught(why, gate) if why is not None else None)
        return trouble or NotLearned("NoSeries", "the store has no series of any pod of the app")

    def incidents(self, bounds: Span) -> tuple[Excluded, ...]:
        """When alerts fired. A store that does not say so (the rules are evaluated elsewhere) leaves nothing out."""
        self._step("which alerts fired when")
        step = _PRESENCE_STEP
        found = self._subject.store.alerts(
            FetchAlerts(self._scope, fetch_plan.stretch(fetch_plan.aligned(bounds, step), step, step))
        )
        return () if isinstance(found, Unfetched) else fetch_plan.incidents_of(found, step, bounds)

    def gate(self, gate: Gate, segments: Sequence[Span], around: Sequence[Span], at: float) -> GateHistory:
        """Everything of one gate. at: an instant at which there was data."""
        self._step(f"gate {gate.name}: is its series sound")
        for field_name, selector in gate.selectors().items():
            if field_name == "errors":
                continue  # a service without a failure has no series of them
            why = self._subject.store.diagnose(self._scope, gate.name, selector, at, _PRESENCE_STEP)
            if why is not None:
                return GateHistory(gate, trouble=_untaught(why, gate))
        counted: list[Counted] = []
        lost: list[Unfetched] = []
        for number, span in enumerate(segments, 1):
            found = self._counted(gate, span, f"gate {gate.name}: segment {number} of {len(segments)}")
            if isinstance(found, Unfetched):
                lost.append(found)
                if found.why in _HOPELESS or len(lost) > max(1.0, _MOST_LOST * len(segments)):
                    return GateHistory(gate, trouble=_untaught(found, gate))
            elif found is not None:
                counted.append(found[0])
        rollouts: list[tuple[Counted, Mapping[str, float]]] = []
        for number, span in enumerate(around, 1):
            found = self._counted(gate, span, f"gate {gate.name}: rollout {number} of {len(around)}")
            if found is not None and not isinstance(found, Unfetched) and found[1]:
                rollouts.append(found)
        return GateHistory(gate, tuple(counted), tuple(rollouts))

    def line(self, gate: Gate, bounds: Span) -> Totals | NotLearned:
        """The series of all pods together, one number per five minutes."""
        self._step(f"gate {gate.name}: its usual course")
        begin, end = fetch_plan.aligned(bounds, fetch_plan.BAND_STEP)
        found = self._subject.store.totals(totals_of(self._subject, gate, begin, end))
        return _untaught(found, gate) if isinstance(found, Unfetched) else found

    def _counted(self, gate: Gate, span: Span, doing: str) -> tuple[Counted, Mapping[str, float]] | Unfetched | None:
        """One stretch of one gate and the births of pods in it; None where there was nothing."""
        terms: dict[str, tuple[CounterSeries, ...]] = {}
        for term, ask in _asks(self._subject, gate, span):
            self._step(doing)
            answer = self._subject.store.pods(ask)
            if isinstance(answer, Unfetched):
                return answer
            terms[term] = answer.series
        return counted(gate, terms, span, self._subject.source.window)

    def _step(self, doing: str) -> None:
        if self._stopping():
            raise Stopped
        self._progress(Progress(self._done, max(self._total, self._done + 1), doing))
        self._done += 1


def counted(
    gate: Gate, terms: Mapping[str, tuple[CounterSeries, ...]], span: Span, window: float
) -> tuple[Counted, Mapping[str, float]] | None:
    """The counts of one stretch and the births (seconds) of pods that appeared in it; None where there is nothing.

    A pod was born in it when its first sample lies after the stretch's own beginning.
    """
    series = [one for many in terms.values() for one in many if one.times]
    pods = tuple(sorted({one.pod for one in series}))
    if not pods:
        return None
    first: dict[str, float] = {}
    for one in series:
        first[one.pod] = min(first.get(one.pod, one.times[0]), one.times[0])
    born = {pod: at for pod, at in first.items() if at > span[0] + 1.5 * window}
    frame = Frame(Groups((), pods, born=born), (span,), window)
    found: Tally | Histogram | Levels | Absence
    match gate.kind:
        case "errorRatio":
            found = count_events(terms.get("requests", ()), terms.get("errors", ()), frame)
        case "latency":
            found = count_buckets(terms.get("buckets", ()), frame)
        case "throughput":
            found = count_rate(terms.get("events", ()), frame)
        case "gauge":
            found = read_levels(terms.get("readings", ()), frame)
    return None if isinstance(found, Absence) else (found, born)


def totals_of(subject: Subject, gate: Gate, start: float, end: float) -> FetchTotals:
    """The question for a gate's one number of all pods together, at five-minute instants."""
    scope = subject.scope
    return FetchTotals(
        source=scope.source,
        gate=gate.name,
        of=gate.kind,
        selectors=tuple(gate.selectors().items()),
        query=gate.gauge.query if gate.gauge is not None else None,
        namespace=scope.namespace,
        namespace_label=scope.namespace_label,
        pod_label=scope.pod_label,
        deployments=scope.deployments,
        start=start,
        end=end,
        step=fetch_plan.BAND_STEP,
        fresh_within=2 * subject.source.scrape,
    )


def _asks(subject: Subject, gate: Gate, span: Span) -> Iterator[tuple[str, FetchPods | FetchLevels]]:
    stretch = fetch_plan.stretch(span, subject.source.window, 2 * subject.source.scrape)
    if gate.gauge is not None:
        yield "readings", FetchLevels(subject.scope, gate.name, gate.gauge.query, stretch)
    mix = gate.error_ratio.mix if gate.error_ratio is not None else None
    for field_name, selector in gate.selectors().items():
        term = _TERMS[field_name]
        yield term, FetchPods(subject.scope, gate.name, term, selector, stretch, mix)


def _witnesses(gate: Gate) -> Iterator[Selector]:
    """Selectors whose series exist as long as a pod does."""
    for field_name, selector in gate.selectors().items():
        if field_name != "errors":
            yield selector
    if gate.gauge is not None:
        for metric in gate.gauge.query.metrics():
            yield Selector(metric)


def _untaught(found: Unfetched, gate: Gate) -> NotLearned:
    """Without the name of the gate: whoever tells it says for which gate."""
    return NotLearned(found.why.value, found.detail.removeprefix(f"gate {gate.name}: "))


__all__ = [
    "Counted", "GateHistory", "Gathered", "PodSeries", "Progress", "Stopped", "Subject", "counted", "gather", "recent",
    "release_seconds", "released", "totals_of",
]  # fmt: skip
