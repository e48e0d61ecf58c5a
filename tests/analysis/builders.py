"""Builders of counters for the tests: exact, without chance, unless a generator is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.comparisons import (
    COMPARISONS,
    ComparisonInput,
    Settings,
    error_settings,
    latency_settings,
    throughput_settings,
)
from analysis.learned import Learned, NotLearned
from analysis.levels import gauge_settings
from analysis.samples import CounterSeries, Frame, Groups
from analysis.verdict import Absence, Evidence

START = 1_700_000_000.0
WINDOW = 30.0
BOUNDS = ("0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")
FAST = (0.30, 0.70, 0.95, 0.985, 0.996, 0.9995, 1.0)
SLOW = (0.12, 0.42, 0.83, 0.940, 0.980, 0.9960, 1.0)
"""Share of requests at or below each bound: an ordinary service, and the same at about twice the latency."""

Edit = Callable[[CounterSeries], CounterSeries | None]


def counter(pod: str, values: list[float | None], le: str | None = None) -> CounterSeries:
    """A series with one value per instant from START; None is a hole."""
    kept = [(START + WINDOW * k, v) for k, v in enumerate(values) if v is not None]
    return CounterSeries(pod, le, tuple(t for t, _ in kept), tuple(float(v) for _, v in kept))


def instant(k: int) -> float:
    """Seconds of instant k; window k ends there and begins at instant k - 1."""
    return START + WINDOW * k


@dataclass(frozen=True)
class Fleet:
    """A fleet whose pods all count alike, but for what `with_errors` and `slow` say of the contender."""

    contender: int = 1
    incumbent: int = 9
    windows: int = 10
    rate: float = 10.0
    errors: Mapping[str, float] = field(default_factory=lambda: {"contender": 0.005, "incumbent": 0.005})
    only: str | None = None
    edits: tuple[tuple[str, str, str | None, Edit], ...] = ()
    groups: Groups | None = None
    settled: tuple[tuple[float, float], ...] | None = None
    rng: np.random.Generator | None = None
    shapes: tuple[tuple[float, ...], tuple[float, ...]] = (FAST, FAST)
    unread: Absence | None = None
    learned: Learned | NotLearned | None = None

    def of(self, *, contender: int, incumbent: int) -> Fleet:
        return replace(self, contender=contender, incumbent=incumbent)

    def lasting(self, windows: int) -> Fleet:
        return replace(self, windows=windows)

    def serving(self, per_second_and_pod: float) -> Fleet:
        return replace(self, rate=per_second_and_pod)

    def with_errors(self, *, contender: float, incumbent: float = 0.005, only: str | None = None) -> Fleet:
        return replace(self, errors={"contender": contender, "incumbent": incumbent}, only=only)

    def with_latency(self, *, contender: tuple[float, ...] = FAST, incumbent: tuple[float, ...] = FAST) -> Fleet:
        return replace(self, shapes=(contender, incumbent))

    def by_chance(self, seed: int) -> Fleet:
        return replace(self, rng=np.random.default_rng(seed))

    def but(self, term: str, pod: str, edit: Edit, le: str | None = None) -> Fleet:
        """Replace one series (all buckets of a pod without le); an edit that returns None removes it."""
        return replace(self, edits=(*self.edits, (term, pod, le, edit)))

    def grouped(self, groups: Groups) -> Fleet:
        return replace(self, groups=groups)

    def settled_in(self, *spans: tuple[float, float]) -> Fleet:
        return replace(self, settled=spans)

    def having_learned(self, learned: Learned | NotLearned | None) -> Fleet:
        return replace(self, learned=learned)

    def unreadable(self, absence: Absence) -> Fleet:
        return replace(self, unread=absence)

    @property
    def ours(self) -> tuple[str, ...]:
        return tuple(f"new-{i}" for i in range(self.contender))

    @property
    def theirs(self) -> tuple[str, ...]:
        return tuple(f"old-{i}" for i in range(self.incumbent))

    def frame(self) -> Frame:
        settled = self.settled or ((START, instant(self.windows)),)
        return Frame(self.groups or Groups(self.ours, self.theirs), settled, WINDOW)

    def _counts(self, per_window: float) -> list[float | None]:
        """Cumulative counts; without a generator the nearest whole number, so that totals are exact."""
        if self.rng is None:
            return [float(round(1000 + per_window * k)) for k in range(self.windows + 1)]
        fresh = self.rng.poisson(per_window, self.windows)
        return [1000.0, *(1000.0 + np.cumsum(fresh)).tolist()]

    def _edited(self, term: str, series: list[CounterSeries]) -> tuple[CounterSeries, ...]:
        for at, pod, le, edit in self.edits:
            if at == term:
                changed = [edit(s) if s.pod == pod and le in (None, s.le) else s for s in series]
                series = [s for s in changed if s is not None]
        return tuple(series)

    def question(self, settings: Settings | None = None) -> ComparisonInput:
        """Requests and errors of every pod."""
        requests, errors = [], []
        for pod in self.ours + self.theirs:
            side = "contender" if pod in self.ours and self.only in (None, pod) else "incumbent"
            asked = self.rate * WINDOW
            requests.append(counter(pod, self._counts(asked)))
            errors.append(counter(pod, self._counts(asked * self.errors[side])))
        terms = {"requests": self._edited("requests", requests), "errors": self._edited("errors", errors)}
        return ComparisonInput(self.frame(), settings or error_settings(), terms, self.unread, self.learned)

    def latency_question(self, settings: Settings | None = None) -> ComparisonInput:
        """Buckets of every pod."""
        buckets = []
        for pod in self.ours + self.theirs:
            shape = self.shapes[0] if pod in self.ours and self.only in (None, pod) else self.shapes[1]
            total = np.zeros(self.windows + 1)
            reached = 0.0
            for bound, share in zip(BOUNDS, shape, strict=True):
                fresh = np.array(self._counts(self.rate * WINDOW * (share - reached))) - 1000.0
                total, reached = total + fresh, share
                buckets.append(counter(pod, [float(v) for v in total], bound))
        return ComparisonInput(
            self.frame(),
            settings or latency_settings(),
            {"buckets": self._edited("buckets", buckets)},
            self.unread,
            self.learned,
        )

    def throughput_question(self, settings: Settings | None = None, *, contender: float = 1.0) -> ComparisonInput:
        """One counter of every pod; contender pods (or `only` one of them) get `contender` times as much done."""
        events = []
        for pod in self.ours + self.theirs:
            times = contender if pod in self.ours and self.only in (None, pod) else 1.0
            events.append(counter(pod, self._counts(self.rate * WINDOW * times)))
        terms = {"events": self._edited("events", events)}
        return ComparisonInput(self.frame(), settings or throughput_settings(), terms, self.unread, self.learned)

    def gauge_question(self, settings: Settings | None = None, *, contender: float = 1.0) -> ComparisonInput:
        """One gauge of every pod: levels a few percent apart that waver a little; the contender's `contender` times."""
        readings = []
        for place, pod in enumerate(self.ours + self.theirs):
            level = 200e6 * (0.95 + 0.1 * (place * 7 % 10) / 9.0)
            level *= contender if pod in self.ours and self.only in (None, pod) else 1.0
            wave = [level * (1.0 + 0.01 * ((3 * k + place) % 5 - 2)) for k in range(self.windows + 1)]
            readings.append(counter(pod, list(wave)))
        terms = {"readings": self._edited("readings", readings)}
        return ComparisonInput(self.frame(), settings or gauge_settings(), terms, self.unread, self.learned)

    def judged(self, settings: Settings | None = None) -> Evidence:
        return COMPARISONS["errorRatio"](self.question(settings))

    def judged_on_throughput(self, settings: Settings | None = None, *, contender: float = 1.0) -> Evidence:
        return COMPARISONS["throughput"](self.throughput_question(settings, contender=contender))

    def judged_on_latency(self, settings: Settings | None = None) -> Evidence:
        return COMPARISONS["latency"](self.latency_question(settings))


def a_fleet() -> Fleet:
    """One contender among ten pods, ten windows, 10 requests/s and pod, half a percent of errors everywhere."""
    return Fleet()


def valued(*values: float | None) -> Edit:
    """Replace all values of a series; None is a hole."""
    return lambda s: counter(s.pod, list(values), s.le)


def at(k: int, value: float) -> Edit:
    """Replace the value at one instant."""
    return lambda s: replace(s, values=(*s.values[:k], value, *s.values[k + 1 :]))


def gone(_: CounterSeries) -> None:
    """Remove the series."""
    return


def until(k: int) -> Edit:
    """Cut the series off after instant k."""
    return lambda s: replace(s, times=s.times[: k + 1], values=s.values[: k + 1])
