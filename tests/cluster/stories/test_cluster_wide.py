"""One controller for the whole cluster, on a bed of its own: what is deleted here, every other story would miss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bed.bed import Bed
from tests.cluster.bed.shared import joined
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.conftest import MANIFESTS
from tests.cluster.stories.story import APP, TWIN, Story, told
from tests.setup.find import MissingPrograms, find_programs

RELEASES_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/releases.nightferry.dev"


@pytest.fixture(scope="module")
def own_bed(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A second bed, for this file and this worker alone. `bed` is asked first because it says what is missing."""
    programs = find_programs(os.environ)
    assert not isinstance(programs, MissingPrograms)
    with joined(tmp_path_factory.mktemp("own") / "bed") as facts:
        own = Bed(facts, programs, tmp_path_factory.mktemp("scratch"))
        own.apply_manifests(*MANIFESTS)
        yield own
        own.close()


# Whoever removes the CRD takes every record away. No pod follows, the process lives on, and once the CRD is there
# again the claims on the Deployments bring the incumbent back to its size.
def test_a_deleted_crd_leaves_the_app_serving_and_comes_back(
    own_bed: Bed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with own_bed.namespace("deleted-crd") as site, told(own_bed, site, tmp_path, request.node) as story:
        story.opens(namespaced=False)
        controller = story.controller
        assert controller is not None
        release = in_the_canary(story)
        before = story.generations()
        own_bed.admin.delete(RELEASES_CRD)
        # Its deletion takes its time, and what is put in its place before that would go with it.
        eventually(lambda: not own_bed.admin.exists(RELEASES_CRD), within=60, what="the CRD is gone")
        answered = story.load.totals().answered if story.load is not None else 0
        eventually(
            lambda: story.load is not None and story.load.totals().answered >= answered + 2000,
            within=30,
            what="the app serves two thousand requests",
        )
        assert story.generations() == before
        assert set(story.claims()) == {APP, TWIN}
        assert controller.running
        assert controller.read_page("/healthz")[0] == 200

        own_bed.apply_manifests(MANIFESTS[0])
        restore = story.releases.await_new({release}, within=150)
        story.releases.await_phase(restore, "RolledBack", within=60)
        story.judge_end(restore, "RolledBack", tag="v1")
        story.judge()


# A namespace is deleted while its app is in a release. Nothing of ours keeps it from going, and the app next door
# goes all the way.
def test_a_deleted_namespace_does_not_touch_the_next_one(
    own_bed: Bed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with (
        own_bed.namespace("doomed") as doomed,
        own_bed.namespace("next-door") as site,
        told(own_bed, doomed, tmp_path / "doomed", request.node) as ending,
        told(own_bed, site, tmp_path / "next", request.node) as story,
    ):
        story.opens(policy={"strategy": {"twin": {"batches": 1}}}, namespaced=False)
        controller = story.controller
        assert controller is not None
        ending.opens(controlled=False)
        in_the_canary(ending)
        release = story.asks_for("v2")
        doomed.delete()
        ending.allows(lowest=0, because="its namespace is deleted")
        gone = f"/api/v1/namespaces/{doomed.name}"
        eventually(lambda: not own_bed.admin.exists(gone), within=60, what="the namespace is gone")
        story.releases.await_phase(release, "Succeeded", within=120)
        story.judge_end(release, "Succeeded", tag="v2")
        story.judge()
        assert controller.running
        assert controller.read_page("/readyz")[0] == 200
        # Whoever is gone is noticed at a heartbeat.
        eventually(
            lambda: doomed.name not in controller.read_page("/metrics")[1], within=30, what="nothing tells of it"
        )


def in_the_canary(story: Story) -> str:
    """A release whose canary has taken the place of one incumbent -> its name."""
    release = story.asks_for("v2")
    eventually(lambda: story.ordered(APP) <= 3, within=60, what="the canary has taken a place")
    return release
