"""The history band on real series with known incidents: `python -m tests.bench.decisions.kpi DIR --seed N [--quick]`.

DIR/kpi/*.csv.gz hold timestamp, value and label (1 in a known incident), one row a minute. Every band is learned from
what lies before a midnight and judges the hours of the day after it, so that nothing is known of what is judged. An
hour with a known incident in it, or in the hour before, is no healthy hour: it counts in the figure over all hours
only. A regression multiplies all points of the hour by 1.1, 1.2 or 1.5.

The constants were chosen on the series at even positions (1, 9, 17, ... by number). The published figures rest on the
others.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.assumptions import BAND_HORIZON, BAND_STEP
from analysis.band import LearnedBand
from analysis.band_terms import DAY, HOUR, Bools, Rows, Series, Unit, filled, transformed
from analysis.learned import NotLearned
from analysis.learning.band import Span, learn_band
from analysis.special import FloatArray
from tests.bench.decisions.rows import ALPHA, FALSE_ROLLBACK, OURS, POWER, Row, share, table

GROUP = "history band, real series"
FACTORS = (1.0, 1.1, 1.2, 1.5)
SHARED_ALPHA = 0.2 * ALPHA
RIVALS = ("last 3 h", "same clock, 7 days")
"""Whose mean and standard deviation a static rule may take."""
FIRST_DAY = 8
"""Bands are learned from at least so many days in the main cells."""
EVERY = 3
"""Points between the origins that are judged: a new hour begins every 15 minutes, as releases do, at any time."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One real series at five-minute steps; incident: a minute of the step is labelled."""

    number: int
    series: Series
    incident: Bools


@dataclass(frozen=True, slots=True)
class Judged:
    """Hours of one series. healthy: (hours,). ours: M over its threshold, (hours, factors); at 1 % and 0.2 %.

    rivals: largest point of the hour in standard deviations above the mean, (hours, factors, RIVALS).
    """

    healthy: Bools
    ours: FloatArray
    shared: FloatArray
    rivals: FloatArray


def run(folder: Path, seed: int, quick: bool) -> list[Row]:
    """All rows; empty without series. The seed moves the days on which bands are learned. quick: fewer series and days.

    Series whose position in the folder is even were used in tuning: the published cells use the odd ones.
    """
    found = list(recorded(folder / "kpi"))
    if not found:
        return []
    fresh = found[1::2]
    used = found[0::2]
    rows: list[Row] = []
    every = 8 if quick else 2
    for leave in (True, False):
        words = "known incidents left out of learning" if leave else "incidents in learning"
        goals = ("<= 0.01", ">= 0.57", ">= 0.9") if leave else ("<= 0.01", ">= 0.47", ">= 0.82")
        many = [judged(one, _midnights(one, FIRST_DAY, 99, every, seed), leave) for one in fresh]
        rows += _rows(words, many, goals, rival=leave)
    if quick:
        return rows
    young = [judged(one, _midnights(one, 3, 6, 1, seed), True) for one in fresh]
    rows += _rows("3 to 5 days of history", young, ("", "", ""), rival=False)
    tuned = [judged(one, _midnights(one, FIRST_DAY, 99, 3 * every, seed), True) for one in used]
    return rows + _rows("series used in tuning", tuned, ("", "", ""), rival=False)


