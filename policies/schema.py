"""ReleasePolicy: what an app's owner asks of every release; frozen, and an illegal one cannot be built."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from policies.alerts import MOST_ALERTS, OnAlert
from policies.batches import AdvanceBy, BatchPlan
from policies.bluegreen import BlueGreen
from policies.gates import ErrorRatio, Gate, GateKind, Gauge, Latency, Throughput
from policies.metadata import Metadata
from policies.model import Part, Problem
from policies.names import ConfigMapName, DeploymentName, DnsLabel, MetricLabel, SourceName
from policies.notify import NotifyRoute, ReportRoute
from policies.openings import too_narrow
from policies.outside import At, By, Job, Webhook
from policies.query import Query
from policies.recreate import Recreate
from policies.release import Release, ReleaseSpec
from policies.rolling import Rolling
from policies.selector import Matcher, Selector, regex_quoted
from policies.shipped import PresetName, expanded
from policies.strategy import Strategy
from policies.traffic import Traffic
from policies.twin import Twin
from policies.values import Amount, Bound, Duration, Percent, Tolerance
from policies.watch import Watch
from policies.windows import Freeze, Window

__all__ = [
    "API_VERSION", "AdvanceBy", "Amount", "At", "Baseline", "BatchPlan", "BlueGreen", "Bound", "By", "Deadline",
    "Duration", "ErrorRatio", "Freeze", "Gate", "GateKind", "Gauge", "Job", "Latency", "Matcher", "Metadata", "Metrics",
    "NotifyRoute", "Observe", "OnAlert", "OnBlind", "OnShared", "Percent", "Promise", "Query", "Recreate", "Release",
    "ReleasePolicy", "ReleasePolicySpec", "ReleaseSpec", "ReportRoute", "Rolling", "Selector", "Strategy", "Target",
    "Throughput", "Tolerance", "Traffic", "Twin", "Webhook", "Window", "regex_quoted",
]  # fmt: skip

API_VERSION = "nightferry.dev/v1alpha1"

# A gate counts in windows of 30 s by default and never under two scrapes; an observation shorter than this
# holds no window with any of them.
_SHORTEST_OBSERVATION = Duration.of("10s")
_SHORTEST_HISTORY = Duration.of("24h")

OnDegraded = Literal["rollBack", "pause"]
OnUndecided = Literal["pause", "advance", "rollBack"]


class Target(Part):
    """What is released."""

    deployment: DeploymentName = Field(description="The Deployment whose app is released, in the policy's namespace.")
    container: DnsLabel | None = Field(
        default=None, description="The container whose image a release changes. Default: the only one."
    )


class Metrics(Part):
    """Where the numbers come from and how they name a pod."""

    source: SourceName = Field(
        default="default", description="The name of a metric source in the controller's configuration; never a URL."
    )
    pod: MetricLabel = Field(default="pod", description="The label that holds the name of the pod.")
    namespace: MetricLabel = Field(default="namespace", description="The label that holds the namespace.")

    def problems(self) -> Iterator[Problem]:
        if self.pod == self.namespace:
            yield Problem(("namespace",), f"{self.namespace} for both labels", "two different labels")


class Observe(Part):
    """How long each stage is watched."""

    at_least: Duration = Field(default=Duration.of("2m"), description="No stage is left before this.")
    at_most: Duration = Field(default=Duration.of("20m"), description="After this, `onUndecided` decides.")
    on_undecided: OnUndecided = Field(
        default="pause", description="What follows when the gates have not decided: pause, advance or rollBack."
    )

    def problems(self) -> Iterator[Problem]:
        if self.at_least < _SHORTEST_OBSERVATION:
            yield Problem(("atLeast",), str(self.at_least), f"at least {_SHORTEST_OBSERVATION}, a window of metrics")
        if self.at_least > self.at_most:
            yield Problem(("atLeast",), f"atLeast {self.at_least} above atMost {self.at_most}", "atLeast <= atMost")


class Promise(Part):
    """What the gates promise about their own mistakes."""

    false_rollback: Percent = Field(
        default=Percent(10_000),
        description="The share of releases without any change that may be rolled back by a gate.",
    )

    false_pause: Percent = Field(
        default=Percent(50_000),
        description="The share of releases without any change that gates may keep from going on by themselves.",
    )

    def problems(self) -> Iterator[Problem]:
        most = Percent(500_000)
        if self.false_rollback > most:
            yield Problem(("falseRollback",), str(self.false_rollback), "at most 50%")
        if self.false_pause > most:
            yield Problem(("falsePause",), str(self.false_pause), "at most 50%")
        elif self.false_pause < self.false_rollback <= most:
            found = f"falsePause {self.false_pause} below falseRollback {self.false_rollback}"
            yield Problem(("falsePause",), found, "falsePause >= falseRollback: a pause asks less than a rollback")


class Baseline(Part):
    """How much of the app's own history the gates learn from."""

    history: Duration = Field(
        default=Duration.of("28d"), description="How far back to look; the store may keep less, and less is used then."
    )
    minimum: Duration = Field(
        default=Duration.of("3d"),
        description="The least history from which the usual course of a day is forecast. The noise of pods is learned "
        "from three hours up.",
    )
    season: Literal["week", "day"] = Field(
        default="week", description="Whether weekdays differ (week), or every day is like the one before (day)."
    )

    def problems(self) -> Iterator[Problem]:
        if self.minimum < _SHORTEST_HISTORY:
            yield Problem(("minimum",), str(self.minimum), f"at least {_SHORTEST_HISTORY}: a day has a course")
        if self.minimum > self.history:
            yield Problem(("minimum",), f"minimum {self.minimum} above history {self.history}", "minimum <= history")


