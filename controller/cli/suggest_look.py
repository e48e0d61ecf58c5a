"""What a metric store has of an app's pods: names of metrics, their labels, and what would make counts lie.

Short questions only, each for one instant: which names there are, and for the few that a gate might use the series of
one pod. A store that runs twice, or a pod that is scraped by two jobs, shows every count twice; that is seen in a pod
whose series agree in all labels but one and in their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.cli.ends import Refusal, Unanswered
from controller.metrics.answers import Series, Unusable, read_matrix
from controller.metrics.promql import pods_of
from controller.metrics.transport import Cause, Fault, Transport
from policies.schema import Matcher, Selector

POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name", "k8s_pod_name", "kubernetes_pod", "exported_pod")
NAMESPACE_LABELS = ("namespace", "kubernetes_namespace", "k8s_namespace_name", "namespace_name", "exported_namespace")
TWICE = ("prometheus_replica", "__replica__", "replica", "prometheus", "job", "service", "endpoint", "instance")
"""Labels that differ between two views of one pod: two stores of a pair, or two jobs that scrape it."""

_FRESH = "10m"
_MOST_NAMES = 20_000
_MOST_SERIES = 5_000  # of one metric of one pod
_ALIKE = 0.02  # by which the numbers of two views may differ: they are scraped some seconds apart
_OTHERS = ("kube_", "container_")  # what others say about a pod


@dataclass(frozen=True, slots=True)
class Labels:
    """How a store names a pod and its namespace."""

    pod: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Found:
    """One metric of one pod: its labels, the kinds of series, and the label that doubles it with its values."""

    labels: frozenset[str]
    native: bool = False
    doubled: tuple[str, tuple[str, ...]] | None = None


@dataclass(slots=True)
class Look:
    """A look at a store at one instant. Raises Refusal for a store that refuses, Unanswered for one that is silent."""

    transport: Transport
    namespace: str
    deployments: tuple[str, ...]
    at: float
    _seen: dict[str, Found] = field(default_factory=dict)

    def names(self) -> tuple[Labels, Mapping[str, int]]:
        """The labels that name the app's pods, and the series of each metric that the pods have."""
        others: Labels | None = None
        for labels in (Labels(pod, namespace) for pod in POD_LABELS for namespace in self._namespaces(pod)):
            found = self._ask(f"count by (__name__) ({self._pods(labels)})", _MOST_NAMES)
            counted = {one.metric.get("__name__", ""): _last(one) for one in found}
            if any(name and not name.startswith(_OTHERS) for name in counted):
                return labels, {name: int(count) for name, count in counted.items() if name}
            others = labels if counted else others
        raise Refusal(self._nothing(others))

    def found(self, labels: Labels, name: str) -> Found:
        """What one pod's series of a metric look like; without series it has no labels."""
        if name not in self._seen:
            pod = self._pod_with(labels, name)
            self._seen[name] = _judged(self._series(labels, name, pod)) if pod else Found(frozenset())
        return self._seen[name]

    # --------------------------------------------------------------------------------------------- questions

    def _namespaces(self, pod: str) -> Iterable[str]:
        """The usual name beside this name of a pod first; all others only where the usual one has nothing."""
        usual = {"kubernetes_pod_name": "kubernetes_namespace", "k8s_pod_name": "k8s_namespace_name"}
        first = usual.get(pod, "exported_namespace" if pod == "exported_pod" else "namespace")
        yield first
        if self._ask(f"count({{{Matcher(pod, '=~', pods_of(self.deployments)).text()}}})", 10):
            yield from (name for name in NAMESPACE_LABELS if name != first)

    def _pods(self, labels: Labels) -> str:
        matchers = (
            Matcher(labels.namespace, "=", self.namespace),
            Matcher(labels.pod, "=~", pods_of(self.deployments)),
        )
        return f"{{{','.join(matcher.text() for matcher in matchers)}}}"

    def _selector(self, labels: Labels, name: str, *more: Matcher) -> str:
        namespace = Matcher(labels.namespace, "=", self.namespace)
        return f"last_over_time({Selector(name, (namespace, *more)).text()}[{_FRESH}])"

    def _pod_with(self, labels: Labels, name: str) -> str:
        ours = Matcher(labels.pod, "=~", pods_of(self.deployments))
        found = self._ask(f"group by ({labels.pod}) ({self._selector(labels, name, ours)})", _MOST_NAMES)
        return min((one.metric.get(labels.pod, "") for one in found), default="")

    def _series(self, labels: Labels, name: str, pod: str) -> list[Series]:
        more = [Matcher(labels.pod, "=", pod)]
        if name.endswith("_bucket"):
            more.append(Matcher("le", "=", "+Inf"))
        return self._ask(self._selector(labels, name, *more), _MOST_SERIES)

    def _ask(self, query: str, most: int) -> list[Series]:
        answer = self.transport.ask_range(query, start=self.at, end=self.at, step=60.0)
        if isinstance(answer, Fault):
            if answer.cause is Cause.REFUSED:
                raise Refusal(answer.failure.message)
            raise StoreUnanswered(answer.failure.message)
        try:
            return read_matrix(answer, most)
        except Unusable as error:
            raise StoreUnanswered(self.transport.hidden(str(error))) from None

    def _nothing(self, others: Labels | None) -> str:
        app = " or ".join(self.deployments[:1])
        if others is not None:
            names = ", ".join(f"{one}*" for one in _OTHERS)
            return (
                f"the store knows pods of {app} only from others ({names}): the app's own metrics are not scraped, or "
                "their series do not name the pod (relabel __meta_kubernetes_pod_name to pod)"
            )
        return (
            f"no present series names a pod of {app} in namespace {self.namespace}, under any of the labels "
            f"{', '.join(POD_LABELS)}: is it scraped, and is __meta_kubernetes_pod_name relabelled to pod?"
        )


class StoreUnanswered(Unanswered):
    """The metric store did not answer, or not in a way that can be used."""

    who = "the metric store"


def _last(one: Series) -> float:
    return float(one.values[-1][1]) if one.values else 0.0


def _judged(series: list[Series]) -> Found:
    if not series:
        return Found(frozenset())
    names = frozenset(label for one in series for label in one.metric if label != "__name__")
    native = all(one.histograms and not one.values for one in series)
    return Found(names, native, _doubled(series))


def _doubled(series: list[Series]) -> tuple[str, tuple[str, ...]] | None:
    """The label by which a pod's series are all there twice, with the same numbers."""
    for label in TWICE:
        views: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for one in series:
            rest = tuple(sorted(item for item in one.metric.items() if item[0] not in TWICE))
            views.setdefault(one.metric.get(label, ""), {})[rest] = _last(one)
        if len(views) < 2 or len({frozenset(view) for view in views.values()}) > 1:
            continue
        totals = [sum(view.values()) for view in views.values()]
        if max(totals) > 0.0 and min(totals) >= (1.0 - _ALIKE) * max(totals):
            return label, tuple(sorted(views))
    return None
