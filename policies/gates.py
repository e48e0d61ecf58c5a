"""The gates of a policy: which counters are compared, with what margin, under which bound."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from policies.model import Part, Problem
from policies.names import DnsLabel
from policies.selector import Selector
from policies.values import Duration, Percent, Tolerance

_WHOLE = Percent(1_000_000)


class ErrorRatio(Part):
    """The share of failed requests: two counters of the same pods."""

    errors: Selector = Field(description='Counter of failed requests, such as http_requests_total{code=~"5.."}.')
    requests: Selector = Field(description="Counter of all requests, failed ones included.")

    later: ClassVar[Mapping[str, str]] = {"by": "groups told apart by a label other than the pod"}

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

    later: ClassVar[Mapping[str, str]] = {"by": "groups told apart by a label other than the pod"}

    def problems(self) -> Iterator[Problem]:
        if not self.histogram.metric.endswith("_bucket"):
            yield Problem(("histogram",), f"the metric {self.histogram.metric}", "a metric whose name ends in _bucket")
        if self.histogram.matches_on("le"):
            yield Problem(("histogram",), "a matcher on le", "no matcher on le: all buckets are needed")

    def selectors(self) -> Mapping[str, Selector]:
        return {"histogram": self.histogram}


class Gate(Part):
    """One comparison of contender and incumbent over the same time."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["errorRatio"]}, {"required": ["latency"]}]})

    name: DnsLabel = Field(description="The gate's name in verdicts and reports; unique in the policy.")
    required: bool = Field(
        default=True, description="false: the gate is watched and reported, but cannot stop a release."
    )
    error_ratio: ErrorRatio | None = Field(default=None, description="Compares the shares of failed requests.")
    latency: Latency | None = Field(default=None, description="Compares the distributions of response times.")
    tolerate: Tolerance | None = Field(
        default=None,
        description="The margin: a ratio such as 1.25x, or for errorRatio percentage points such as 0.2pp. "
        "Default: 1.25x for errorRatio, 1.08x for latency.",
    )
    limit: Percent | None = Field(
        default=None,
        description="A hard bound, whatever the incumbent does: the share of failed requests (errorRatio), or of "
        "requests slower than `objective` (latency).",
    )

    later: ClassVar[Mapping[str, str]] = {
        "gauge": "gauge gates",
        "throughput": "throughput gates",
        "job": "gates that run a Kubernetes Job",
        "webhook": "gates that ask a webhook",
        "at": "gates bound to a stage",
        "by": "groups told apart by a label other than the pod",
    }

    @property
    def kind(self) -> Literal["errorRatio", "latency"]:
        return "errorRatio" if self.error_ratio is not None else "latency"

    @property
    def margin(self) -> Tolerance:
        """`tolerate`, or the default of the gate's kind."""
        default = Tolerance(ratio=1.25) if self.error_ratio is not None else Tolerance(ratio=1.08)
        return self.tolerate if self.tolerate is not None else default

    def selectors(self) -> Mapping[str, Selector]:
        """The selectors by the name of their field."""
        measure = self.error_ratio or self.latency
        return measure.selectors() if measure is not None else {}

    def problems(self) -> Iterator[Problem]:
        if self.error_ratio is None and self.latency is None:
            yield Problem((), "a gate that measures nothing", "exactly one of errorRatio, latency")
        if self.error_ratio is not None and self.latency is not None:
            yield Problem((), "a gate with errorRatio and latency", "exactly one of errorRatio, latency")
        if self.latency is not None and self.tolerate is not None and self.tolerate.points is not None:
            yield Problem(("tolerate",), str(self.tolerate), "a ratio such as 1.08x; pp is for errorRatio only")
        if self.limit == _WHOLE:
            yield Problem(("limit",), "100%", "a bound that can be exceeded, below 100% (VacuousGate)")
        if self.latency is not None and self.limit is not None and self.latency.objective is None:
            yield Problem(("limit",), "a limit without an objective", "latency.objective beside it, such as 300ms")
