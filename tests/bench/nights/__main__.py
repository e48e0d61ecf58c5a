"""`python -m tests.bench.nights [--nights N] [--seed S]`: a thousand nights over three years, and what came of them.

Exit code 0 where every count that must be zero is zero, else 1. The nights of every change of clocks in any zone of
the fleet are among them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from tests.bench.nights.fleet import FIRST, SIZE, YEARS, ZONES, fleet
from tests.bench.nights.mix import kind_of
from tests.bench.nights.night import Told, night
from tests.bench.nights.tally import faultless, page
from tests.bench.nights.train_night import TrainTold, train_night

BETWEEN = 30  # days between two releases of an app that rides no train, on average
TRAINS_BETWEEN = 16  # days between two nights of a train


def dates(number: int, seed: int) -> tuple[date, ...]:
    """So many different dates of the three years; those on which a clock of the fleet changes come first."""
    every = [FIRST + timedelta(days=n) for n in range(YEARS * 365 + 1)]
    changes = [day for day in every if any(_changes(day, zone) for zone in ZONES)]
    nearby = sorted({day + timedelta(days=n) for day in changes for n in (-1, 0, 1)} & set(every))
    others = [day for day in every if day not in set(nearby)]
    rng = np.random.default_rng([seed, 200])
    rng.shuffle(others)
    return tuple(sorted((nearby + others)[:number]))


def _changes(day: date, zone: str) -> bool:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    return noon.utcoffset() != (noon - timedelta(days=1)).utcoffset()


def one_date(task: tuple[date, int]) -> tuple[list[Told], list[TrainTold]]:
    """Everything that is released on one date."""
    day, seed = task
    alone, trains = [], []
    for app in fleet(seed).alone:
        rng = np.random.default_rng([seed, 300, app.number, day.toordinal()])
        if rng.random() < 1.0 / BETWEEN and (told := night(app, day, kind_of(rng), seed)) is not None:
            alone.append(told)
    for line in fleet(seed).lines:
        rng = np.random.default_rng([seed, 500, line.number, day.toordinal()])
        # The hours before and after a change of clocks lie in the nights of two dates.
        changes = any(_changes(day + timedelta(days=n), line.hours.zone) for n in (0, 1))
        if (changes or rng.random() < 1.0 / TRAINS_BETWEEN) and (rode := train_night(line, day, seed)) is not None:
            trains.append(rode)
    return alone, trains


def main(arguments: Sequence[str]) -> int:
    """-> the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.nights", description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    tasks = [(day, asked.seed) for day in dates(asked.nights, asked.seed)]
    with ProcessPoolExecutor(asked.jobs) as pool:
        found = list(pool.map(one_date, tasks, chunksize=4))
    alone = [one for each, _ in found for one in each]
    trains = [one for _, each in found for one in each]
    for line in page(alone, trains, asked.nights, asked.seed):
        print(line)
    print(f"\n{time.monotonic() - began:.0f} s with {asked.jobs} processes; {SIZE} apps in {len(ZONES)} zones")
    return 0 if faultless(alone, trains) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
