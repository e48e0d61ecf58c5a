"""The adapters are shown on real servers too: the test bed, with the shipped CRDs and RBAC."""

from __future__ import annotations

import ssl
import subprocess
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


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are given a minute: the other end is a thread of ours, and it may be late with a handshake."""
    for module in ("cluster.connection", "metrics.transport", "outside.post"):
        monkeypatch.setattr(f"controller.{module}._CONNECT_TIMEOUT", 60.0)


@pytest.fixture(scope="session")
def installed(bed: Bed) -> Path:
    """The CRDs and the RBAC as shipped, applied to the bed."""
    bed.install(MANIFESTS / "crds", MANIFESTS / "rbac.yaml")
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key, signed by itself."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
