"""Prometheus and everything that speaks its HTTP API: composes the query, and trusts no answer that it cannot prove.

Theory. A gate counts events, so it needs the raw values of counters at chosen instants, per pod and no further
aggregated. `last_over_time(selector[freshness])` is the newest sample of each series at an instant, and none where the
newest is older than the freshness: without it Prometheus would repeat a value for five minutes. `sum by (pod)` adds the
series of one pod (paths, codes) together, exactly, because no rate is taken; resets are found later, pod by pod.

What counts as an answer: HTTP 200, status success, no warnings and no infos (a partial answer looks complete
otherwise), a matrix, exactly the labels asked for, no two series alike, finite numbers that are not negative, instants
on the asked grid. Everything else is a Failure, which a gate treats as blindness and never as zero.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import msgspec

from analysis.samples import CounterSeries
from controller.clock import Clock
from controller.metrics.settings import SourceSettings
from controller.metrics.transport import Transport, excerpt
from controller.requests import Counts, Failure, FailureKind, FetchCounts
from controller.wire import one_line
from policies.schema import Matcher, regex_quoted

MAX_SERIES = 20_000
_SHOWN = 256  # characters of a server's own words in a message

# What Prometheus writes for a finite float. `float()` alone also takes 1_0, inf and digits of other scripts.
_ONE = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(_ONE, re.ASCII)
_NUMBERS = re.compile(f"{_ONE}(?:,{_ONE})*", re.ASCII)
_LONGEST = 40  # characters of a number
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_POD_SUFFIX = "-[a-z0-9]{5}"


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] | None = None
    histograms: list[msgspec.Raw] | None = None


class _Data(msgspec.Struct, rename="camel"):
    result_type: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct, rename="camel"):
    status: str = ""
    data: _Data | None = None
    error_type: str = ""
    error: str = ""
    warnings: list[str] | None = None
    infos: list[str] | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_matrix = msgspec.json.Decoder(list[_Series])


class _Unusable(Exception):
    """An answer breaks a rule; the message says which."""


def compose(ask: FetchCounts) -> str:
    """The PromQL of a request. Raises ValueError for label names that are none."""
    for label in (ask.pod_label, ask.namespace_label):
        if not _LABEL.fullmatch(label):
            raise ValueError(f"{label!r} is not the name of a label")
    # By the ReplicaSet's name, so that pods that are gone still count.
    pods = "|".join(regex_quoted(name) for name in ask.replica_sets)
    selector = ask.selector.with_matchers(
        Matcher(ask.namespace_label, "=", ask.namespace),
        Matcher(ask.pod_label, "=~", f"(?:{pods}){_POD_SUFFIX}"),
    )
    by = ", ".join([ask.pod_label, "le"] if ask.term == "buckets" else [ask.pod_label])
    return f"sum by ({by}) (last_over_time({selector.text()}[{_duration(ask.fresh_within)}]))"


def _duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    if milliseconds <= 0:
        raise ValueError(f"a freshness of {seconds:g} s is no duration")
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A source of kind "prometheus". Safe to share between threads."""

    transport: Transport

    @classmethod
    def open(cls, settings: SourceSettings, clock: Clock) -> Prometheus:
        """A source that has not been asked anything yet; it needs no server to be there."""
        return cls(Transport(settings, clock))

    def fetch(self, ask: FetchCounts) -> Counts | Failure:
        """The counters of a request, or why there are none that can be trusted."""
        if not ask.replica_sets:
            return Counts(())
        try:
            query = compose(ask)
        except ValueError as error:
            return Failure(FailureKind.INVALID, f"gate {ask.gate}: {error}")
        answer = self.transport.query_range(query, start=ask.start, end=ask.end, step=ask.step)
        if isinstance(answer, Failure):
            return answer
        try:
            return Counts(_counters(_result(answer), ask))
        except _Unusable as error:
            said = self.transport.hidden(one_line(str(error)))
            return Failure(FailureKind.UNAVAILABLE, f"source {ask.source}: {said}")


