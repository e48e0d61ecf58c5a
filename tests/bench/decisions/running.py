"""Running studies: one service at a time, each with a seed of its own, on as many cores as there are.

The result of a service does not depend on which process ran it, in which order, or what else was asked for.
"""

from __future__ import annotations

import os
import sys
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from analysis.special import FloatArray
from tests.bench.decisions.judging import Judged
from tests.bench.decisions.studies import STUDIES, Kind, Study


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many services learn in a study, and how many releases of each kind each of them makes."""

    services: int
    healthy: int
    margin: int
    harmful: int

    def taught(self, study: Study) -> int:
        """Services of a study."""
        return self.services * study.spread

    def of(self, study: Study, kind: Kind) -> int:
        """Releases per service and cell."""
        whole = {Kind.HEALTHY: self.healthy, Kind.MARGIN: self.margin}.get(kind, self.harmful)
        return -(-whole // study.spread)


WHOLE = Sizes(services=24, healthy=175, margin=84, harmful=25)
QUICK = Sizes(services=4, healthy=90, margin=45, harmful=15)


@dataclass(frozen=True, slots=True)
class Ran:
    """One service of a study: what the rules said, by cell, and what the service had learned, in words."""

    study: int
    service: int
    cells: Mapping[str, Judged]
    standing: str
    failed: str = ""


def seeded(seed: int, study: Study, service: int, cell: str = "") -> np.random.Generator:
    """The generator of one service, or of one of its cells: the same whatever else is run."""
    words = zlib.crc32(f"{study.group}/{study.name}/{cell}".encode())
    return np.random.default_rng([seed, words, service])


def run_service(number: int, service: int, seed: int, sizes: Sizes) -> Ran:
    """Teaches one service and judges its releases."""
    study = STUDIES[number]
    try:
        taught = study.teach(seeded(seed, study, service))
        cells = {}
        for cell in study.cells:
            rng = seeded(seed, study, service, cell.name)
            cells[cell.name] = cell.releases(rng, taught, sizes.of(study, cell.kind))
    except Exception:  # one broken service must not hide the others; it is named in the report
        return Ran(number, service, {}, "", traceback.format_exc(limit=8))
    return Ran(number, service, cells, taught.standing)


def run_studies(
    numbers: Sequence[int], seed: int, sizes: Sizes, workers: int | None = None
) -> Iterator[tuple[int, list[Ran]]]:
    """Studies as they are finished: the number of each and its services in order."""
    tasks = [(number, service) for number in numbers for service in range(sizes.taught(STUDIES[number]))]
    found: dict[int, list[Ran]] = {number: [] for number in numbers}
    done = 0
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        futures = [pool.submit(run_service, number, service, seed, sizes) for number, service in tasks]
        for future in as_completed(futures):
            ran = future.result()
            done += 1
            found[ran.study].append(ran)
            print(f"\r{done} of {len(tasks)} services", end="", file=sys.stderr, flush=True)
            if len(found[ran.study]) == sizes.taught(STUDIES[ran.study]):
                yield ran.study, sorted(found.pop(ran.study), key=lambda one: one.service)
    print(file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Pooled:
    """One cell over all services: (releases,) arrays in the order of the services, and which service each is of."""

    alarms: Mapping[str, FloatArray]
    scores: Mapping[str, FloatArray]
    requests: FloatArray
    events: FloatArray
    odds: FloatArray
    service: FloatArray


def pooled(services: Sequence[Ran], cell: str) -> Pooled:
    """The releases of one cell of all services that did not fail."""
    many = [one.cells[cell] for one in services if not one.failed]
    rules = [rule for rule in many[0].alarms if all(rule in one.alarms for one in many)]
    sizes = [one.requests.shape[0] for one in many]
    return Pooled(
        {rule: np.concatenate([one.alarms[rule] for one in many]) for rule in rules},
        {rule: np.concatenate([one.scores[rule] for one in many]) for rule in many[0].scores},
        np.concatenate([one.requests for one in many]),
        np.concatenate([one.events for one in many]),
        np.concatenate([one.odds for one in many]),
        np.repeat(np.arange(len(many), dtype=np.float64), sizes),
    )
