"""The picture of what was learned: each gate's own number, what is usual for the hour, and the next hour's forecast."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from analysis.assumptions import BAND_STEP
from analysis.band import Forecast, LearnedBand, forecast, running
from analysis.band_terms import Series
from analysis.learned import NotLearned
from controller.cli.learn_told import utc
from controller.learning.learn import band_series
from controller.plot import Axis, Band, Kind, Line, Mark, Panel, Span, figure
from policies.schema import Gate

if TYPE_CHECKING:
    from controller.baseline import Baseline
    from controller.learning.gather import Gathered

_HOURS = 36  # before the end: an hour is one step of the band
_POINTS = 12  # of a series in an hour
_ALPHA = 0.01


def picture(found: Gathered, baseline: Baseline, name: str) -> str:
    """The picture as SVG. Raises ValueError where no gate has a series to draw."""
    panels = [panel for gate in found.gates.values() if (panel := _panel(gate.gate, found, baseline)) is not None]
    note = f"until {utc(baseline.end)} UTC; the band is what was forecast for each hour when it began"
    return figure(f"{name}: its usual course", panels, note=note)


def _panel(gate: Gate, found: Gathered, baseline: Baseline) -> Panel | None:
    series = band_series(found.gates[gate.name])
    if isinstance(series, NotLearned):
        return None
    first = max(0, series.values.size - _HOURS * _POINTS)
    times = [series.start + BAND_STEP * place for place in range(first, series.values.size)]
    values = [float(value) for value in series.values[first:]]
    points = tuple((at, value if math.isfinite(value) else None) for at, value in zip(times, values, strict=True))
    marks: list[Mark] = [Line("measured", points, 5, faint=True)]
    band = baseline.bands.get(gate.name)
    note = "no band: " + (f"{band.reason}: {band.detail}" if isinstance(band, NotLearned) else "not learned")
    if isinstance(band, LearnedBand):
        hours = list(_hours(band, series))
        marks += _steps(hours)
        outside = sum(not low <= mean <= high for _, low, high, mean in hours if mean is not None)
        judged = sum(mean is not None for *_, mean in hours)
        note = f"an hour's mean beyond the band is evidence at 1 %: {outside} of these {judged} hours are"
    marks += [
        Span(one.because.split(" ", maxsplit=1)[0], max(one.start, times[0]), min(one.end, times[-1]))
        for one in baseline.excluded
        if one.end > times[0] and one.start < times[-1]
    ]
    return Panel(f"{gate.name}: {_measure(gate)}", note[:110], Axis("time (UTC)", Kind.TIME), _axis(gate), tuple(marks))


Hour = tuple[float, float, float, float | None]  # begin, low and high of its mean, the mean that was seen


def _hours(band: LearnedBand, series: Series) -> Iterator[Hour]:
    """Every hour before the end with its forecast, and the next one, which has no mean yet."""
    for back in range(_HOURS - 1, -1, -1):
        last = series.values.size - 1 - back * _POINTS
        if last < _POINTS:
            continue
        ahead = forecast(band, Series(series.start, series.values[: last + 1]), _ALPHA)
        if not isinstance(ahead, Forecast):
            continue
        coming = series.values[last + 1 : last + 1 + _POINTS]
        mean = float(running(band, coming)[-1]) if coming.size == _POINTS and np.isfinite(coming).all() else None
        yield series.start + BAND_STEP * last, ahead.low[-1], ahead.high[-1], mean


def _steps(hours: Sequence[Hour]) -> Iterator[Mark]:
    """The band and the means of its hours as steps; the hour to come in another colour."""
    length = BAND_STEP * _POINTS
    seen = [(begin + part, low, high) for begin, low, high, mean in hours if mean is not None for part in (0.0, length)]
    means = [(begin + part, mean) for begin, _, _, mean in hours if mean is not None for part in (0.0, length)]
    yield Band("forecast", tuple(seen), 2)
    yield Line("hourly mean", tuple(means), 0)
    coming = [(begin + part, low, high) for begin, low, high, mean in hours if mean is None for part in (0.0, length)]
    yield Band("next hour", tuple(coming[-2:]), 1)


def _measure(gate: Gate) -> str:
    return {
        "errorRatio": "share of failed requests",
        "latency": "95th percentile of the response time",
        "throughput": "events of all pods",
        "gauge": "mean level of the pods",
    }[gate.kind]


def _axis(gate: Gate) -> Axis:
    match gate.kind:
        case "errorRatio":
            return Axis("failed requests", Kind.PERCENT)
        case "latency":
            return Axis("p95 (seconds)")
        case "throughput":
            return Axis("events per second")
        case _:
            return Axis("level (unit of the query)")
