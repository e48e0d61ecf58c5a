"""Axes: where a value lies between two ends, which ticks stand there, and how they read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_HOURS = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168, 336)  # between two ticks of a time axis
_RATIOS = (1.0, 1.1, 1.15, 1.25, 1.3, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


class Kind(StrEnum):
    """How an axis divides its length, and how its numbers read."""

    NUMBER = "number"  # plain, from the data
    SHARE = "share"  # 0 to 1, written in percent
    PERCENT = "percent"  # a share of any size, written in percent
    RATIO = "ratio"  # logarithmic, 2x
    LOG = "log"  # logarithmic, plain
    TIME = "time"  # seconds since the epoch, in UTC


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: a label with its unit, a kind, and its ends where they are not those of the data."""

    label: str
    kind: Kind = Kind.NUMBER
    low: float | None = None
    high: float | None = None

    def fitted(self, values: Iterable[float]) -> Scale:
        """The scale that holds these values, with round ends; for nothing at all a scale from 0 to 1."""
        finite = [value for value in values if math.isfinite(value) and (not self._log or value > 0.0)]
        if self.kind is Kind.SHARE:
            return Scale(self.kind, 0.0, 1.0)
        low = self.low if self.low is not None else min(finite, default=1.0 if self._log else 0.0)
        high = self.high if self.high is not None else max(finite, default=10.0 if self._log else 1.0)
        if self._log:
            low, high = max(low, 1e-9), max(high, 1e-9)
            if high <= low * 1.0001:
                low, high = low / 1.5, high * 1.5
            return Scale(self.kind, low, high)
        if high <= low:
            spread = abs(low) * 0.5 or 1.0
            low, high = low - (0.0 if self.low is not None else spread), high + spread
        if self.kind is Kind.TIME:
            return Scale(self.kind, low, high)
        step = _round_step((high - low) / 5.0)
        return Scale(
            self.kind,
            low if self.low is not None else math.floor(low / step + 1e-9) * step,
            high if self.high is not None else math.ceil(high / step - 1e-9) * step,
        )

    @property
    def _log(self) -> bool:
        return self.kind in (Kind.RATIO, Kind.LOG)


@dataclass(frozen=True, slots=True)
class Scale:
    """A fitted axis: from `low` to `high`, which lie at `start` and `end` on paper (pixels)."""

    kind: Kind
    low: float
    high: float
    start: float = 0.0
    end: float = 1.0

    def placed(self, start: float, end: float) -> Scale:
        """The same scale between two places on paper."""
        return replace(self, start=start, end=end)

    def at(self, value: float) -> float:
        """Where a value lies on paper; values beyond the ends lie at the ends."""
        if self.kind in (Kind.RATIO, Kind.LOG):
            low, high, value = math.log(self.low), math.log(self.high), math.log(max(value, self.low * 1e-6))
        else:
            low, high = self.low, self.high
        part = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """(value, words) of the ticks inside the ends, at most so many."""
        if self.kind is Kind.TIME:
            return self._times(most)
        if self.kind is Kind.SHARE:
            return [(share, f"{100 * share:g} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        if self.kind is Kind.RATIO:
            return [(ratio, f"{ratio:g}x") for ratio in self._apart(_RATIOS, most)]
        if self.kind is Kind.LOG:
            return [(value, _plain(value)) for value in self._apart(_decades(self.low, self.high), most)]
        step = _round_step((self.high - self.low) / max(most - 1, 1))
        first = math.ceil(self.low / step - 1e-9)
        values = [(first + k) * step for k in range(int((self.high - self.low) / step + 1e-9) + 1)]
        inside = [value for value in values if value <= self.high + step * 1e-6]
        if self.kind is Kind.PERCENT:
            return [(value, f"{_plain(100.0 * value)} %") for value in inside]
        return [(value, _plain(0.0 if abs(value) < step * 1e-6 else value)) for value in inside]

    def _apart(self, values: Iterable[float], most: int) -> list[float]:
        """Those inside the ends that leave room for each other."""
        span = math.log(self.high) - math.log(self.low)
        kept: list[float] = []
        for value in values:
            inside = self.low * 0.9999 <= value <= self.high * 1.0001
            if inside and (not kept or math.log(value / kept[-1]) >= 0.6 * span / max(most, 1)):
                kept.append(value)
        return kept

    def _times(self, most: int) -> list[tuple[float, str]]:
        hours = (self.high - self.low) / 3600.0
        every = next((step for step in _HOURS if hours / step <= most), math.ceil(hours / most / 24.0) * 24.0) * 3600.0
        first = math.ceil(self.low / every)
        stamps = [(first + k) * every for k in range(int((self.high - self.low) / every) + 2)]
        form = "%d %b" if every >= 24 * 3600.0 else "%d %b %H:%M" if hours > 24 else "%H:%M"
        return [(at, datetime.fromtimestamp(at, UTC).strftime(form)) for at in stamps if at <= self.high]


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * 0.999999)


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [step * 10.0**power for power in range(first, last + 1) for step in (1.0, 2.0, 5.0)]


def _plain(value: float) -> str:
    """A number that reads at a glance: 1,500, 2.4M, 0.05."""
    size = abs(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.4g}{unit}"
    return f"{value:,.0f}" if size >= 1000.0 else f"{value:.4g}"