class OnBlind(Part):
    """What follows when a required gate has no usable data."""

    hold: Duration = Field(default=Duration.of("10m"), description="How long to stand still and wait for data.")
    then: OnDegraded = Field(default="rollBack", description="What follows: rollBack or pause.")


class OnShared(Part):
    """What follows when incumbent and contender are worse than usual together: the environment, not the version."""

    hold: Duration = Field(default=Duration.of("15m"), description="How long to stand still and wait for it to end.")
    then: OnDegraded = Field(default="pause", description="What follows: pause (wait for a person) or rollBack.")


class Deadline(Part):
    """When a release has taken too long."""

    batch: Duration = Field(default=Duration.of("10m"), description="For the pods of one stage to become ready.")
    release: Duration = Field(default=Duration.of("4h"), description="For the whole release.")


class ReleasePolicySpec(Part):
    """What an app's owner asks of every release of the app."""

    # For the API server and for editors; the loader says the same in words.
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [field], "properties": {field: {"minItems": 1}}} for field in ("gates", "presets")]
        }
    )

    target: Target = Field(description="What is released.")
    metrics: Metrics = Field(default=Metrics(), description="Where the numbers come from and how they name a pod.")
    strategy: Strategy = Field(description="How the app moves from one version to the next; exactly one.")
    presets: tuple[PresetName, ...] | None = Field(
        default=None,
        strict=False,
        max_length=8,
        description="Shipped gate sets, such as http/promhttp or go: their gates are added to `gates`. A gate of "
        "`gates` stands in for one of the same name. See policies/presets.",
    )
    gates: tuple[Gate, ...] = Field(
        default=(),
        strict=False,
        max_length=32,
        description="What is compared; at least one gate, here or in a preset.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    mode: Literal["enforce", "observe"] = Field(
        default="enforce", description="enforce: the gates decide. observe: they judge and report, and decide nothing."
    )
    observe: Observe = Field(default=Observe(), description="How long each stage is watched.")
    promise: Promise = Field(default=Promise(), description="What the gates promise about their own mistakes.")
    on_degraded: OnDegraded = Field(
        default="rollBack", description="What follows when a required gate finds the contender worse: rollBack, pause."
    )
    on_blind: OnBlind = Field(default=OnBlind(), description="What follows when a required gate has no usable data.")
    on_shared: OnShared = Field(
        default=OnShared(), description="What follows when both versions are worse than their history."
    )
    baseline: Baseline = Field(
        default=Baseline(), description="How much of the app's own history the gates learn from."
    )
    alerts: tuple[OnAlert, ...] | None = Field(
        default=None,
        strict=False,
        max_length=MOST_ALERTS,
        description="Alerts of Alertmanager that turn a release back, or hold it, while it is under way.",
    )
    already_firing: Literal["refuse", "ignore"] = Field(
        default="refuse",
        description="What an alert of `alerts` means that fires before the release begins: refuse (no release), or "
        "ignore (this one firing does not count).",
    )
    watch: Watch | None = Field(
        default=None, description="What goes on after a release has succeeded. Default: nothing, it is over then."
    )
    window: Window | None = Field(
        default=None, description="When releases leave and go on, by the clock on the wall. Default: at any time."
    )
    freeze: tuple[Freeze, ...] | None = Field(
        default=None,
        strict=False,
        max_length=64,
        description="Days on which nothing leaves and nothing goes on, such as {from: 2026-12-24, to: 2027-01-02, why: "
        "holidays}.",
    )
    deadline: Deadline = Field(default=Deadline(), description="When a release has taken too long.")
    config: tuple[ConfigMapName, ...] | None = Field(
        default=None,
        strict=False,
        max_length=8,
        description="ConfigMaps that are a part of every release, such as configMap/checkout-settings: the contender "
        "gets a copy of its own, and the way back brings the old content back.",
    )
    trigger: Literal["template"] | None = Field(
        default=None,
        description="template, with rolling: the idle Deployment is kept paused, and a change of its pod template "
        "starts a release. Default: a Release object starts it.",
    )
    notify: tuple[NotifyRoute, ...] | None = Field(
        default=None,
        strict=False,
        max_length=8,
        description="Who is told what happens to a release, such as {email: night-shift, events: [rolledBack]}.",
    )
    history_limit: int = Field(default=20, ge=1, le=100, description="Finished releases kept per policy.")

    later: ClassVar[Mapping[str, str]] = {
        "control": "a fresh control group",
    }

    @model_validator(mode="before")
    @classmethod
    def _with_presets(cls, data: Any) -> Any:
        """The gates of the presets written out, so that a policy that exists has all its gates, and nothing else."""
        return expanded(data)

    def problems(self) -> Iterator[Problem]:
        if not self.gates:
            yield Problem(("gates",), "no gate", "at least one gate, here or in a preset")
            return
        names = [gate.name for gate in self.gates]
        for index, gate in enumerate(self.gates):
            if gate.name in names[:index]:
                first = names.index(gate.name)
                yield Problem(("gates", index, "name"), f"{gate.name} again, as gates[{first}]", "a name of its own")
            yield from self._label_problems(index, gate)
            yield from self._asking_problems(index, gate)
        if self.mode == "enforce" and not any(gate.required for gate in self.gates):
            yield Problem(("gates",), "no required gate", "at least one required gate, or mode: observe")
        for index, name in enumerate(self.config or ()):
            if name in (self.config or ())[:index]:
                yield Problem(("config", index), f"{name} again", "each ConfigMap once")
        known = [each.labels for each in self.alerts or ()]
        for index, labels in enumerate(known):
            if labels in known[:index]:
                found = f"the labels of alerts[{known.index(labels)}] again"
                yield Problem(("alerts", index, "match"), found, "labels of its own")
        if self.trigger is not None and self.strategy.rolling is None:
            yield Problem(("trigger",), f"trigger with {self.strategy.kind}", "trigger with rolling only")
        yield from self._time_problems()
        yield from self._hour_problems()

    @property
    def compared(self) -> tuple[Gate, ...]:
        """The gates that measure: those that statistics judge."""
        return tuple(gate for gate in self.gates if gate.measures())

    @property
    def learnable(self) -> tuple[Gate, ...]:
        """The gates of which history can teach something: those that tell pods apart."""
        return tuple(gate for gate in self.compared if gate.by is None)

    @property
    def configured(self) -> tuple[str, ...]:
        """The names of the ConfigMaps that are a part of every release."""
        return tuple(name.partition("/")[2] for name in self.config or ())

    def _asking_problems(self, index: int, gate: Gate) -> Iterator[Problem]:
        """Whether a gate that asks outside is asked at all, and has its answer before `onUndecided` decides."""
        for kind, asked in gate.asks().items():
            at, watched = ("gates", index, kind), self.strategy.moves.watched
            missing = [stage for stage in asked.at.stages or () if stage >= watched]
            if missing:
                found = f"stage {missing[0]} of a strategy with {watched} stages"
                yield Problem((*at, "at"), found, f"stages from 0 (the first one) to {watched - 1}")
            if asked.timeout >= self.observe.at_most:
                found = f"{asked.timeout} with observe.atMost {self.observe.at_most}"
                yield Problem((*at, "timeout"), found, "less than observe.atMost, else onUndecided comes first")

    def _label_problems(self, index: int, gate: Gate) -> Iterator[Problem]:
        """Whether a gate leaves the labels of pods and namespaces to the controller."""
        if not gate.measures():
            return
        at = ("gates", index, gate.kind)
        pod, namespace = self.metrics.pod, self.metrics.namespace
        if gate.by is not None:
            namespace = gate.by.namespace or namespace
            if gate.by.label in (pod, namespace):
                allowed = "a label that tells the versions apart; without `by` the pods are told apart"
                yield Problem(("gates", index, "by", "label"), gate.by.label, allowed)
        for field, selector in gate.selectors().items():
            for label in (pod, namespace):
                if selector.matches_on(label):
                    yield Problem(
                        (*at, field), f"a matcher on {label}", f"no matcher on {label}: the controller adds it"
                    )
        if gate.error_ratio is not None and gate.error_ratio.mix in (pod, namespace):
            yield Problem((*at, "mix"), str(gate.error_ratio.mix), "a label of requests, such as route")
        if gate.gauge is not None:
            query = gate.gauge.query
            if query.pod != pod:
                found = f'{query.pod}="$pods"'
                yield Problem((*at, "query"), found, f'{pod}="$pods", the label of metrics.pod')
            if query.namespace not in (None, namespace):
                found = f'{query.namespace}="$namespace"'
                yield Problem((*at, "query"), found, f'{namespace}="$namespace", the label of metrics.namespace')

    def _time_problems(self) -> Iterator[Problem]:
        release, at_most, at_least = self.deadline.release, self.observe.at_most, self.observe.at_least
        if at_most >= release:
            found = f"atMost {at_most} with a release deadline of {release}"
            yield Problem(("observe", "atMost"), found, "less than deadline.release")
            return
        shortest, where = self.strategy.moves.shortest(at_least)
        if shortest >= release:
            found = f"{release} for {where}, which are {shortest}"
            yield Problem(("deadline", "release"), found, "more than the shortest possible release")
        waited = self.strategy.blue_green.preview_for if self.strategy.blue_green is not None else None
        if waited is not None and waited >= at_most:
            found = f"{waited} with observe.atMost {at_most}"
            yield Problem(("strategy", "blueGreen", "previewFor"), found, "less than observe.atMost")

    def _hour_problems(self) -> Iterator[Problem]:
        """Whether the window can hold a release on every night, and nobody is asked who is asleep then."""
        for index, freeze in enumerate(self.freeze or ()):
            if freeze.zone is None and self.window is None:
                yield Problem(("freeze", index, "zone"), "no zone and no window", "the zone of the days")
        if self.window is None:
            return
        if "on_undecided" not in self.observe.model_fields_set:
            found = "a window without onUndecided"
            allowed = "onUndecided: pause, advance or rollBack, because nobody may be there to decide"
            yield Problem(("observe", "onUndecided"), found, allowed)
        if found := too_narrow(self.window, *self.strategy.moves.shortest(self.observe.at_least)):
            yield Problem(("window",), found, "a window that holds the shortest possible release on every night")


class ReleasePolicy(Part):
    """How an app is released: the target, the strategy, the gates, and what follows from their verdicts."""

    api_version: Literal["nightferry.dev/v1alpha1"] = Field(description="The version of this schema.")
    kind: Literal["ReleasePolicy"] = Field(description="The kind of this object.")
    metadata: Metadata = Field(description="The name of the policy and what people note beside it.")
    spec: ReleasePolicySpec = Field(description="What an app's owner asks of every release of the app.")

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str | None:
        return self.metadata.namespace
