"""Studies by kinds of service (cells): services of each in processes of their own, and the table of what came out."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tests.bench.decisions.rows import Row, table

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Services per cell, healthy releases per service, releases with each harm per service."""

    services: int
    healthy: int
    harmful: int


def by_cell(judged: Callable[[int, int, int, Sizes], J], cells: int, seed: int, sizes: Sizes) -> list[Sequence[J]]:
    """What `judged(cell, seed, service, sizes)` says of every service, for each cell by its number."""
    asked = [(number, seed, service, sizes) for number in range(cells) for service in range(sizes.services)]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(judged, *zip(*asked, strict=True)))
    return [found[number * sizes.services : (number + 1) * sizes.services] for number in range(cells)]


def print_table(run: Callable[[int, bool], list[Row]], about: str | None) -> None:
    """Prints what `run(seed, quick)` measures, as the command line asks for it."""
    flags = argparse.ArgumentParser(description=about)
    flags.add_argument("--seed", type=int, required=True)
    flags.add_argument("--quick", action="store_true")
    asked = flags.parse_args()
    for line in table(run(asked.seed, asked.quick)):
        print(line)
