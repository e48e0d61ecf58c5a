"""One test bed for the whole run, shared by all workers of a parallel run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bed.bed import Bed
from tests.cluster.bed.shared import joined, of_the_run
from tests.cluster.bed.site import Site
from tests.setup.needed import needed_programs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test of this folder, so that `-m "not cluster"` leaves them out; the longest begin first."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
    items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> float:
    """Seconds that a test asks for itself; a run in parallel is as long as what begins last."""
    asked = item.get_closest_marker("timeout")
    return float(asked.args[0]) if asked is not None and asked.args else 0.0


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The running bed. Without its programs the test is left out, or fails when the cluster tests are required."""
    programs = needed_programs()
    with joined(of_the_run(tmp_path_factory.getbasetemp()) / "bed") as facts:
        bed = Bed(facts, programs, tmp_path_factory.mktemp("scratch"))
        yield bed
        bed.close()


@pytest.fixture
def site(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A namespace named after the test."""
    story = request.node.name.removeprefix("test_").replace("_", "-").lower()
    with bed.namespace("".join(c for c in story if c.isalnum() or c == "-")[:40].strip("-")) as site:
        yield site
