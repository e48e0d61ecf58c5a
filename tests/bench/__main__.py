"""The figures of docs/performance.md: `python -m tests.bench [--only GROUP]... [--json FILE]`.

Each figure is measured on real parts and printed beside its goal. A missed goal is a number to look at and no failure:
the exit code is 1 only where a measurement itself broke.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

from tests.bench import alerts, alone, idle, releases
from tests.bench.figures import Figure, Measured, Unmeasured, as_json, table
from tests.bench.machine import load, this_machine
from tests.bench.plane import MANIFESTS, Plane, running_plane
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.shared import joined
from tests.setup.find import MissingPrograms, find_programs

T = TypeVar("T")
GROUPS: Mapping[str, tuple[Figure, ...]] = {
    "validate": (alone.VALIDATE, alone.VALIDATE_INSIDE),
    "look": (alone.LOOK_ERRORS, alone.LOOK_LATENCY),
    "idle": (idle.START, idle.MEMORY, idle.WRITES, idle.IDLE_CPU),
    "pods": (idle.PODS_COPY, idle.PODS_READ),
    "ticks": (releases.TICK_CPU, releases.TICK_REQUESTS),
    "crash": (releases.CRASH, releases.CRASH_LATE),
    "abort": (releases.ABORT, releases.ABORT_LATE),
    "alerts": (
        alerts.POST, alerts.POST_HOP, alerts.LEVEL, alerts.IN_STORM, alerts.STORM_KEPT, alerts.STORM_WRITES,
        alerts.STORM_TICK,
    ),
}  # fmt: skip
"""What is measured together, in this order: what needs no server first."""


class Parts:
    """The real parts, started when they are first asked for and stopped at the end. Raises Missing without them."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._ends = ExitStack()
        self._plane: Plane | None = None
        self._bed: Bed | None = None

    def close(self) -> None:
        """Stops everything."""
        self._ends.close()

    @property
    def plane(self) -> Plane:
        """A control plane without a kubelet."""
        if self._plane is None:
            programs = find_programs(os.environ)
            if isinstance(programs, MissingPrograms):
                raise Missing(programs.short)
            self._plane = self._enter(running_plane(self.scratch / "plane", programs))
        return self._plane

    @property
    def bed(self) -> Bed:
        """The test bed with everything installed."""
        if self._bed is None:
            programs = find_programs(os.environ)
            if isinstance(programs, MissingPrograms):
                raise Missing(programs.short)
            facts = self._enter(joined(self.scratch / "bed"))
            self._bed = Bed(facts, programs, self.scratch)
            self._bed.apply_manifests(*MANIFESTS)
        return self._bed

    def _enter(self, block: AbstractContextManager[T]) -> T:
        return self._ends.enter_context(block)


class Missing(Exception):
    """A program that a measurement needs is on this machine nowhere."""


def measurements(parts: Parts) -> dict[str, Callable[[], Iterator[Measured]]]:
    """How each of GROUPS is measured."""
    return {
        "validate": lambda: alone.measure_validate(parts.scratch),
        "look": lambda: alone.measure_look(parts.scratch),
        "idle": lambda: idle.measure_idle(parts.plane),
        "pods": lambda: idle.measure_pods(parts.plane),
        "ticks": lambda: releases.measure_ticks(parts.bed, parts.scratch),
        "crash": lambda: releases.measure_crash(parts.bed, parts.scratch),
        "abort": lambda: releases.measure_abort(parts.bed, parts.scratch),
        "alerts": lambda: alerts.measure_alerts(parts.bed, parts.scratch),
    }


def measured(group: str, measure: Callable[[], Iterator[Measured]]) -> list[Measured | Unmeasured]:
    """The figures of one group; what broke or lacks a part says so in their place."""
    found: list[Measured | Unmeasured] = []
    try:
        found.extend(measure())
    except Missing as missing:
        found.append(Unmeasured(group, str(missing), failed=False))
    except Exception as error:  # one broken measurement must not hide the others
        traceback.print_exc()
        found.append(Unmeasured(group, " ".join(f"{type(error).__name__}: {error}".split())[:300], failed=True))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", metavar="GROUP", choices=GROUPS, action="append", help=", ".join(GROUPS))
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write every value to a file")
    asked = parser.parse_args(arguments)
    machine = this_machine()
    results: list[Measured | Unmeasured] = []
    print(f"{machine}, load {load():.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="nightferry-bench-") as folder:
        parts = Parts(Path(folder))
        try:
            for group, measure in measurements(parts).items():
                if asked.only is None or group in asked.only:
                    print(f"measuring {group}", file=sys.stderr, flush=True)
                    results += measured(group, measure)
        finally:
            parts.close()
    print("\n".join(table(results)), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(as_json(results, machine), indent=1) + "\n")
    return 1 if any(isinstance(one, Unmeasured) and one.failed for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
