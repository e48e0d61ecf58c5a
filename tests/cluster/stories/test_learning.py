"""Gates to which nobody gave a threshold: what they know of their pods they have learned from four weeks of history."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.bed.api import Object
from tests.cluster.bed.moments import is_ready
from tests.cluster.bed.past import Fleet, Version
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.releases import Sighting
from tests.cluster.stories.story import APP, REGISTRY, TWIN, Story

pytestmark = pytest.mark.timeout(1500)

DAY = 86_400.0
WINDOW = 10.0
CONFIGURATION = """\
metrics:
  sources:
    - {{name: default, url: "{prometheus}", scrapeInterval: 5s, window: 10s, timeout: 5s}}
tick: 1s
"""
# Two counters and nothing else: no margin, no limit.
POLICY: Object = {
    "strategy": {"twin": {"canary": 1, "batches": 1}},
    "gates": [
        {
            "name": "errors",
            "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
        }
    ],
    "observe": {"atLeast": "20s", "atMost": "150s", "onUndecided": "advance"},
    "deadline": {"batch": "60s", "release": "14m"},
}
BASELINES = "/apis/nightferry.dev/v1alpha1/namespaces/{namespace}/baselines/{name}"


@contextmanager
def with_a_past(
    story: Story,
    *,
    replicas: int,
    image: str,
    errors: float,
    pod_sd: float,
    present: float | None = None,
    days: float = 28.0,
) -> Iterator[str]:
    """The app, and a Prometheus that scrapes it and remembers weeks of pods of its ReplicaSet -> its address.

    errors: share of failed requests in the past. pod_sd: log standard deviation between its pods. present: the share
    that the present version has had so far, where it is to go on as it was.
    """
    site = story.site
    site.deploy(replicas=replicas, image=f"{REGISTRY}:{image}")
    (replica_set,) = [one["metadata"]["name"] for one in site.api.read(site.path("replicasets"))["items"]]
    now = time.time() // WINDOW * WINDOW
    week = days / 4 * DAY
    # A version a week, the present one for the last week: pods of one version alone would be few to learn from.
    names = (f"{TWIN}-5b6d8f77c9", f"{APP}-7d4b6c9f58", f"{TWIN}-6f5c4d8b79", str(replica_set))
    versions = tuple(
        Version(name, now - (4 - place) * week, now - (3 - place) * week - WINDOW * (place < 3), replicas)
        for place, name in enumerate(names)
    )
    versions = (*versions[:-1], replace(versions[-1], errors=present))
    fleet = Fleet(
        site.name,
        versions,
        step=WINDOW,
        rate=50.0,
        errors=errors,
        pod_sd=pod_sd,
        window_sd=0.1,
        daily=0.2,
        dawn=now,
        seed=23,
    )
    with story.bed.remembering_prometheus(site.name, [fleet]) as server:
        yield server.url


def opens(
    story: Story, prometheus: str, *, replicas: int, rate: float = 400.0, observe: Mapping[str, str] | None = None
) -> None:
    """The policy, load, the record of everything and a controller with windows of ten seconds."""
    policy = {**POLICY, "observe": {**POLICY["observe"], **(observe or {})}}
    story.opens(replicas=replicas, rate=rate, policy=policy, deploy=False, controlled=False)
    story.starts_controller(prometheus=prometheus, template=CONFIGURATION)


def baseline(story: Story) -> Object | None:
    """The status of the Baseline object, or None while there is none."""
    path = BASELINES.format(namespace=story.site.name, name=APP)
    return dict(story.site.api.read(path)["status"]) if story.site.api.exists(path) else None


def await_learned(story: Story) -> Object:
    """Waits until the controller has learned."""

    def learned() -> Object | None:
        found = baseline(story)
        return found if found is not None and found["status"] in ("calibrated", "noise changed") else None

    found = eventually(learned, within=90, what="the baseline is learned", every=0.5)
    assert found is not None
    return found


def errors_gate(sighting: Sighting) -> dict[str, Any]:
    """What the gate said at a sighting."""
    found: dict[str, Any] = next(one for one in sighting.status["verdicts"] if one["gate"] == "errors")
    return found


def await_traffic(story: Story) -> None:
    """Preflight asks for recent samples: two windows of them."""
    assert story.load is not None
    sent = story.load.totals().answered
    eventually(lambda: story.load is not None and story.load.totals().answered > sent + 800, within=60, what="traffic")


# Nobody said how many errors are too many. Eight times as many as the incumbents' are, because these pods were never
# that far apart in four weeks.
def test_a_gate_without_a_threshold_stops_a_worse_version(story: Story) -> None:
    with with_a_past(story, replicas=4, image="v1-errors1", errors=0.01, pod_sd=0.1) as prometheus:
        opens(story, prometheus, replicas=4)
        learned = await_learned(story)
        assert learned["segments"] == 84
        assert learned["coverage"] == "100%"
        await_traffic(story)
        release = story.asks_for("v2-errors8")
        turned = story.releases.await_phase(release, "RollingBack", within=240)
        assert turned.cause == "GateDegraded"
        gate = errors_gate(turned)
        assert gate["verdict"] == "Degraded"
        assert "assumed" not in gate["evidence"]["guarantee"]
        assert "calibrated on" in gate["evidence"]["guarantee"]
        story.releases.await_phase(release, "RolledBack", within=60)
        story.judge_end(release, "RolledBack", tag="v1-errors1")
        assert turned.stage == 0
        looked = baseline(story)
        assert looked is not None
        uid = story.person.read(story.release_path(release))["metadata"]["uid"]
        assert looked["present"]["release"] == uid
        metrics = story.controller.read_page("/metrics")[1] if story.controller is not None else ""
        assert "nightferry_baseline_age_seconds{" in metrics
        assert "nightferry_learn_failures_total 0.0" in metrics
        story.judge()


def begins_with_an_unlucky_pod(story: Story, image: str) -> str:
    """A version without any change, whose first pod happens to be one of the worse ones -> the release."""
    release = story.asks_for(image)
    (pod,) = eventually(
        lambda: [one["metadata"]["name"] for one in story.site.pods(TWIN) if is_ready(one)],
        within=120,
        what="the canary is ready",
        every=0.2,
    )
    story.site.order_behaviour(pod, "errors4.6")
    return release


# Pods of this service differ by a factor of three and more, and always did. A canary with twice the errors is one of
# them, and the five that follow it happen to be the worse ones of the fleet, too: once all are new, the app as a whole
# has half as many errors again. New pods do that, and the gates know it.
def test_a_healthy_version_of_a_noisy_fleet_passes(story: Story) -> None:
    past = with_a_past(story, replicas=6, image="v1-errors2", errors=0.018, pod_sd=0.6, present=0.02, days=12.0)
    with past as prometheus:
        opens(story, prometheus, replicas=6, observe={"atMost": "40s"})
        await_learned(story)
        await_traffic(story)
        release = begins_with_an_unlucky_pod(story, "v2-errors3")
        done = story.releases.await_phase(release, "Succeeded", within=400)
        assert "assumed" not in errors_gate(done)["evidence"]["guarantee"]
        story.judge_end(release, "Succeeded", tag="v2-errors3")
        story.judge()


# The same night for a controller that knows no history: what it assumes of pods is too little for these. In 150 s it
# would see that in 999 of 1,000 nights, and in as long as it may look here in all of them.
def test_the_same_version_is_turned_back_where_pod_noise_is_only_assumed(story: Story) -> None:
    story.site.deploy(replicas=6, image=f"{REGISTRY}:v1-errors2")
    with story.bed.own_prometheus(story.site.name) as prometheus:
        opens(story, prometheus.url, replicas=6, observe={"atMost": "300s"})
        await_traffic(story)
        release = begins_with_an_unlucky_pod(story, "v2-errors2")
        turned = story.releases.await_phase(release, "RollingBack", within=300)
        assert turned.cause == "GateDegraded"
        assert "assumed pod noise" in errors_gate(turned)["evidence"]["guarantee"]
        story.releases.await_phase(release, "RolledBack", within=60)
        story.judge_end(release, "RolledBack", tag="v1-errors2")
