"""Writes the PromQL of every question: selectors as values, names quoted, nothing pasted.

`last_over_time(selector[freshness])` is the newest sample of each series at an instant, and none where the newest is
older than the freshness: without it Prometheus would repeat a value for five minutes. `sum by (pod)` adds the series of
one pod (paths, codes) together, exactly, because no rate is taken; resets are found later, pod by pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controller.learning.asks import FetchAlerts, FetchLevels, FetchPods, FetchPresence, Scope
from controller.requests.fetches import FetchCounts, FetchReadings, FetchTotals
from policies.schema import Matcher, Selector, regex_quoted

POD_SUFFIX = "-[a-z0-9]{5}"
# The hash of a pod template as Kubernetes writes it: digits in an alphabet without vowels, so that the pods of a Job
# `checkout-migrate` are not taken for those of a ReplicaSet of `checkout`.
HASH = "[bcdfghjklmnpqrstvwxz2456789]"
_BAND_RANGE = "5m"
BAND_QUANTILE = 0.95

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
# A recording rule has a colon in its name by convention. One that records a rate is a gauge and no counter.
_RATE = re.compile(r":(?:[a-z0-9_]*_)?(?:i?rate|increase|ratio|avg|mean|p[0-9]{2}|quantile)[a-z0-9_]*$", re.ASCII)


def records_a_rate(selector: Selector) -> bool:
    """Whether a selector names a recording rule whose values cannot be those of a counter."""
    return ":" in selector.metric and bool(_RATE.search(selector.metric))


def recorded(selector: Selector) -> str:
    """What to do about such a rule."""
    return f"{selector.metric} is a recording rule of a rate; name the counter that it is made from"


def compose(ask: FetchCounts) -> str:
    """The PromQL of a tick's request. Raises ValueError for label names that are none."""
    labels = [ask.pod_label, *(["le"] if ask.term == "buckets" else []), *([ask.stratum] if ask.stratum else [])]
    _legal(ask.namespace_label, *labels)
    # By the ReplicaSet's name, so that pods that are gone still count.
    pods = _alternatives(ask.values) if ask.values else f"(?:{_alternatives(ask.replica_sets)}){POD_SUFFIX}"
    narrowed = ask.selector.with_matchers(
        Matcher(ask.namespace_label, "=", ask.namespace), Matcher(ask.pod_label, "=~", pods)
    )
    return f"sum by ({', '.join(labels)}) ({_newest(narrowed, ask.fresh_within)})"


def compose_readings(ask: FetchReadings) -> str:
    """A gauge's query about the pods of some ReplicaSets."""
    return ask.query.filled(f"(?:{_alternatives(ask.replica_sets)}){POD_SUFFIX}", ask.namespace)


def compose_pods(ask: FetchPods) -> str:
    """One cumulative counter per pod of all the app's ReplicaSets. Raises ValueError for label names that are none."""
    labels = pod_labels(ask)
    _legal(*labels)
    return f"sum by ({', '.join(labels)}) ({_newest(_narrowed(ask.scope, ask.selector), ask.stretch.fresh)})"


def pod_labels(ask: FetchPods) -> tuple[str, ...]:
    """The labels that the answer has."""
    return (
        ask.scope.pod_label,
        *(("le",) if ask.term == "buckets" else ()),
        *((ask.stratum,) if ask.stratum is not None else ()),
    )


def compose_levels(ask: FetchLevels) -> str:
    """The policy's own query with the app's pods in the place of their mark."""
    return ask.query.filled(pods_of(ask.scope.deployments), ask.scope.namespace)


def compose_presence(ask: FetchPresence) -> str:
    """How many pods of each ReplicaSet have samples of a selector.

    Without a range: over weeks of many series it costs a store a fraction, and five minutes more or less say the same.
    """
    _legal(ask.scope.pod_label)
    pods = f"group by ({ask.scope.pod_label}) ({_narrowed(ask.scope, ask.selector).text()})"
    cut = f'label_replace({pods}, "replica_set", "$1", "{ask.scope.pod_label}", "(.+){POD_SUFFIX}")'
    return f"count by (replica_set) ({cut})"


def compose_alerts(ask: FetchAlerts) -> str:
    """Which alerts of the namespace fire, by name."""
    _legal(ask.scope.namespace_label)
    firing = Selector(
        "ALERTS", (Matcher("alertstate", "=", "firing"), Matcher(ask.scope.namespace_label, "=", ask.scope.namespace))
    )
    return f"count by (alertname) ({firing.text()})"


def compose_totals(ask: FetchTotals) -> str:
    """One number for all pods at each instant. Raises ValueError for a label that is none, or a missing selector.

    Rates are right here: the band forecasts how the whole app looks, and what rates miss at the birth of a pod they
    miss in history too. A failure series that never existed is zero wherever requests were counted.
    """
    scope = Scope(ask.source, ask.namespace, ask.namespace_label, ask.pod_label, ask.deployments)
    selectors = dict(ask.selectors)

    def rate(name: str) -> str:
        if name not in selectors:
            raise ValueError(f"no selector {name} for {ask.of}")
        return f"rate({_narrowed(scope, selectors[name]).text()}[{_BAND_RANGE}])"

    match ask.of:
        case "errorRatio":
            requests = f"sum({rate('requests')})"
            return f"(sum({rate('errors')}) or 0 * {requests}) / {requests}"
        case "latency":
            return f"histogram_quantile({BAND_QUANTILE}, sum by (le) ({rate('histogram')}))"
        case "throughput":
            return f"sum({rate('events')})"
        case "gauge":
            if ask.query is None:
                raise ValueError("a gauge without a query")
            return f"avg({ask.query.filled(pods_of(ask.deployments), ask.namespace)})"


def compose_replicas(scope: Scope, selector: Selector, labels: Iterable[str], fresh: float) -> str:
    """One pod's newest counts split by labels that a pair of stores may have added."""
    _legal(scope.pod_label, *labels)
    return f"sum by ({', '.join((scope.pod_label, *labels))}) ({_newest(_narrowed(scope, selector), fresh)})"


def pods_of(deployments: Iterable[str]) -> str:
    """The pattern of the names of all pods that ReplicaSets of these Deployments ever had."""
    return f"(?:{_alternatives(deployments)})-{HASH}{{5,10}}{POD_SUFFIX}"


def duration(seconds: float) -> str:
    """A positive length of time in PromQL, exact to a millisecond. Raises ValueError."""
    milliseconds = round(seconds * 1000)
    if milliseconds <= 0:
        raise ValueError(f"a freshness of {seconds:g} s is no duration")
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _newest(selector: Selector, fresh: float) -> str:
    return f"last_over_time({selector.text()}[{duration(fresh)}])"


def _narrowed(scope: Scope, selector: Selector) -> Selector:
    _legal(scope.namespace_label, scope.pod_label)
    return selector.with_matchers(
        Matcher(scope.namespace_label, "=", scope.namespace),
        Matcher(scope.pod_label, "=~", pods_of(scope.deployments)),
    )


def _alternatives(names: Iterable[str]) -> str:
    return "|".join(regex_quoted(name) for name in names)


def _legal(*labels: str) -> None:
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ValueError(f"{label!r} is not the name of a label")
