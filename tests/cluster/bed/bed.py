"""The bed as a test sees it: identities, namespaces, manifests and Prometheus of a running control plane."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.bed.api import Api, Object
from tests.cluster.bed.audit import Request, read_requests
from tests.cluster.bed.identities import ADMIN, Identity, write_kubeconfig
from tests.cluster.bed.manifests import apply_manifests
from tests.cluster.bed.past import Fleet, create_blocks, write_openmetrics
from tests.cluster.bed.prometheus import Prometheus, query
from tests.cluster.bed.shared import Facts
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.cluster.bed.warm import Warm
from tests.setup.find import Programs


class Bed:
    """A running bed. Several test workers may hold one each for the same servers."""

    def __init__(self, facts: Facts, programs: Programs, scratch: Path) -> None:
        self.facts = facts
        self.programs = programs
        self.admin = self.api(ADMIN)
        self._scratch = scratch
        self._numbers = itertools.count(1)
        # The log of a whole run is long: of a namespace only what came after its creation is read.
        self._logged_before: dict[str, int] = {}
        self.warm = Warm(scratch)

    def close(self) -> None:
        """Ends what this worker has started for itself."""
        self.warm.stop()

    @property
    def url(self) -> str:
        """The address of the API server."""
        return self.facts.url

    @property
    def prometheus_url(self) -> str:
        """The address of the Prometheus that scrapes the pods of all namespaces; no story may stop it."""
        return self.facts.prometheus

    def api(self, identity: Identity) -> Api:
        """Access to the API server as somebody."""
        return Api(self.facts.url, ca=str(self.facts.ca), token=identity.token)

    def kubeconfig(self, identity: Identity, *, namespace: str = "default") -> Path:
        """A new kubeconfig file for somebody."""
        path = self._scratch / f"{identity.name}-{next(self._numbers)}.kubeconfig"
        write_kubeconfig(path, url=self.facts.url, ca=self.facts.ca, identity=identity, namespace=namespace)
        return path

    @contextmanager
    def namespace(self, story: str) -> Iterator[Site]:
        """A new namespace called after the story, deleted at the end of the block."""
        log = self.facts.audit_log
        logged = log.stat().st_size if log.exists() else 0
        created = self.admin.create("/api/v1/namespaces", {"metadata": {"generateName": f"{story}-"}})
        self._logged_before[created["metadata"]["name"]] = logged
        site = Site(self.admin, str(created["metadata"]["name"]))
        try:
            # Objects created before the default ServiceAccount exists may be refused.
            eventually(
                lambda: self.admin.exists(site.path("serviceaccounts", "default")),
                within=20,
                what="the namespace works",
            )
            yield site
        finally:
            site.delete()

    def apply_manifests(self, *paths: Path, namespace: str = "default") -> list[Object]:
        """Creates or replaces every object of the YAML files or folders, as the administrator."""
        return apply_manifests(self.admin, paths, namespace=namespace)

    def install(self, *paths: Path) -> None:
        """The manifests, applied by the first worker of this bed that asks for them; the others wait for it.

        Each replacement of a CRD costs the API server more than a release does.
        """
        asked = hashlib.sha256("\n".join(map(str, paths)).encode()).hexdigest()[:12]
        mark = self.facts.folder / f"installed-{asked}"
        with mark.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not mark.exists():
                self.apply_manifests(*paths)
                mark.touch()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query at the shared Prometheus."""
        return query(self.facts.prometheus, expression)

    @contextmanager
    def own_prometheus(self, namespace: str, more: Mapping[str, Any] | None = None) -> Iterator[Prometheus]:
        """A running Prometheus for the pods of one namespace only, which the story may stop and start."""
        folder = self._scratch / f"prometheus-{namespace}-{next(self._numbers)}"
        server = Prometheus(
            self.programs.prometheus, folder, targets=self.facts.targets, pattern=f"{namespace}.json", more=more
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()

    @contextmanager
    def remembering_prometheus(self, namespace: str, fleets: Sequence[Fleet]) -> Iterator[Prometheus]:
        """As `own_prometheus`, with the past of some fleets in its memory."""
        folder = self._scratch / f"prometheus-{namespace}-{next(self._numbers)}"
        server = Prometheus(
            self.programs.prometheus, folder, targets=self.facts.targets, pattern=f"{namespace}.json", retention="60d"
        )
        for number, fleet in enumerate(fleets):
            text = folder / f"past-{number}.txt"
            write_openmetrics(fleet, text)
            create_blocks(self.programs.promtool, [text], server.data)
            text.unlink()
        server.start()
        try:
            yield server
        finally:
            server.stop()

    def requests(self, identity: Identity, *, namespace: str | None = None) -> list[Request]:
        """What somebody asked of the API server so far, from its audit log."""
        since = self._logged_before.get(namespace, 0) if namespace is not None else 0
        return read_requests(self.facts.audit_log, user=identity.user, namespace=namespace, since=since)
