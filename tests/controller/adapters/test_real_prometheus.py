"""The metric source on a real Prometheus that scrapes real pods: the exact counts come back."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from controller.metrics import Sources, SourceSettings
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, FetchCounts
from policies.schema import Selector
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.controller.adapters.builders import RealClock

pytestmark = pytest.mark.cluster

STEP = 2.0
FRESH = 3.0  # seconds; the bed scrapes once a second
PATIENT = 60.0  # seconds; a store that stands still for a while on a busy machine answers all the same


@pytest.fixture
def sources(bed: Bed) -> Sources:
    return Sources([SourceSettings("default", bed.prometheus_url, timeout=PATIENT)], RealClock())


def ask_of(
    site: Site, term: Any = "requests", selector: str = "http_requests_total", seconds: float = 300.0
) -> FetchCounts:
    """The last seconds of the site's pods, at instants aligned to the step."""
    end = time.time() // STEP * STEP
    return FetchCounts(
        source="default",
        gate="errors",
        term=term,
        selector=Selector.parse(selector),
        namespace=site.name,
        namespace_label="namespace",
        pod_label="pod",
        replica_sets=replica_sets(site),
        start=end - seconds,
        end=end,
        step=STEP,
        fresh_within=FRESH,
    )


def replica_sets(site: Site) -> tuple[str, ...]:
    return tuple(sorted(one["metadata"]["name"] for one in site.api.read(site.path("replicasets"))["items"]))


def counted(sources: Sources, ask: FetchCounts) -> Counts:
    answer = sources.perform(ask)
    assert isinstance(answer, Counts), answer
    return answer


def last_values(counts: Counts, le: str | None = None) -> dict[str, float]:
    return {one.pod: one.values[-1] for one in counts.series if one.le == le and one.values}


def served(site: Site, sources: Sources, requests: int) -> Any:
    """Sends load, and waits until the source counts every answer."""
    with site.load(rate=200) as load:
        eventually(lambda: load.totals().answered >= requests, within=20, what=f"{requests} answers")
    totals = load.totals()
    eventually(
        lambda: last_values(counted(sources, ask_of(site))) == totals.by_pod, within=15, what="all answers are counted"
    )
    return totals


def test_exact_counts_of_errors_requests_and_buckets_come_back_by_pod(sources: Sources, site: Site) -> None:
    site.deploy(replicas=3, image="registry.test/checkout:v2-errors20")
    totals = served(site, sources, 400)
    failed = counted(sources, ask_of(site, "errors", 'http_requests_total{code=~"5.."}'))
    assert sum(last_values(failed).values()) == totals.by_code["500"]
    buckets = counted(sources, ask_of(site, "buckets", "http_request_duration_seconds_bucket"))
    assert last_values(buckets, "+Inf") == totals.by_pod
    for pod in totals.by_pod:
        ladder = sorted((float(one.le or "nan"), one.values[-1]) for one in buckets.series if one.pod == pod)
        assert len(ladder) > 3
        assert [value for _, value in ladder] == sorted(value for _, value in ladder)


def test_counters_only_grow_and_stand_on_the_instants_asked_for(sources: Sources, site: Site) -> None:
    site.deploy(replicas=2)
    served(site, sources, 200)
    ask = ask_of(site)
    for one in counted(sources, ask).series:
        assert all(((at - ask.start) / STEP).is_integer() for at in one.times)
        assert list(one.values) == sorted(one.values)


def test_p10_a_pod_that_is_gone_still_counts_until_its_last_sample_is_too_old(sources: Sources, site: Site) -> None:
    site.deploy(replicas=2)
    totals = served(site, sources, 200)
    site.scale("checkout", 1)
    eventually(lambda: len(site.pods()) == 1, within=15, what="one pod is gone")
    (left,) = site.ready_pods()
    (gone,) = set(totals.by_pod) - {left}

    def ends_before_now() -> bool:
        ask = ask_of(site)
        times = {one.pod: one.times for one in counted(sources, ask).series}
        return times[gone][-1] < ask.end - FRESH and times[left][-1] >= ask.end - STEP

    eventually(ends_before_now, within=15, what="the gone pod has no fresh sample")
    assert last_values(counted(sources, ask_of(site)))[gone] == totals.by_pod[gone]


def test_pods_of_other_replica_sets_and_namespaces_are_left_out(sources: Sources, site: Site) -> None:
    site.deploy(replicas=1)
    served(site, sources, 50)
    ask = ask_of(site)
    assert counted(sources, replace(ask, replica_sets=("checkout-00000",))) == Counts(())
    assert counted(sources, replace(ask, namespace="elsewhere")) == Counts(())
    # Many ReplicaSets make a query that no URL would hold.
    many = (*ask.replica_sets, *(f"checkout-{number:010d}" for number in range(5000)))
    assert last_values(counted(sources, replace(ask, replica_sets=many))) == last_values(counted(sources, ask))


def test_a_store_that_refuses_says_why(sources: Sources, site: Site) -> None:
    site.deploy(replicas=1, wait=False)
    eventually(lambda: replica_sets(site), within=10, what="there is a ReplicaSet")
    answer = sources.perform(replace(ask_of(site), start=1_000_000_000.0))
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.INVALID
    assert "exceeded maximum resolution" in answer.message


def test_p1_a_store_that_stops_blinds_and_one_that_returns_is_believed_again(bed: Bed, site: Site) -> None:
    site.deploy(replicas=1)
    with bed.own_prometheus(site.name) as prometheus:
        sources = Sources([SourceSettings("default", prometheus.url, timeout=PATIENT)], RealClock())
        served(site, sources, 50)
        prometheus.stop()
        answer = sources.perform(ask_of(site))
        assert isinstance(answer, Failure)
        assert answer.kind is FailureKind.UNAVAILABLE
        prometheus.start()
        eventually(lambda: last_values(counted(sources, ask_of(site))), within=15, what="counts are back")
