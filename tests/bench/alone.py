"""Figures that need no cluster: validating a folder of policies, and one look of one gate."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from controller.gates import judge, questions
from controller.metrics.prometheus import Prometheus
from controller.metrics.transport import Transport
from controller.release.observation import Observation
from controller.release.record import GateVerdict, Record, Span
from controller.requests.failure import Failure
from controller.requests.fetches import Counts, FetchCounts, FetchReadings
from controller.settings import Source
from policies.load import load_paths
from policies.schema import Gate, ReleasePolicy
from tests.bench.figures import Figure, Measured
from tests.bench.machine import load
from tests.cluster.bed.shared import ROOT
from tests.controller.builders import NOW, a_policy, a_record, an_observation

POLICIES = 200
REPEATS = 5
VALIDATE = Figure("validate", f"{POLICIES} policies by `nightferry validate`, the whole process", "s", 2.0)
VALIDATE_INSIDE = Figure("validate-inside", f"{POLICIES} policies read and judged, in the process", "s", 2.0)

WINDOWS = 60
CONTENDERS = 5
INCUMBENTS = 45
LOOKS = 40
LOOK_ERRORS = Figure("look-errors", f"a look of an errorRatio gate, {WINDOWS} windows x 50 pods", "ms")
LOOK_LATENCY = Figure("look-latency", f"a look of a latency gate, {WINDOWS} windows x 50 pods x 12 buckets", "ms")

BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
GATES: list[dict[str, Any]] = [
    {
        "name": "errors",
        "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
    },
    {"name": "latency", "latency": {"histogram": "http_request_duration_seconds_bucket"}},
]


def measure_validate(scratch: Path) -> Iterator[Measured]:
    """A folder of 200 files, each the shipped example with every field, for an app of its own."""
    folder = scratch / "policies"
    folder.mkdir()
    example = (ROOT / "policies" / "examples" / "twin.yaml").read_text()
    for number in range(POLICIES):
        (folder / f"app-{number:03d}.yaml").write_text(example.replace("checkout", f"checkout-{number:03d}"))
    before = load()
    yield Measured(VALIDATE, tuple(_timed(lambda: _validate(folder)) for _ in range(REPEATS)), load(before))

    def inside() -> None:
        documents, errors = load_paths([folder])
        if errors or len(documents) != POLICIES:
            raise RuntimeError(f"{len(documents)} policies read: {errors[:1]}")

    yield Measured(VALIDATE_INSIDE, tuple(_timed(inside) for _ in range(REPEATS)), load(before))


def measure_look(_: Path) -> Iterator[Measured]:
    """From the bytes of the store's answer to the verdict; the network and the store are not in it."""
    for figure, number in ((LOOK_ERRORS, 0), (LOOK_LATENCY, 1)):
        before = load()
        case = LookCase.of(number)
        verdict = case.look()  # the first look imports and warms up
        if verdict.observed < (WINDOWS - 1) * case.source.window:
            raise RuntimeError(f"the gate saw less than it was given: {verdict.because}")
        milliseconds = tuple(1000 * _timed(case.look) for _ in range(LOOKS))
        judged = 1000 * min(_timed(case.judge_again) for _ in range(LOOKS))
        note = f"reading the answer included; the verdict alone {judged:.1f} ms; it said {verdict.verdict.value}"
        yield Measured(figure, milliseconds, load(before), note)


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _validate(folder: Path) -> None:
    command = [sys.executable, "-m", "controller", "validate", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"nightferry validate ended with {done.returncode}: {done.stderr[:500]}")


@dataclass(slots=True)
class Canned:
    """A transport whose store has the answers ready."""

    bodies: dict[str, bytes]

    def query_range(self, query: str, *, start: float, end: float, step: float) -> bytes:
        """The body for the first marker that the query holds."""
        return next(body for marker, body in self.bodies.items() if marker in query)


@dataclass(frozen=True, slots=True)
class LookCase:
    """A release of fifty pods after half an hour of windows, one gate, and a store that answers at once."""

    gate: Gate
    policy: ReleasePolicy
    record: Record
    seen: Observation
    source: Source
    asks: tuple[FetchCounts | FetchReadings, ...]
    store: Prometheus
    answers: Mapping[str, Counts | Failure]

    @classmethod
    def of(cls, number: int) -> LookCase:
        """The gate of this number in GATES."""
        source = Source()
        policy = a_policy(gates=GATES)
        end = NOW - NOW % source.window
        start = end - WINDOWS * source.window
        record = a_record(policy=policy, observing=(Span(start),), stage_since=start)
        seen = an_observation(INCUMBENTS, CONTENDERS)
        assert record.contender is not None and record.incumbent is not None
        sets = (*record.contender.replica_sets, *record.incumbent.replica_sets)
        gate = policy.spec.gates[number]
        pods = [pod.name for pod in (*seen.contenders, *seen.incumbents)]
        bodies = answer_bodies(pods, start, source.window, seed=number + 1)
        store = Prometheus(cast(Transport, Canned(bodies)))
        asks = questions(policy, gate, "shop", sets, source, start, end)
        return cls(gate, policy, record, seen, source, asks, store, _answers(store, asks))

    def look(self) -> GateVerdict:
        """Asks and judges."""
        answers = _answers(self.store, self.asks)
        return judge(self.gate, self.policy, self.record, self.seen, self.source, answers)

    def judge_again(self) -> GateVerdict:
        """Judges answers that were read before."""
        return judge(self.gate, self.policy, self.record, self.seen, self.source, self.answers)


def _answers(store: Prometheus, asks: tuple[FetchCounts | FetchReadings, ...]) -> dict[str, Counts | Failure]:
    found: dict[str, Counts | Failure] = {}
    for ask in asks:
        answer = store.fetch(ask)
        assert isinstance(answer, Counts | Failure)
        found[ask.term] = answer
    return found


def answer_bodies(pods: list[str], start: float, window: float, *, seed: int) -> dict[str, bytes]:
    """Range answers of a store by a marker of the query: 10 requests a second and pod, half a percent of errors."""
    rng = np.random.default_rng(seed)
    errors, requests, buckets = [], [], []
    shape = np.diff([0.0, 0.01, 0.03, 0.10, 0.30, 0.62, 0.90, 0.97, 0.99, 0.997, 0.999, 0.9997, 1.0])
    for pod in pods:
        asked = rng.poisson(10 * window, WINDOWS + 1)
        requests.append(_series({"pod": pod}, start, window, np.cumsum(asked)))
        errors.append(_series({"pod": pod}, start, window, np.cumsum(rng.binomial(asked, 0.005))))
        below = np.cumsum(np.cumsum(rng.multinomial(asked, shape), axis=1), axis=0)
        buckets += [_series({"pod": pod, "le": le}, start, window, below[:, j]) for j, le in enumerate(BOUNDS)]
    # The first marker found in a query is taken: the errors' selector is the only one with a status in it.
    return {'code=~"5.."': _body(errors), "_bucket": _body(buckets), "http_requests_total": _body(requests)}


def _series(labels: dict[str, str], start: float, window: float, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"metric": labels, "values": [[start + k * window, str(int(value))] for k, value in enumerate(values)]}


def _body(series: list[dict[str, Any]]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}).encode()
