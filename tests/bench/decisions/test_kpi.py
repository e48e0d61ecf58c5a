"""The benchmark of the history band on made-up files: what is known when, which hours count, and the rows."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.band_terms import DAY, Series
from tests.analysis.learning.pasts import MIDNIGHT, past
from tests.bench.decisions import kpi
from tests.bench.decisions.rows import FALSE_ROLLBACK, OURS


def written(folder: Path, number: int, days: int, incident: tuple[int, int] | None = None) -> None:
    """A file like the real ones: a row a minute, some of them empty; an incident is from-to in minutes."""
    folder.mkdir(exist_ok=True)
    values = np.repeat(past(days, number).values, 5)
    lines = ["timestamp,value,label"]
    for minute, value in enumerate(values):
        inside = incident is not None and incident[0] <= minute < incident[1]
        text = "" if minute % 97 == 0 else f"{value * (3.0 if inside else 1.0):.4f}"
        lines.append(f"{int(MIDNIGHT) + 60 * minute},{text},{int(inside)}")
    with gzip.open(folder / f"{number}.csv.gz", "wt") as out:
        out.write("\n".join(lines) + "\n")


def test_minutes_become_means_of_five_and_labels_stay(tmp_path: Path) -> None:
    written(tmp_path, 7, 2, incident=(600, 660))
    (one,) = kpi.recorded(tmp_path)
    assert one.number == 7
    assert one.series.start == MIDNIGHT
    assert one.series.values.size == 2 * DAY
    assert np.isfinite(one.series.values).all()
    assert np.flatnonzero(one.incident).tolist() == list(range(120, 132))
    calm = past(2, 7).values
    assert one.series.values[:120] == pytest.approx(calm[:120], rel=1e-5)
    assert one.series.values[120:132] == pytest.approx(3.0 * calm[120:132], rel=1e-5)


def test_a_band_knows_nothing_of_the_day_that_it_judges(tmp_path: Path) -> None:
    written(tmp_path, 7, 12)
    (one,) = kpi.recorded(tmp_path)
    cut = 9 * DAY
    tomorrow = one.series.values.copy()
    tomorrow[cut + DAY :] = 1e9
    ours = kpi.judged(one, [cut], True)
    again = kpi.judged(replace(one, series=Series(one.series.start, tomorrow)), [cut], True)
    assert np.array_equal(ours.ours, again.ours)
    # An hour of the day itself moves the hours that see it, and none that came before.
    during = one.series.values.copy()
    during[cut + 150 :] *= 5.0
    moved = kpi.judged(replace(one, series=Series(one.series.start, during)), [cut], True)
    same = (ours.ours[:, 0] == moved.ours[:, 0]).tolist()
    first = same.index(False)
    assert all(same[:first])
    assert first * kpi.EVERY - 1 + 12 >= 150 > (first - 1) * kpi.EVERY - 1 + 12


def test_hours_with_an_incident_are_not_healthy_ones(tmp_path: Path) -> None:
    minute = 9 * 1440 + 720
    written(tmp_path, 7, 12, incident=(minute, minute + 30))
    (one,) = kpi.recorded(tmp_path)
    seen = kpi.judged(one, [9 * DAY], True)
    assert 0 < (~seen.healthy).sum() < 12
    assert (seen.ours[~seen.healthy, 0] > 1.0).any()
    assert (seen.ours[seen.healthy, 0] > 1.0).mean() < 0.05
    assert (np.diff(seen.ours, axis=1) > 0.0).all()


def test_the_rows(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        written(tmp_path / "kpi", number, 18)
    rows = kpi.run(tmp_path, 1, True)
    false = next(row for row in rows if row.rule == OURS and row.figure == FALSE_ROLLBACK)
    assert false.goal == "<= 0.01"
    assert false.low <= false.value <= false.high
    caught = {row.figure: row.value for row in rows if row.rule == OURS and row.figure.startswith("caught")}
    assert false.value < caught["caught +10 %"] < caught["caught +20 %"] <= caught["caught +50 %"] <= 1.0
    assert kpi.run(tmp_path / "none", 1, True) == []
