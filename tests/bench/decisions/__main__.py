"""`python -m tests.bench.decisions [--quick] [--seed N] [--data DIR] [--json FILE] [--only GROUP]...`

What gates promise and what they catch, on simulated fleets and on the real series of DIR, beside the rules of other
tools on the same releases. A missed goal is a number to look at; the exit code is 1 only where a promise is broken
beyond chance (the lower 95 % bound of a false-rollback rate above 1 %) or a measurement itself broke.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

# One thread per process: the studies are spread over processes already.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from tests.bench.decisions import costs, kpi, memory, redrawn  # noqa: E402 - after the threads are set
from tests.bench.decisions.report import goals_table, matrices, rows_of  # noqa: E402
from tests.bench.decisions.rows import Absent, Row, as_json  # noqa: E402
from tests.bench.decisions.running import QUICK, WHOLE, Sizes, run_studies  # noqa: E402
from tests.bench.decisions.studies import STUDIES  # noqa: E402

SEED = 52718281
SIMULATED = tuple(dict.fromkeys(study.group for study in STUDIES))
GROUPS = (*SIMULATED, redrawn.GROUP, costs.GROUP, memory.GROUP, kpi.GROUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.decisions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer services and releases: minutes, wide intervals")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of real series: DIR/pods and DIR/kpi")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every row to a file")
    parser.add_argument("--only", action="append", metavar="GROUP", choices=GROUPS, help=", ".join(GROUPS))
    parser.add_argument("--services", type=int, metavar="N", help="simulated services per study, each learns once")
    asked = parser.parse_args(arguments)
    sizes = QUICK if asked.quick else WHOLE
    sizes = sizes if asked.services is None else replace(sizes, services=asked.services)
    began = time.monotonic()
    groups = asked.only or GROUPS
    rows, absent = simulated(groups, asked.seed, sizes)
    for found in real(groups, asked.data, asked.seed, quick=asked.quick).values():
        if isinstance(found, Absent):
            absent.append(found)
        else:
            rows += found
    print("\n".join([*matrices(rows), "", *goals_table(rows, absent)]), flush=True)
    print(f"seed {asked.seed}, {sizes}, {time.monotonic() - began:.0f} s")
    if asked.json is not None:
        asked.json.write_text(
            json.dumps({"seed": asked.seed, "sizes": asdict(sizes), **as_json(rows, absent)}, indent=1)
        )
    return 1 if any(row.broken for row in rows) or any(one.failed for one in absent) else 0


def real(groups: Sequence[str], data: Path | None, seed: int, *, quick: bool) -> dict[str, list[Row] | Absent]:
    """The groups that have no pods on trial, side by side but for the costs, which are measured alone."""
    found: dict[str, list[Row] | Absent] = {}
    with ProcessPoolExecutor(2) as pool:
        asked = {
            group: pool.submit(measure, data, seed, quick)
            for group, measure in ((memory.GROUP, memory.run), (kpi.GROUP, kpi.run))
            if group in groups and data is not None
        }
        for group in (memory.GROUP, kpi.GROUP):
            if group in asked:
                print(f"measuring {group}", file=sys.stderr, flush=True)
                found[group] = _measured(group, asked[group].result)
            elif group in groups:
                found[group] = Absent(group, "no folder of real series was given (--data DIR)")
    if redrawn.GROUP in groups:
        print(f"measuring {redrawn.GROUP}", file=sys.stderr, flush=True)
        found[redrawn.GROUP] = _measured(redrawn.GROUP, lambda: redrawn.run(seed, quick))
    if costs.GROUP in groups:
        print(f"measuring {costs.GROUP}", file=sys.stderr, flush=True)
        found[costs.GROUP] = _measured(costs.GROUP, lambda: costs.run(seed, quick=quick))
    return found


def _measured(group: str, measure: Callable[[], list[Row]]) -> list[Row] | Absent:
    try:
        return measure() or Absent(group, "the folder of real series has none of these")
    except FileNotFoundError as missing:
        return Absent(group, f"the folder of real series lacks {missing.filename or missing}")
    except Exception:  # one broken measurement must not hide the others
        return Absent(group, traceback.format_exc(limit=8), failed=True)


def simulated(groups: Sequence[str], seed: int, sizes: Sizes) -> tuple[list[Row], list[Absent]]:
    """Rows of all studies of these groups, in the order of the studies."""
    numbers = [number for number, study in enumerate(STUDIES) if study.group in groups]
    found: dict[int, list[Row]] = {}
    absent: list[Absent] = []
    for number, services in run_studies(numbers, seed, sizes):
        study = STUDIES[number]
        broke = [one.failed for one in services if one.failed]
        if broke:
            absent.append(Absent(f"{study.group}/{study.name}", f"{len(broke)} services: {broke[0]}", failed=True))
        if len(broke) < len(services):
            found[number] = rows_of(study, services)
    return [row for number in numbers for row in found.get(number, [])], absent


if __name__ == "__main__":
    sys.exit(main())
