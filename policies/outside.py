"""Gates that ask something outside the metric store: a Kubernetes Job that must succeed, or a webhook that answers."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from policies.batches import MOST_BATCHES
from policies.model import Part, Problem, refused
from policies.names import ByValue, ConfigMapName, EndpointName, MetricLabel
from policies.values import Duration, Written

OutsideKind = Literal["job", "webhook"]
_ALLOWED = f"canary, everyStage, or a list of stages such as [canary, 2]; stages are 0 (canary) to {MOST_BATCHES}"


@dataclass(frozen=True, slots=True)
class At(Written):
    """The stages at which a gate asks: `stages` ascending and without repetition (0 is the canary), or None for all."""

    stages: tuple[int, ...] | None = (0,)

    # A schema of Kubernetes cannot say "a word or a list"; the loader says it instead.
    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {"type": "string", "enum": ["canary", "everyStage"]},
            {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_BATCHES + 1,
                "items": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MOST_BATCHES}, {"const": "canary"}]},
            },
        ],
        "x-kubernetes-preserve-unknown-fields": True,
    }

    @classmethod
    def read(cls, raw: object) -> Self:
        if raw == "everyStage":
            return cls(None)
        if raw == "canary":
            return cls((0,))
        if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_BATCHES + 1:
            raise refused(_ALLOWED)
        stages = set()
        for item in raw:
            number = 0 if item == "canary" else item
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST_BATCHES:
                raise refused(_ALLOWED, f"{str(item)[:40]!a} in the list")
            stages.add(number)
        return cls(tuple(sorted(stages)))

    def written(self) -> str | list[str | int]:
        if self.stages is None:
            return "everyStage"
        return "canary" if self.stages == (0,) else [stage or "canary" for stage in self.stages]

    def __str__(self) -> str:
        words = self.written()
        return words if isinstance(words, str) else ", ".join(map(str, words))

    def covers(self, stages: Collection[int]) -> bool:
        """Whether the gate asks at a stage; `stages` are all numbers that mean it, because batches may be merged."""
        return self.stages is None or any(stage in stages for stage in self.stages)

    def joined(self, other: Self) -> Self:
        """The stages of both."""
        if self.stages is None or other.stages is None:
            return type(self)(None)
        return type(self)(tuple(sorted({*self.stages, *other.stages})))


class Job(Part):
    """A smoke test: a Kubernetes Job that is started at a stage and must succeed."""

    template: ConfigMapName = Field(
        description="The ConfigMap with the Job, under the key job.yaml or its only key, such as "
        "configMap/checkout-smoke."
    )
    at: At = Field(default=At(), description="When it runs: canary, everyStage, or a list of stages.")
    timeout: Duration = Field(
        default=Duration.of("5m"), description="A Job that has not succeeded by then has failed; below observe.atMost."
    )

    def problems(self) -> Iterator[Problem]:
        if self.timeout.milliseconds < 1000:
            yield Problem(("timeout",), str(self.timeout), "at least 1s")


class Webhook(Part):
    """A question to an endpoint of the controller's own configuration, which answers healthy, degraded or undecided."""

    endpoint: EndpointName = Field(
        description="The name of an endpoint in the controller's configuration; never a URL."
    )
    at: At = Field(default=At(), description="When it is asked: canary, everyStage, or a list of stages.")
    timeout: Duration = Field(
        default=Duration.of("5m"),
        description="An endpoint that has not answered by then is blind, and one that is still undecided stays so; "
        "below observe.atMost.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.timeout.milliseconds < 1000:
            yield Problem(("timeout",), str(self.timeout), "at least 1s")


class By(Part):
    """Versions told apart by a label other than the pod: one series for each version, from an ingress or a mesh."""

    label: MetricLabel = Field(description="The label whose value tells the versions apart, such as service.")
    incumbent: ByValue = Field(
        description="Its value for the incumbent; $incumbentHash stands for the pod-template-hash."
    )
    contender: ByValue = Field(
        description="Its value for the contender; $contenderHash stands for the pod-template-hash."
    )
    namespace: MetricLabel | None = Field(
        default=None,
        description="The label that holds the app's namespace in these metrics. Default: metrics.namespace.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.incumbent == self.contender:
            yield Problem(("contender",), f"{self.contender} for both versions", "two different values")
        if "$contenderHash" in self.incumbent:
            yield Problem(("incumbent",), "$contenderHash", "$incumbentHash, or a value as it stands")
        if "$incumbentHash" in self.contender:
            yield Problem(("contender",), "$incumbentHash", "$contenderHash, or a value as it stands")
        if self.namespace == self.label:
            yield Problem(("namespace",), f"{self.label} for both labels", "two different labels")
