"""A past for Prometheus: fleets that never ran, written as OpenMetrics and turned into blocks by promtool.

The history of a fleet is drawn with pod noise of a known size, so that a test knows what there is to learn. Time stamps
lie on a grid; a store that answers from blocks is in nothing different from one that scraped for weeks.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import erf, exp, log, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
HASH = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Version:
    """Pods of one ReplicaSet that served from `begin` to `end` (epoch seconds).

    errors: share of failed requests of all of them together; None: whatever its pods come to, drawn one by one.
    """

    replica_set: str
    begin: float
    end: float
    pods: int = 6
    errors: float | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """An app whose pods serve alike but for noise.

    rate: requests per second of a pod. errors: share of failed ones. pod_sd: log standard deviation between pods'
    error rates, for their lifetime. window_sd: the same from step to step. latency: whether buckets are written.
    labels: of every series. young: extra errors of a newborn pod, decaying over two minutes. dawn: when a day begins
    (epoch seconds); a past that ends now gives its end, so that whatever the hour is, what is drawn is the same.
    """

    namespace: str
    versions: tuple[Version, ...]
    step: float = 30.0
    rate: float = 20.0
    errors: float = 0.005
    pod_sd: float = 0.1
    window_sd: float = 0.2
    latency: bool = False
    memory: bool = False
    young: float = 0.0
    daily: float = 0.3
    dawn: float = 0.0
    seed: int = 7
    labels: tuple[tuple[str, str], ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()
    only: frozenset[str] = field(default_factory=frozenset)


def pod_names(version: Version) -> list[str]:
    """Names as a ReplicaSet gives them."""
    names = []
    for number in range(version.pods):
        digits = [HASH[(number * 7 + place * 3 + number // 27**place) % len(HASH)] for place in range(5)]
        names.append(f"{version.replica_set}-{''.join(digits)}")
    return names


def write_openmetrics(fleet: Fleet, file: Path) -> int:
    """Writes the history of a fleet; -> the number of samples."""
    rng = np.random.default_rng(fleet.seed)
    pods = [
        _Pod(name, version, fleet, rng, level)
        for version in fleet.versions
        for name, level in zip(pod_names(version), _levels(fleet, version), strict=True)
    ]
    total = 0
    with file.open("w") as out:
        out.write("# TYPE http_requests counter\n")
        for pod in pods:
            total += pod.write(out, "http_requests_total", pod.failed, code="500")
            total += pod.write(out, "http_requests_total", pod.served - pod.failed, code="200")
        if fleet.latency:
            out.write("# TYPE http_request_duration_seconds histogram\n")
            for pod in pods:
                for bound, below in pod.buckets(rng):
                    total += pod.write(out, "http_request_duration_seconds_bucket", below, le=bound)
        if fleet.memory:
            out.write("# TYPE process_resident_memory_bytes gauge\n")
            for pod in pods:
                total += pod.write(out, "process_resident_memory_bytes", pod.memory(rng), whole=False)
        out.write("# EOF\n")
    return total


def _levels(fleet: Fleet, version: Version) -> list[float | None]:
    """Each pod's own share of failed requests where the mean of the version is given, else None.

    They lie at even quantiles: a fleet that is neither more nor less alike than fleets of this kind are.
    """
    if version.errors is None:
        return [None] * version.pods
    own = [exp(fleet.pod_sd * NormalDist().inv_cdf((n + 0.5) / version.pods)) for n in range(version.pods)]
    return [version.errors * one * version.pods / sum(own) for one in own]


class _Pod:
    def __init__(
        self, name: str, version: Version, fleet: Fleet, rng: np.random.Generator, level: float | None = None
    ) -> None:
        begin = np.ceil(version.begin / fleet.step) * fleet.step
        self.times: Floats = np.arange(begin, version.end + 1e-6, fleet.step)
        self.fleet = fleet
        self.name = name
        size = self.times.size
        day = 1.0 + fleet.daily * np.sin(2.0 * np.pi * (self.times - fleet.dawn) / 86_400.0)
        served = rng.poisson(fleet.rate * fleet.step * day).astype(np.float64)
        age = self.times - begin
        drawn = fleet.errors * np.exp(fleet.pod_sd * rng.standard_normal())
        share = (
            (drawn if level is None else level)
            * np.exp(fleet.window_sd * _ar1(rng, size, 0.6))
            * (1.0 + fleet.young * np.exp(-age / 120.0))
        )
        failed = rng.poisson(served * np.minimum(share, 0.9)).astype(np.float64)
        self.served: Floats = np.cumsum(served)
        self.failed: Floats = np.minimum(np.cumsum(failed), self.served)
        self.kept = np.ones(size, dtype=np.bool_)
        for gap_begin, gap_end in fleet.gaps:
            self.kept &= (self.times < gap_begin) | (self.times >= gap_end)

    def buckets(self, rng: np.random.Generator) -> Iterator[tuple[str, Floats]]:
        """Cumulative counts of a log-normal latency of median 80 ms, pods 3 % apart."""
        scale = float(np.exp(0.03 * rng.standard_normal()))
        each = np.diff(self.served, prepend=0.0)
        left, low = each.copy(), 0.0
        below = np.zeros_like(each)
        for bound in BOUNDS:
            share = _below(bound / scale)
            part = rng.binomial(left.astype(np.int64), min(1.0, (share - low) / max(1.0 - low, 1e-12)))
            left, low = left - part, share
            below = below + part
            yield f"{bound:g}", np.cumsum(below)
        yield "+Inf", np.cumsum(each)

    def memory(self, rng: np.random.Generator) -> Floats:
        """Bytes: pods differ by a tenth, and each moves a little."""
        level = 200e6 * np.exp(0.1 * rng.standard_normal())
        moved: Floats = level * np.exp(0.02 * _ar1(rng, self.times.size, 0.9))
        return moved

    def write(self, out: Any, metric: str, values: Floats, *, whole: bool = True, **labels: str) -> int:
        pairs = {"namespace": self.fleet.namespace, "pod": self.name, **dict(self.fleet.labels), **labels}
        head = metric + "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "} "
        # A series that has counted nothing does not exist yet.
        kept = self.kept & ((values > 0.0) if labels.get("code") == "500" else True)
        numbers = values[kept].astype(np.int64).tolist() if whole else values[kept].tolist()
        out.writelines(
            f"{head}{value} {at:.3f}\n" for value, at in zip(numbers, self.times[kept].tolist(), strict=True)
        )
        return int(kept.sum())


def _ar1(rng: np.random.Generator, size: int, memory: float) -> Floats:
    noise = rng.standard_normal(size)
    out = np.empty(size)
    last = rng.standard_normal()
    share = np.sqrt(1.0 - memory**2)
    for place in range(size):
        last = memory * last + share * noise[place]
        out[place] = last
    return out


def _below(seconds: float) -> float:
    return 0.5 * (1.0 + erf(log(seconds / 0.08) / (0.8 * sqrt(2.0))))


def create_blocks(promtool: Path, texts: Sequence[Path], data: Path) -> None:
    """Turns OpenMetrics files into blocks in a data folder. Raises RuntimeError with promtool's own words."""
    data.mkdir(parents=True, exist_ok=True)
    # One promtool is busy with one file, on one core. It reads a file once per block, so blocks are long: two months.
    command: list[str | Path] = [
        promtool,
        "tsdb",
        "create-blocks-from",
        "--max-block-duration=1458h",
        "openmetrics",
        "-q",
    ]
    with ThreadPoolExecutor(os.cpu_count()) as each_core:
        for done in each_core.map(lambda text: _ran([*command, text, data]), texts):
            if done.returncode != 0:
                raise RuntimeError(f"promtool: {done.stderr[-500:]}")


def _ran(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
