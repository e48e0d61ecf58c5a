"""The gates of a policy: what is measured and compared, with what margin, under which bound."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import ConfigDict, Field

from policies.model import Part, Problem
from policies.names import DnsLabel, MetricLabel
from policies.outside import By, Job, OutsideKind, Webhook
from policies.query import Query
from policies.selector import Selector
from policies.values import Bound, Duration, Percent, Tolerance

_WHOLE = Bound(percent=Percent(1_000_000))

GateKind = Literal["errorRatio", "latency", "gauge", "throughput"]
_KINDS = ("errorRatio", "latency", "gauge", "throughput", "job", "webhook")


class ErrorRatio(Part):
    """The share of failed requests: two counters of the same pods."""

    errors: Selector = Field(description='Counter of failed requests, such as http_requests_total{code=~"5.."}.')
    requests: Selector = Field(description="Counter of all requests, failed ones included.")
    mix: MetricLabel | None = Field(
        default=None,
        description="A label that both counters have, such as route: shares of requests are then compared as if both "
        "versions had served the same mix of its values.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.errors == self.requests:
            yield Problem(("errors",), "the same selector as requests", "the failed requests only (VacuousGate)")

    def selectors(self) -> Mapping[str, Selector]:
        return {"errors": self.errors, "requests": self.requests}


class Latency(Part):
    """The distribution of response times: a classic histogram of the pods."""

    histogram: Selector = Field(
        description="Buckets of a classic histogram, such as http_request_duration_seconds_bucket."
    )
    objective: Duration | None = Field(
        default=None, description="Requests slower than this count against `limit`, such as 300ms."
    )

    def problems(self) -> Iterator[Problem]:
        if not self.histogram.metric.endswith("_bucket"):
            yield Problem(("histogram",), f"the metric {self.histogram.metric}", "a metric whose name ends in _bucket")
        if self.histogram.matches_on("le"):
            yield Problem(("histogram",), "a matcher on le", "no matcher on le: all buckets are needed")

    def selectors(self) -> Mapping[str, Selector]:
        return {"histogram": self.histogram}


class Gauge(Part):
    """A level of each pod: one number per pod, such as its memory or its goroutines."""

    query: Query = Field(
        description='PromQL with the matcher pod="$pods" where the pods belong (and namespace="$namespace" where the '
        "metric has that label); its result is one series per pod. Zero or above."
    )
    worse: Literal["higher", "lower"] = Field(default="higher", description="Which direction is worse: higher, lower.")

    def selectors(self) -> Mapping[str, Selector]:
        return {}


class Throughput(Part):
    """How much each pod gets done: a counter of events, compared per ready pod."""

    events: Selector = Field(description="Counter of events, such as orders_completed_total.")
    worse: Literal["lower", "higher", "either"] = Field(
        default="lower", description="Which direction is worse: lower, higher or either."
    )

    def selectors(self) -> Mapping[str, Selector]:
        return {"events": self.events}


Measure = ErrorRatio | Latency | Gauge | Throughput

_MARGINS: Mapping[GateKind, Tolerance] = {
    "errorRatio": Tolerance(ratio=1.25),
    "latency": Tolerance(ratio=1.08),
    "gauge": Tolerance(ratio=1.10),
    "throughput": Tolerance(ratio=1.25),
}


class Gate(Part):
    """One comparison of contender and incumbent over the same time."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["errorRatio"]},
                {"required": ["latency"]},
                {"required": ["gauge"]},
                {"required": ["throughput"]},
                {"required": ["job"]},
                {"required": ["webhook"]},
            ]
        }
    )

    name: DnsLabel = Field(description="The gate's name in verdicts and reports; unique in the policy.")
    required: bool = Field(
        default=True, description="false: the gate is watched and reported, but cannot stop a release."
    )
    error_ratio: ErrorRatio | None = Field(default=None, description="Compares the shares of failed requests.")
    latency: Latency | None = Field(default=None, description="Compares the distributions of response times.")
    gauge: Gauge | None = Field(default=None, description="Compares a level of the pods, such as memory.")
    throughput: Throughput | None = Field(default=None, description="Compares how much the pods get done.")
    job: Job | None = Field(default=None, description="Runs a Kubernetes Job, a smoke test, which must succeed.")
    webhook: Webhook | None = Field(default=None, description="Asks an endpoint of the controller's configuration.")
    by: By | None = Field(
        default=None,
        description="For metrics without a pod label, as those of an ingress or a mesh: the label that tells the "
        "versions apart.",
    )
    tolerate: Tolerance | None = Field(
        default=None,
        description="The margin: a ratio such as 1.25x, or for errorRatio percentage points such as 0.2pp. "
        "Default: 1.25x for errorRatio and throughput, 1.08x for latency, 1.1x for gauge.",
    )
    limit: Bound | None = Field(
        default=None,
        description="A hard bound, whatever the incumbent does: the share of failed requests (errorRatio) or of "
        "requests slower than `objective` (latency), such as 5%; for gauge the level that no pod may pass, a number.",
    )

    def measures(self) -> Mapping[GateKind, Measure]:
        """What the gate measures, by its kind: one item once the gate is legal, none for a gate that asks outside."""
        fields: Mapping[GateKind, Measure | None] = {
            "errorRatio": self.error_ratio,
            "latency": self.latency,
            "gauge": self.gauge,
            "throughput": self.throughput,
        }
        return {kind: measure for kind, measure in fields.items() if measure is not None}

    def asks(self) -> Mapping[OutsideKind, Job | Webhook]:
        """What the gate asks outside the metric store, by its kind; none for a gate that measures."""
        fields: Mapping[OutsideKind, Job | Webhook | None] = {"job": self.job, "webhook": self.webhook}
        return {kind: asked for kind, asked in fields.items() if asked is not None}

    @property
    def kind(self) -> GateKind:
        """What a gate of `ReleasePolicySpec.compared` measures."""
        return next(iter(self.measures()))

    @property
    def margin(self) -> Tolerance:
        """`tolerate`, or the default of the gate's kind."""
        return self.tolerate if self.tolerate is not None else _MARGINS[self.kind]

    def selectors(self) -> Mapping[str, Selector]:
        """The selectors by the name of their field; a gauge has a query instead."""
        return {name: each for measure in self.measures().values() for name, each in measure.selectors().items()}

    def problems(self) -> Iterator[Problem]:
        measured = list(self.measures())
        kinds = [*measured, *self.asks()]
        if len(kinds) != 1:
            found = f"a gate with {' and '.join(kinds)}" if kinds else "a gate that measures nothing"
            known = ", ".join(kind for kind in _KINDS if kind not in self.later)
            yield Problem((), found, f"exactly one of {known}")
        elif measured:
            yield from self._measuring_problems(measured[0])
        else:
            for name, value in (("tolerate", self.tolerate), ("limit", self.limit), ("by", self.by)):
                if value is not None:
                    yield Problem((name,), f"{name} beside {kinds[0]}", f"no {name}: the {kinds[0]} says it itself")

    def _measuring_problems(self, kind: GateKind) -> Iterator[Problem]:
        if kind != "errorRatio" and self.tolerate is not None and self.tolerate.points is not None:
            like = _MARGINS[kind].written()
            yield Problem(("tolerate",), str(self.tolerate), f"a ratio such as {like}; pp is for errorRatio only")
        if self.limit is not None:
            yield from self._limit_problems(kind, self.limit)
        if self.by is not None:
            yield from self._by_problems(kind, self.by)

    def _by_problems(self, kind: GateKind, by: By) -> Iterator[Problem]:
        if kind == "gauge":
            yield Problem(("by",), "by beside gauge", "no by: the levels of a gauge are those of pods")
            return
        if kind == "throughput":
            allowed = "no by: how much a version gets done follows its share of the traffic"
            yield Problem(("by",), "by beside throughput", allowed)
            return
        for field, selector in self.selectors().items():
            if selector.matches_on(by.label):
                yield Problem((kind, field), f"a matcher on {by.label}", f"no matcher on {by.label}: `by` adds it")
        if self.error_ratio is not None and self.error_ratio.mix == by.label:
            yield Problem(("errorRatio", "mix"), by.label, "a label of requests, such as route")

    def _limit_problems(self, kind: GateKind, limit: Bound) -> Iterator[Problem]:
        if kind == "throughput":
            yield Problem(("limit",), "a limit of a throughput gate", "no limit: it depends on the traffic of the hour")
        elif kind == "gauge":
            if limit.level is None:
                yield Problem(("limit",), str(limit), "a number, the level that no pod may pass")
        elif limit.percent is None:
            yield Problem(("limit",), "", "a percent as text, such as 5% or 0.5%")
        elif limit == _WHOLE:
            yield Problem(("limit",), "100%", "a bound that can be exceeded, below 100% (VacuousGate)")
        elif self.latency is not None and self.latency.objective is None:
            yield Problem(("limit",), "a limit without an objective", "latency.objective beside it, such as 300ms")
