"""The fixtures of the stories, and what a story that fails shows."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.cluster.bed.bed import Bed
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.site import Site
from tests.cluster.stories.story import FAILED, STORY, Story, told

CRDS = ROOT / "tests" / "cluster" / "bed" / "crds"
MANIFESTS = (ROOT / "manifests" / "crds", ROOT / "manifests" / "rbac.yaml")


@pytest.fixture(scope="session")
def installed(bed: Bed) -> Bed:
    """The bed with the shipped CRDs and the shipped RBAC, and no other right for the controller."""
    bed.install(*MANIFESTS)
    return bed


@pytest.fixture(scope="session")
def with_routers(installed: Bed) -> Bed:
    """The bed with the CRDs of routers, whose schemas are the real ones."""
    installed.install(*(CRDS / f"{name}.yaml" for name in ("httproutes", "virtualservices", "destinationrules")))
    return installed


@pytest.fixture
def story(installed: Bed, site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Story]:
    """A story of its own namespace."""
    with told(installed, site, tmp_path, request.node) as story:
        yield story


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A story that fails shows the controller's log, its Releases and its history."""
    report = yield
    story = item.stash.get(STORY, None)
    if report.failed and report.when == "call" and story is not None:
        item.stash[FAILED] = True
        report.sections += list(story.report())
    return report
