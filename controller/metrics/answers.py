"""Reads the answers of the HTTP API of Prometheus, and trusts none that it cannot prove.

What counts as an answer: HTTP 200, status success, no warnings and no infos (a partial answer looks complete
otherwise), a matrix, exactly the labels asked for, no two series alike, numbers of their kind, instants on the asked
grid. Everything else is `Unusable`, which a gate treats as blindness and never as zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from analysis.samples import CounterSeries
from controller.metrics.transport import excerpt
from controller.requests.fetches import Totals

MAX_SERIES = 20_000
_SHOWN = 256  # characters of a server's own words in a message

# What Prometheus writes for a finite float. `float()` alone also takes 1_0, inf and digits of other scripts.
_ONE = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(_ONE, re.ASCII)
_NUMBERS = re.compile(f"{_ONE}(?:,{_ONE})*", re.ASCII)
_LONGEST = 40  # characters of a number


class Series(msgspec.Struct):
    """One series of a matrix as the server wrote it."""

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
_matrix = msgspec.json.Decoder(list[Series])


class Unusable(Exception):
    """An answer breaks a rule; the message says which."""


class TooMany(Unusable):
    """An answer has more series than anybody should ask for."""


class Native(Unusable):
    """A native histogram stands where numbers were asked for."""


def read_matrix(body: bytes, most: int | None = None) -> list[Series]:
    """The series of an answer that may be used at all; the status of HTTP was judged before. Raises Unusable.

    most: series; more are TooMany.
    """
    try:
        envelope = _envelope.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise Unusable(f"the answer is not one of Prometheus: {excerpt(body)}") from None
    if envelope.status != "success":
        raise Unusable(f"status {envelope.status or 'missing'}: {envelope.error_type} {envelope.error}"[:_SHOWN])
    for word, notes in (("warning", envelope.warnings), ("info", envelope.infos)):
        if notes:
            raise Unusable(f"the answer may be partial, it carries a {word}: {notes[0]}"[:_SHOWN])
    if envelope.data is None or envelope.data.result_type != "matrix":
        found = envelope.data.result_type if envelope.data is not None else "nothing"
        raise Unusable(f"a matrix was asked for, the answer is {found[:40] or 'untyped'}")
    try:
        series = _matrix.decode(envelope.data.result)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unusable(f"a series is malformed: {error}") from None
    if len(series) > (bound := MAX_SERIES if most is None else most):
        raise TooMany(f"{len(series)} series, more than {bound}")
    return series


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants of a question, in epoch seconds, and what its values may be."""

    start: float
    end: float
    step: float
    counter: bool = True  # a counter is never negative and always a number; a gauge's query may be neither

    def samples(
        self, one: Series, known: dict[tuple[float, ...], tuple[float, ...]]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Times and values of a series. `known`: the instants that were judged before, by their stamps.

        Raises Unusable.
        """
        if one.histograms:
            raise Native("a native histogram where numbers were asked for")
        if not one.values:
            return (), ()
        values = one.values
        if not self.counter:
            # 0/0 of a query that divides: nothing was served, so there is no reading.
            values = [pair for pair in values if pair[1] != "NaN"]
            if not values:
                return (), ()
        stamps, texts = zip(*values, strict=True)
        # Most series of an answer have the very same stamps: they are judged once.
        times = known.get(stamps)
        if times is None:
            times = known[stamps] = self._instants(stamps)
        return times, self._numbers(texts)

    def _instants(self, stamps: Iterable[float]) -> tuple[float, ...]:
        times: list[float] = []
        last = -1
        for at in stamps:
            index = round((at - self.start) / self.step)
            # Prometheus counts in milliseconds.
            if abs(self.start + index * self.step - at) > 0.002 or index <= last or at > self.end + 0.002:
                raise Unusable(f"a sample at {at:.3f}, which is not one of the instants asked for")
            last = index
            times.append(self.start + index * self.step)
        return tuple(times)

    def _numbers(self, texts: tuple[str, ...]) -> tuple[float, ...]:
        # All at once; a text with a comma of its own matches here and is still no number for float().
        least = 0.0 if self.counter else -math.inf
        if max(map(len, texts)) <= _LONGEST and _NUMBERS.fullmatch(",".join(texts)):
            try:
                values = tuple(map(float, texts))
            except ValueError:
                values = (math.nan,)
            if all(least <= value < math.inf and value > -math.inf for value in values):
                return values
        return tuple(map(self._number, texts))  # says which one it is

    def _number(self, text: str) -> float:
        value = float(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(value) or (self.counter and value < 0):
            raise Unusable(f"the {'counter' if self.counter else 'gauge'} reads {text[:40]!r}")
        return value


@dataclass(frozen=True, slots=True)
class PodLabels:
    """Which labels a series per pod must have, and which pods were asked for (a pattern of whole names).

    exact: whether other labels are a fault; a gauge's query may keep some. namespace: the label and the only value
    that it may have where a series has it.
    """

    pod: str
    ours: re.Pattern[str]
    stratum: str | None = None
    buckets: bool = False
    exact: bool = True
    namespace: tuple[str, str] | None = None


def pod_series(series: list[Series], labels: PodLabels, grid: Grid) -> tuple[CounterSeries, ...]:
    """Every series of an answer that asked for one per pod, sorted. Raises Unusable."""
    wanted = {labels.pod, *(("le",) if labels.buckets else ())}
    # The server leaves out a label that is empty: requests without a route are a stratum too.
    optional = {labels.stratum} if labels.stratum is not None else set()
    found: dict[tuple[str, str, str], CounterSeries] = {}
    known: dict[tuple[float, ...], tuple[float, ...]] = {}
    for one in series:
        named = one.metric.keys()
        if not wanted <= named or (labels.exact and not named <= wanted | optional):
            raise Unusable(f"a series has the labels {sorted(named)}, asked for were {sorted(wanted | optional)}")
        pod, le = one.metric[labels.pod], one.metric.get("le") if labels.buckets else None
        stratum = one.metric.get(labels.stratum, "") if labels.stratum is not None else None
        if not labels.ours.fullmatch(pod):
            raise Unusable(f"a series of pod {pod[:80]}, which was not asked for")
        if labels.namespace is not None:
            label, ours = labels.namespace
            if one.metric.get(label, ours) != ours:
                raise Unusable(f'a series of {label} {one.metric[label][:80]}: add {label}="$namespace" to the query')
        key = pod, le or "", stratum or ""
        if key in found:
            raise Unusable(f"two series of pod {pod}" + (f" and le {le}" if le is not None else ""))
        times, values = grid.samples(one, known)
        found[key] = CounterSeries(pod, le, times, values, stratum)
    return tuple(found[key] for key in sorted(found))


def totals(series: list[Series], grid: Grid) -> Totals:
    """The one series of an answer that asked for one number per instant. Raises Unusable."""
    if len(series) > 1 or any(one.metric for one in series):
        raise Unusable(f"{len(series)} series with labels where one number per instant was asked for")
    times, values = grid.samples(series[0], {}) if series else ((), ())
    return Totals(times, values)
