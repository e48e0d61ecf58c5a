"""Figures of a controller whose apps rest: start to ready, memory, writes, and a list of 5,000 pods."""

from __future__ import annotations

import time
from collections.abc import Iterator

from controller.cluster.login import connect
from tests.bench.figures import Figure, Measured
from tests.bench.machine import counted, cpu_seconds, load, resident_mb
from tests.bench.plane import Plane
from tests.bench.pods_list import PODS, measure
from tests.cluster.bed.processes import free_port
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import Controller
from tests.controller.adapters.builders import RealClock

APPS = 100
PODS_EACH = 5
REST = 60.0  # seconds
STARTS = 5
STATUS = "releasepolicies/status"

START = Figure("start", f"process start to /readyz 200, {APPS} policies in the cluster", "s", 2.0)
MEMORY = Figure(
    "idle-memory", f"resident memory, {APPS} idle policies and {APPS * PODS_EACH} pods, a minute", "MB", 130.0
)
WRITES = Figure("idle-writes", f"writes in that minute, and while all {APPS} apps are ticked after a restart", "", 0.0)
IDLE_CPU = Figure("idle-cpu", f"own CPU per second, {APPS} idle policies", "ms")
PODS_COPY = Figure("pods-copy", f"longest stall of other threads, watch copy of {PODS} pods", "ms", 200.0)
PODS_READ = Figure("pods-read", f"longest stall of other threads, quorum list of {PODS} pods", "ms", 200.0)


def measure_idle(plane: Plane) -> Iterator[Measured]:
    """The first start writes each policy's status once; after that nothing may be written."""
    before = load()
    plane.add_apps(APPS, PODS_EACH)
    starts, memory, writes, cpu = [], [], [], []
    with plane.controller("idle", port=free_port()) as (process, seconds):
        starts.append(seconds)
        _await_all_ticked(process)
        first = plane.writes()
        if [one.resource for one in first] != [STATUS] * APPS:
            raise RuntimeError(f"{APPS} first status writes were expected, seen were {len(first)} writes: {first[:2]}")
        spent = cpu_seconds(process.pid)
        time.sleep(REST)
        cpu.append(1000 * (cpu_seconds(process.pid) - spent) / REST)
        memory.append(resident_mb(process.pid))
        writes.append(float(len(plane.writes()) - len(first)))
    for number in range(1, STARTS):
        with plane.controller(f"idle-{number}", port=free_port()) as (process, seconds):
            starts.append(seconds)
            _await_all_ticked(process)
            memory.append(resident_mb(process.pid))
            writes.append(float(len(plane.writes()) - len(first)) - sum(writes))
    yield Measured(START, tuple(starts), load(before))
    yield Measured(
        MEMORY, tuple(memory), load(before), "the first value after a minute, the others after a tick of each app"
    )
    yield Measured(
        WRITES, tuple(writes), load(before), f"before them {len(first)} writes, the first status of each policy"
    )
    yield Measured(IDLE_CPU, tuple(cpu), load(before))


def measure_pods(plane: Plane) -> Iterator[Measured]:
    """Beside each list a thread does nothing but wake every millisecond; its longest gap is the stall."""
    before = load()
    plane.add_pods()
    rounds = measure(connect(RealClock(), kubeconfig=str(plane.kubeconfig)), 5)
    copied, read = max(one.copied for one in rounds), max(one.read for one in rounds)
    yield Measured(
        PODS_COPY,
        tuple(1000 * one.stalled_copy for one in rounds),
        load(before),
        f"the list took {copied:.1f} s at most",
    )
    yield Measured(
        PODS_READ, tuple(1000 * one.stalled_read for one in rounds), load(before), f"the list took {read:.1f} s at most"
    )


def _await_all_ticked(process: Controller) -> None:
    """Waits until every app had a tick."""

    def ticks() -> float:
        # The page answers before the log says where it is.
        return counted(process.read_page("/metrics")[1], "nightferry_ticks_total") if process.lines("ready") else 0.0

    eventually(lambda: ticks() >= APPS, within=60, what="every app was ticked", every=0.25)