def recorded(folder: Path) -> Iterator[Recorded]:
    """Every series of a folder by number: means of five minutes with at least three values."""
    for path in sorted(folder.glob("*.csv.gz"), key=lambda path: int(path.name.split(".")[0])):
        with gzip.open(path, "rt") as lines:
            time, value, label = np.genfromtxt(lines, delimiter=",", skip_header=1, unpack=True)
        step = (time // BAND_STEP).astype(np.int64)
        place = step - step.min()
        known = np.isfinite(value)
        count = np.bincount(place, weights=known)
        mean = np.bincount(place, weights=np.where(known, value, 0.0)) / np.maximum(count, 1)
        values = np.where((count >= 3) & (mean >= 0.0), mean, np.nan)
        series = Series(float(step.min() * BAND_STEP), values)
        yield Recorded(int(path.name.split(".")[0]), series, np.bincount(place, weights=label) > 0)


def judged(one: Recorded, midnights: Sequence[int], leave: bool) -> Judged:
    """Hours of the days that begin at the given indices, each judged by a band of what lies before."""
    parts = [part for cut in midnights if (part := _day(one, cut, leave)) is not None]
    if not parts:
        none = np.zeros((0, len(FACTORS)))
        return Judged(np.zeros(0, dtype=np.bool_), none, none, np.zeros((*none.shape, len(RIVALS))))
    return Judged(*(np.concatenate([getattr(part, name) for part in parts]) for name in Judged.__slots__))


def _midnights(one: Recorded, first: int, last: int, every: int, seed: int) -> list[int]:
    """Indices at which a day begins; the seed moves them by whole days."""
    size = one.series.values.size
    begin = first * DAY + (seed % every) * DAY
    return list(range(begin, min(size, last * DAY) - DAY, every * DAY))


def _day(one: Recorded, cut: int, leave: bool) -> Judged | None:
    past = Series(one.series.start, one.series.values[:cut])
    band = learn_band(past, Unit.LEVEL, _incidents(one, cut) if leave else ())
    if isinstance(band, NotLearned):
        return None
    # A day and an hour before the origin are all that a forecast looks at; the rivals look at a week.
    low = max(cut - 8 * DAY, 0)
    values = filled(one.series.values[low : cut + DAY])
    ticks = Series(one.series.start + low * BAND_STEP, values).ticks
    origins = np.arange(cut - low - 1, values.size - BAND_HORIZON, EVERY)
    strange = _maxima(band, values, ticks, origins)
    known = np.isfinite(strange).all(axis=1)
    labels = np.concatenate(([0], np.cumsum(one.incident[low : cut + DAY])))
    healthy = labels[origins + 1 + BAND_HORIZON] == labels[origins + 1 - HOUR]
    return Judged(
        healthy=healthy[known],
        ours=strange[known] / band.upper_tail.threshold(ALPHA),
        shared=strange[known] / band.upper_tail.threshold(SHARED_ALPHA),
        rivals=deviations(values, origins)[known],
    )


def _maxima(band: LearnedBand, values: FloatArray, ticks: Rows, origins: Rows) -> FloatArray:
    """M of the hour after each origin, (origins, factors); NaN where a point of it is missing."""
    model = band.model()
    z = transformed(values, band.unit, band.offset)
    error, size = model.errors(z, ticks, origins)
    unit, _ = model.units(size, ticks[origins])
    hour = origins[:, None] + np.arange(1, BAND_HORIZON + 1)
    maxima = []
    for factor in FACTORS:
        moved = transformed(values[hour] * factor, band.unit, band.offset) - z[hour]
        shift = np.cumsum(moved, axis=1) / np.arange(1, BAND_HORIZON + 1)
        maxima.append(((error + shift) / unit).max(axis=1))
    return np.stack(maxima, axis=1)


def deviations(values: FloatArray, origins: Rows) -> FloatArray:
    """The largest point of the hour in sd above the mean of earlier points, (origins, factors, RIVALS)."""
    top = values[origins[:, None] + np.arange(1, BAND_HORIZON + 1)].max(axis=1)
    clock = (DAY * np.arange(1, 8)[:, None] + np.arange(-HOUR // 2, HOUR // 2 + 1)).ravel()
    out = []
    for back in (np.arange(3 * HOUR), clock):
        place = origins[:, None] - back
        before = np.where(place >= 0, values[np.maximum(place, 0)], np.nan)
        known = np.isfinite(before)
        n = np.maximum(known.sum(axis=1), 1)
        mean = np.where(known, before, 0.0).sum(axis=1) / n
        sd = np.sqrt((np.where(known, before - mean[:, None], 0.0) ** 2).sum(axis=1) / n)
        out.append(np.stack([(top * factor - mean) / np.maximum(sd, 1e-12) for factor in FACTORS], axis=1))
    return np.stack(out, axis=2)


def _incidents(one: Recorded, cut: int) -> list[Span]:
    """Known incidents before the cut, from-to in epoch seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], one.incident[:cut].astype(np.int64), [0]))))
    at = one.series.start + BAND_STEP * edges
    return [(float(a), float(b - BAND_STEP)) for a, b in zip(at[::2], at[1::2], strict=True)]


def _rows(words: str, many: Sequence[Judged], goals: Sequence[str], *, rival: bool) -> list[Row]:
    some = [one for one in many if one.healthy.any()]
    rules = [(OURS, [one.ours > 1.0 for one in some], goals)]
    rules.append((f"{OURS}, a fifth of alpha", [one.shared > 1.0 for one in some], ("<= 0.002",)))
    if rival:
        alarms = float(np.concatenate([one.ours[one.healthy, 0] > 1.0 for one in some]).mean())
        for column, past in enumerate(RIVALS):
            rules.append((f"mean + 3 sd, {past}", [one.rivals[:, :, column] > 3.0 for one in some], ("", "", "")))
            # The rival's threshold is chosen on the very hours that are judged: better than it could ever be.
            scores = np.concatenate([one.rivals[one.healthy, 0, column] for one in some])
            equal = float(np.quantile(scores, 1.0 - alarms))
            words_equal = f"mean + {equal:.1f} sd, {past}, equal false alarms"
            rules.append((words_equal, [one.rivals[:, :, column] > equal for one in some], ("", "", "")))
    rows: list[Row] = []
    for rule, fired, aims in rules:
        healthy = [hit[one.healthy] for hit, one in zip(fired, some, strict=True)]
        hours = [hit.shape[0] for hit in healthy]
        for column, factor in enumerate(FACTORS):
            figure = FALSE_ROLLBACK if factor == 1.0 else f"{POWER} +{100 * (factor - 1):.0f} %"
            goal = aims[column] if column < len(aims) else ""
            hits = [int(hit[:, column].sum()) for hit in healthy]
            rows.append(share(GROUP, words, rule, figure, hits, hours, goal))
            rows.append(_spread(words, rule, f"{figure}, mean and s.e. over series", hits, hours))
        everywhere = [int(hit[:, 0].sum()) for hit in fired]
        rows.append(share(GROUP, words, rule, "alarms, all hours", everywhere, [hit.shape[0] for hit in fired]))
    return rows


def _spread(words: str, rule: str, figure: str, hits: Sequence[int], hours: Sequence[int]) -> Row:
    """Mean over series, give or take one standard error; n series."""
    each = np.asarray(hits) / np.asarray(hours)
    middle = float(each.mean())
    error = float(each.std(ddof=1)) / np.sqrt(each.size) if each.size > 1 else float("nan")
    return Row(GROUP, words, rule, figure, middle, middle - error, middle + error, each.size)


def main() -> None:
    """Print the table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("folder", type=Path)
    flags.add_argument("--seed", type=int, required=True)
    flags.add_argument("--quick", action="store_true")
    asked = flags.parse_args()
    for line in table(run(asked.folder, asked.seed, asked.quick)):
        print(line)


if __name__ == "__main__":
    main()
