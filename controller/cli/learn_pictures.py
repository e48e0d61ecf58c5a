"""The picture of what was learned: each gate's own number, what is usual for the hour, and the next hour's forecast."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis.band import Forecast, forecast
from analysis.learned import NotLearned
from controller.cli.learn_told import utc
from controller.learning.learn import band_series
from controller.plot import Axis, Band, Kind, Line, Mark, Panel, Span, figure
from policies.schema import Gate

if TYPE_CHECKING:
    from controller.baseline import Baseline
    from controller.learning.gather import Gathered

_SHOWN = 3 * 86_400.0  # seconds before the end: days read, weeks do not
_ALPHA = 0.01


def picture(found: Gathered, baseline: Baseline, name: str) -> str:
    """The picture as SVG. Raises ValueError where no gate has a series to draw."""
    panels = [panel for gate in found.gates.values() if (panel := _panel(gate.gate, found, baseline)) is not None]
    return figure(f"{name}: its usual course", panels, note=f"until {utc(baseline.end)} UTC; the last three days")


def _panel(gate: Gate, found: Gathered, baseline: Baseline) -> Panel | None:
    series = band_series(found.gates[gate.name])
    if isinstance(series, NotLearned):
        return None
    first = max(0, series.values.size - round(_SHOWN / 300.0))
    times = [series.start + 300.0 * place for place in range(first, series.values.size)]
    values = [float(value) for value in series.values[first:]]
    points = tuple((at, value if math.isfinite(value) else None) for at, value in zip(times, values, strict=True))
    marks: list[Mark] = [Line("measured", points, 0)]
    band = baseline.bands.get(gate.name)
    note = "no forecast: " + (f"{band.reason}: {band.detail}" if isinstance(band, NotLearned) else "not learned")
    if band is not None and not isinstance(band, NotLearned):
        ahead = forecast(band, series, _ALPHA)
        if isinstance(ahead, Forecast):
            marks += _ahead(ahead)
            note = "an hour outside the band would be evidence at 1 %; it narrows and moves with what came before"
        else:
            note = f"no forecast: {ahead.detail}"
    marks += [
        Span(one.because.split(" ", maxsplit=1)[0], max(one.start, times[0]), min(one.end, times[-1]))
        for one in baseline.excluded
        if one.end > times[0] and one.start < times[-1]
    ]
    return Panel(f"{gate.name}: {_measure(gate)}", note[:110], Axis("time (UTC)", Kind.TIME), _axis(gate), tuple(marks))


def _ahead(ahead: Forecast) -> Iterator[Mark]:
    yield Band("1 % bounds", tuple(zip(ahead.times, ahead.low, ahead.high, strict=True)), 1)
    yield Line("forecast", tuple(zip(ahead.times, ahead.mean, strict=True)), 1, dashed=True)


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
            return Axis("failed requests", Kind.PERCENT, low=0.0)
        case "latency":
            return Axis("p95 (seconds)", low=0.0)
        case "throughput":
            return Axis("events per second", low=0.0)
        case _:
            return Axis("level (unit of the query)", low=0.0)