def _result(body: bytes) -> list[_Series]:
    """The series of an answer that may be used at all; the status of HTTP was judged before."""
    try:
        envelope = _envelope.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise _Unusable(f"the answer is not one of Prometheus: {excerpt(body)}") from None
    if envelope.status != "success":
        raise _Unusable(f"status {envelope.status or 'missing'}: {envelope.error_type} {envelope.error}"[:_SHOWN])
    for word, notes in (("warning", envelope.warnings), ("info", envelope.infos)):
        if notes:
            raise _Unusable(f"the answer may be partial, it carries a {word}: {notes[0]}"[:_SHOWN])
    if envelope.data is None or envelope.data.result_type != "matrix":
        found = envelope.data.result_type if envelope.data is not None else "nothing"
        raise _Unusable(f"a matrix was asked for, the answer is {found[:40] or 'untyped'}")
    try:
        series = _matrix.decode(envelope.data.result)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Unusable(f"a series is malformed: {error}") from None
    if len(series) > MAX_SERIES:
        raise _Unusable(f"{len(series)} series, more than {MAX_SERIES}")
    return series


def _counters(series: list[_Series], ask: FetchCounts) -> tuple[CounterSeries, ...]:
    labels = {ask.pod_label, "le"} if ask.term == "buckets" else {ask.pod_label}
    ours = re.compile(f"(?:{'|'.join(re.escape(name) for name in ask.replica_sets)}){_POD_SUFFIX}", re.ASCII)
    found: dict[tuple[str, str | None], CounterSeries] = {}
    known: dict[tuple[float, ...], tuple[float, ...]] = {}
    for one in series:
        if one.metric.keys() != labels:
            raise _Unusable(f"a series has the labels {sorted(one.metric)}, asked for were {sorted(labels)}")
        if one.histograms:
            raise _Unusable("a native histogram where numbers were asked for")
        pod, le = one.metric[ask.pod_label], one.metric.get("le")
        if not ours.fullmatch(pod):
            raise _Unusable(f"a series of pod {pod[:80]}, which was not asked for")
        if (pod, le) in found:
            raise _Unusable(f"two series of pod {pod}" + (f" and le {le}" if le is not None else ""))
        times, values = _samples(one, ask, known)
        found[pod, le] = CounterSeries(pod, le, times, values)
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or "")))


def _samples(
    one: _Series, ask: FetchCounts, known: dict[tuple[float, ...], tuple[float, ...]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Times and values of a series. `known`: the instants that were judged before, by their stamps."""
    if not one.values:
        return (), ()
    stamps, texts = zip(*one.values, strict=True)
    # Most series of an answer have the very same stamps: they are judged once.
    times = known.get(stamps)
    if times is None:
        times = known[stamps] = _instants(stamps, ask)
    return times, _numbers(texts)


def _instants(stamps: tuple[float, ...], ask: FetchCounts) -> tuple[float, ...]:
    times: list[float] = []
    last = -1
    for at in stamps:
        index = round((at - ask.start) / ask.step)
        # Prometheus counts in milliseconds.
        if abs(ask.start + index * ask.step - at) > 0.002 or index <= last or at > ask.end + 0.002:
            raise _Unusable(f"a sample at {at:.3f}, which is not one of the instants asked for")
        last = index
        times.append(ask.start + index * ask.step)
    return tuple(times)


def _numbers(texts: tuple[str, ...]) -> tuple[float, ...]:
    # All at once; a text with a comma of its own matches here and is still no number for float().
    if max(map(len, texts)) <= _LONGEST and _NUMBERS.fullmatch(",".join(texts)):
        try:
            values = tuple(map(float, texts))
        except ValueError:
            values = (math.nan,)
        if all(0.0 <= value < math.inf for value in values):
            return values
    return tuple(map(_number, texts))  # says which one it is


def _number(text: str) -> float:
    value = float(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value) or value < 0:
        raise _Unusable(f"the counter reads {text[:40]!r}")
    return value
