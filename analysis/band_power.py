"""What the history band catches by itself, where no incumbent is left: hours of the past, made worse and judged.

The band was learned from the same hours, and knows them better than it will know the next one: what is said here is a
little more than what will be true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.assumptions import BAND_HORIZON, BAND_STEP, MARGIN_ALPHA, POWER_HOURS
from analysis.band import LearnedBand, evidence, opening
from analysis.band_terms import Series, Unit
from analysis.engine import Worse
from analysis.injection import Harm, How
from analysis.power import Reach
from analysis.question import Settings
from analysis.verdict import Absence

ALONE = tuple(Harm(How.LEVEL, size, f"x{size:g}") for size in (1.1, 1.2, 1.5, 2.0, 3.0))
ALONE_LOWER = tuple(Harm(How.LEVEL, 1.0 / size, f"x{1.0 / size:.2g}") for size in (1.1, 1.2, 1.5, 2.0, 3.0))


def reaches_alone(
    band: LearnedBand,
    series: Series,
    settings: Settings,
    *,
    alpha: float,
    left_out: Sequence[tuple[float, float]] = (),
) -> list[Reach]:
    """Of each harm, None first: in which hours, and after how many minutes, the band would have seen it.

    series: the gate's number of all pods every five minutes. alpha: the part of the promise that history has while it
    is alone. left_out: spans (epoch seconds) that were no ordinary time. Empty where the history is too short.
    """
    origins = _origins(series, left_out)
    if not origins:
        return []
    made = [(origin, opening(band, Series(series.start, series.values[: origin + 1]))) for origin in origins]
    known = [(origin, one) for origin, one in made if not isinstance(one, Absence)]
    sides = 2.0 if settings.worse is Worse.EITHER else 1.0
    change, beyond = math.log(sides / alpha), math.log(1.0 / MARGIN_ALPHA)
    harms = ALONE_LOWER if settings.worse is Worse.LOWER else ALONE
    out = []
    for harm in (None, *harms):
        caught = np.full(len(known), np.inf)
        for at, (origin, one) in enumerate(known):
            after = series.values[origin + 1 : origin + 1 + BAND_HORIZON] * (harm.size if harm is not None else 1.0)
            if band.unit is Unit.SHARE:
                after = np.minimum(after, 0.999)
            for n in range(1, BAND_HORIZON + 1):
                seen = evidence(
                    band,
                    one,
                    after[:n],
                    settings.worse,
                    margin=settings.margin.ratio,
                    points=settings.margin.points,
                )
                if seen.nats > change and seen.margin_nats > beyond:
                    caught[at] = n * BAND_STEP / 60.0
                    break
        places = np.arange(float(len(known)))
        out.append(Reach(harm, caught, places, places, BAND_HORIZON * BAND_STEP / 60.0))
    return out


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
