"""A metric store over HTTP that remembers a healthy fleet: exact counters of pods, drawn from a seed.

It answers the questions that the product asks, recognised by their form, and refuses every other one. So a test needs
no server program, and a question that changes shape fails here instead of passing unseen.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.controller.adapters.server import Asked, Line, Server, obj, serving

_POLICY = """\
apiVersion: nightferry.dev/v1alpha1
kind: ReleasePolicy
metadata: {name: checkout, namespace: shop}
spec:
  target: {deployment: checkout}
  strategy: {twin: {canary: 1, batches: [30%, 50%, 100%]}}
  observe: {atLeast: 2m, atMost: MOST}
  gates:
    - name: errors
      errorRatio: {errors: 'http_requests_total{code=~"5.."}', requests: http_requests_total}
"""
Row = tuple[dict[str, str], Callable[[np.ndarray], np.ndarray]]

WINDOW = 30.0
BOUNDS = ("0.05", "0.1", "0.25", "0.5", "1", "+Inf")
BELOW = (0.30, 0.55, 0.90, 0.985, 0.998, 1.0)


@dataclass
class Fleet:
    """Pods of one ReplicaSet that all serve alike, or differ for good by `sd` (log)."""

    now: float
    hours: float = 12.0
    pods: int = 14
    requests: float = 300.0  # per pod and window
    errors: float = 0.01
    sd: float = 0.1
    memory: float = 2e8
    seed: int = 1
    app: str = "checkout"
    kinds: tuple[str, ...] = ("requests", "errors", "buckets", "memory")
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        windows = int(self.hours * 120) + 2
        self.end = self.now // WINDOW * WINDOW
        self.start = self.end - WINDOW * (windows - 1)
        own = self.errors * np.exp(rng.normal(0.0, self.sd, (self.pods, 1)))
        asked = rng.poisson(self.requests, (self.pods, windows))
        self.asked = np.cumsum(asked, axis=1)
        self.failed = np.cumsum(rng.binomial(asked, np.broadcast_to(own, asked.shape)), axis=1)
        parts = rng.multinomial(asked, np.diff(BELOW, prepend=0.0))
        self.buckets = np.cumsum(np.cumsum(parts, axis=2), axis=1)
        level = self.memory * np.exp(rng.normal(0.0, 0.1, (self.pods, 1)))
        self.levels = level * np.exp(rng.normal(0.0, 0.02, asked.shape))

    @property
    def names(self) -> list[str]:
        return [f"{self.app}-7d9f8c6b5d-x{number:02d}zz" for number in range(self.pods)]

    def rows(self, metric: str) -> list[Row]:
        """The series of a metric: labels, and values at instants (NaN where there are none)."""
        known: dict[str, tuple[str, np.ndarray, dict[str, str]]] = {
            "http_requests_total": ("requests", self.asked, {"code": "200"}),
            'http_requests_total{code=~"5.."}': ("errors", self.failed, {"code": "500"}),
            "process_resident_memory_bytes": ("memory", self.levels, {}),
        }
        if metric == "http_request_duration_seconds_bucket" and "buckets" in self.kinds:
            return [
                ({**self._labels(pod), "le": le}, self._line(self.buckets[row, :, place]))
                for row, pod in enumerate(self.names)
                for place, le in enumerate(BOUNDS)
            ]
        if metric not in known or known[metric][0] not in self.kinds:
            return []
        _, values, labels = known[metric]
        return [({**self._labels(pod), **labels}, self._line(values[row])) for row, pod in enumerate(self.names)]

    def _labels(self, pod: str) -> dict[str, str]:
        return {"namespace": "shop", "pod": pod, **self.extra}

    def _line(self, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        def at(times: np.ndarray) -> np.ndarray:
            place = np.floor((times - self.start) / WINDOW + 1e-6).astype(np.int64)
            inside = (place >= 0) & (place < values.size)
            return np.where(inside, values[np.clip(place, 0, values.size - 1)], np.nan)

        return at


_SELECTOR = re.compile(r"last_over_time\((?P<metric>[a-z_:]+)\{(?P<matchers>.*?)\}\[")
_SUM = re.compile(r"sum by \((?P<by>[a-z_, ]+)\) \(last_over_time\(")


class Store:
    """Answers over HTTP; `asked` are the queries, in order."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.queries: list[str] = []

    def answer(self, asked: Asked, line: Line) -> None:
        form = asked.form
        query = form["query"]
        self.queries.append(query)
        start, end, step = (float(form[key]) for key in ("start", "end", "step"))
        times = start + step * np.arange(int((end - start) / step + 1e-6) + 1)
        rows = self.evaluated(query, times)
        if rows is None:
            error = {"status": "error", "errorType": "bad_data", "error": f"not a question of ours: {query}"}
            obj(error, 400)(asked, line)
            return
        result = [
            {"metric": labels, "values": [[at, f"{value:.10g}"] for at, value in zip(times, values, strict=True)
                                          if np.isfinite(value)]}
            for labels, values in rows
        ]  # fmt: skip
        data = {"resultType": "matrix", "result": [one for one in result if one["values"]]}
        obj({"status": "success", "data": data})(asked, line)

    def evaluated(self, query: str, times: np.ndarray) -> list[tuple[dict[str, str], Any]] | None:
        if query.startswith("count by (replica_set)"):
            there = sum(np.isfinite(line(times)).astype(float) for _, line in self.fleet.rows("http_requests_total"))
            return [({"replica_set": f"{self.fleet.app}-7d9f8c6b5d"}, np.where(there > 0, there, np.nan))]
        if query.startswith("sum by (pod)") and "process_resident_memory_bytes{" in query:
            return [
                ({"pod": labels["pod"]}, line(times)) for labels, line in self._rows("process_resident_memory_bytes")
            ]
        if (summed := _SUM.match(query)) is not None and (found := _SELECTOR.search(query)) is not None:
            by = {name.strip() for name in summed["by"].split(",")}
            rows = self._rows(self._key(found["metric"], found["matchers"]))
            return [({k: v for k, v in labels.items() if k in by}, line(times)) for labels, line in rows]
        if "rate(" in query or query.startswith("avg("):
            return [({}, np.where(np.isfinite(self._rows("http_requests_total")[0][1](times)), 0.01, np.nan))]
        if query.startswith("count("):
            return []
        return None

    def _rows(self, metric: str) -> list[Row]:
        return self.fleet.rows(metric)

    @staticmethod
    def _key(metric: str, matchers: str) -> str:
        return f'{metric}{{code=~"5.."}}' if 'code=~"5.."' in matchers else metric


@contextlib.contextmanager
def store_of(fleet: Fleet) -> Iterator[tuple[Server, Store]]:
    """A store over HTTP with the history of a fleet, for the length of a block."""
    store = Store(fleet)
    with serving(store.answer) as server:
        yield server, store


def policy_file(at_most: str) -> str:
    """A policy of a fleet's app with one gate, observed so long at most; more gates may be written below it."""
    return _POLICY.replace("MOST", at_most)


def told(text: str) -> Any:
    """The JSON that a command printed."""
    return json.loads(text)
