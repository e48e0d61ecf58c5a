"""What the history band catches by itself, where no incumbent is left: hours of the past, made worse and judged.

The band was learned from the same hours, and knows them better than it will know the next one: what is said here is a
little more than what will be true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from analysis.assumptions import BAND_HORIZON, BAND_STEP, MARGIN_ALPHA, POWER_HOURS
from analysis.band import LearnedBand, Opening, measure, opening, surprising
from analysis.band_pods import Turnover, offset_sd
from analysis.band_terms import STEPS, Series, Unit, transformed
from analysis.engine import Worse
from analysis.injection import Harm, How
from analysis.power import Reach
from analysis.question import Settings
from analysis.special import FloatArray
from analysis.verdict import Absence

ALONE = tuple(Harm(How.LEVEL, size, f"x{size:g}") for size in (1.1, 1.2, 1.5, 2.0, 3.0))
ALONE_LOWER = tuple(Harm(How.LEVEL, 1.0 / size, f"x{1.0 / size:.2g}") for size in (1.1, 1.2, 1.5, 2.0, 3.0))


def reaches_alone(
    band: LearnedBand,
    series: Series,
    settings: Settings,
    *,
    alpha: float,
    pods: int,
    left_out: Sequence[tuple[float, float]] = (),
) -> list[Reach]:
    """Of each harm, None first: in which hours, and after how many minutes, the band would have seen it.

    series: the gate's number of all pods every five minutes. alpha: the part of the promise that history has while it
    is alone. pods: how many serve; all of them are new then, and each hour has the luck of others. left_out: spans
    (epoch seconds) that were no ordinary time. Empty where the history is too short.
    """
    origins = _origins(series, left_out)
    turnover = Turnover(pods, 0, pods)
    hours = [
        _Hour(series.values[origin + 1 : origin + 1 + BAND_HORIZON] * math.exp(luck), made, turnover, band, settings)
        for origin, luck in zip(origins, _lucks(offset_sd(band.pods, turnover), len(origins)), strict=True)
        if not isinstance(made := opening(band, Series(series.start, series.values[: origin + 1])), Absence)
    ]
    if not hours:
        return []
    sides = 2.0 if settings.worse is Worse.EITHER else 1.0
    harms = ALONE_LOWER if settings.worse is Worse.LOWER else ALONE
    places = np.arange(float(len(hours)))
    return [
        Reach(
            harm,
            np.array([hour.caught(harm.size if harm is not None else 1.0, math.log(sides / alpha)) for hour in hours]),
            places,
            places,
            BAND_HORIZON * BAND_STEP / 60.0,
        )
        for harm in (None, *harms)
    ]


class _Hour:
    """One hour of the past in which all pods are new, and how strange its beginning looks."""

    def __init__(
        self, after: FloatArray, made: Opening, turnover: Turnover, band: LearnedBand, settings: Settings
    ) -> None:
        ways = (True, False) if settings.worse is Worse.EITHER else (settings.worse is Worse.HIGHER,)
        self._measures = {way: measure(band, made, turnover, upwards=way) for way in ways}
        self._after, self._made, self._band, self._margin = after, made, band, settings.margin

    def caught(self, factor: float, change: float) -> float:
        """Minutes until every number times `factor` is evidence beyond `change` and the margin; inf for never."""
        after = self._after * factor
        if self._band.unit is Unit.SHARE:
            after = np.minimum(after, 0.999)
        seen = np.cumsum(transformed(after, self._band.unit, self._band.offset)) / STEPS
        for n in range(1, BAND_HORIZON + 1):
            nats, beyond, *_ = max(
                (*surprising(self._band, self._made, seen[:n], by, upwards=way, **self._tolerated), way)
                for way, by in self._measures.items()
            )
            if nats > change and beyond > math.log(1.0 / MARGIN_ALPHA):
                return n * BAND_STEP / 60.0
        return math.inf

    @property
    def _tolerated(self) -> dict[str, float]:
        return {"margin": self._margin.ratio, "points": self._margin.points}


def _lucks(sd: float, count: int) -> list[float]:
    """What new pods do to the log of the level in so many hours: normal, evenly spread over its quantiles in no order.

    Multiples of the golden ratio fill the unit interval evenly, whatever their number (Weyl 1916).
    """
    if sd <= 0.0:
        return [0.0] * count
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    return [sd * NormalDist().inv_cdf((0.5 + place * golden) % 1.0) for place in range(count)]


def _origins(series: Series, left_out: Sequence[tuple[float, float]]) -> list[int]:
    """The last index before each ordinary hour of which everything is known, thinned evenly."""
    hours = []
    for origin in range(BAND_HORIZON * 26, series.values.size - BAND_HORIZON, BAND_HORIZON):
        begin = series.start + BAND_STEP * origin
        end = begin + BAND_STEP * BAND_HORIZON
        ordinary = all(end <= since or begin >= until for since, until in left_out)
        if ordinary and np.isfinite(series.values[origin - BAND_HORIZON : origin + BAND_HORIZON + 1]).all():
            hours.append(origin)
    if len(hours) <= POWER_HOURS:
        return hours
    return [hours[int(place)] for place in np.linspace(0, len(hours) - 1, POWER_HOURS).round()]
