"""The adapters are shown on real servers too: the test bed, with the shipped CRDs and RBAC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cluster.cache import Cache
from controller.cluster.connection import Connection
from controller.cluster.login import connect
from controller.cluster.shell import Cluster
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.identities import CONTROLLER
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.waiting import eventually
from tests.cluster.conftest import bed, site
from tests.controller.adapters.builders import RealClock

__all__ = ["bed", "site"]  # fixtures

MANIFESTS = ROOT / "manifests"


@pytest.fixture(scope="session")
def installed(bed: Bed) -> Path:
    """The CRDs and the RBAC as shipped, applied to the bed."""
    bed.apply_manifests(MANIFESTS / "crds", MANIFESTS / "rbac.yaml")
    return MANIFESTS


@pytest.fixture
def connection(bed: Bed, installed: Path) -> Iterator[Connection]:
    """A connection as the controller's own ServiceAccount, with the shipped rights and no other."""
    connection = connect(RealClock(), kubeconfig=str(bed.kubeconfig(CONTROLLER)))
    yield connection
    connection.close()


@pytest.fixture
def cache(connection: Connection) -> Iterator[Cache]:
    """The watch cache of the whole cluster."""
    cache = Cache(connection, RealClock())
    cache.start()
    eventually(lambda: cache.synced, within=15, what="the cache is synced")
    yield cache
    cache.stop()


@pytest.fixture
def cluster(connection: Connection, cache: Cache) -> Cluster:
    """The shell, in the middle of a tick."""
    cluster = Cluster(connection, cache, RealClock())
    cluster.begin_tick()
    return cluster
