"""The golden objects of every router against the real API server: each write is validated by the real schemas."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from controller.release.plan import CreateObject, DeleteObject, ObjectWrite, PatchObject
from tests.cluster.bed.api import MERGE, ApiError
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.manifests import collection_path
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.site import Site
from tests.controller.routers.objects import HTTP_ROUTE, VIRTUAL_SERVICE
from tests.controller.routers.store import Store
from tests.controller.routers.test_golden import CASES

CRDS = ROOT / "tests" / "cluster" / "bed" / "crds"


class ServedStore(Store):
    """A store whose objects are those of the API server: every write goes there first."""

    site: Site

    def serve(self, site: Site) -> None:
        self.site = site
        for obj in list(self.objects.values()):
            bare = copy.deepcopy(obj)
            bare["metadata"] = {key: obj["metadata"][key] for key in ("name", "annotations") if key in obj["metadata"]}
            if bare["kind"] == "Service":
                bare["spec"].pop("clusterIP")  # the server gives both
                for port in bare["spec"]["ports"]:
                    port.pop("nodePort")
            self._keep(site.apply(_without_empty_groups(bare)))

    def _keep(self, stored: Mapping[str, Any]) -> None:
        self.put(dict(stored))
        ref = next(ref for ref in self.objects if (ref.kind, ref.name) == (stored["kind"], stored["metadata"]["name"]))
        self.objects[ref]["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]

    def apply(self, write: ObjectWrite) -> None:
        api = self.site.api
        version = {"Service": "v1", "Ingress": "networking.k8s.io/v1", "HTTPRoute": "gateway.networking.k8s.io/v1"}
        group = version.get(write.ref.kind, "networking.istio.io/v1")
        about = {"kind": write.ref.kind, "apiVersion": group, "metadata": {}}
        collection = collection_path(api, about, self.site.name)
        match write:
            case CreateObject(_, manifest):
                self._keep(api.create(collection, dict(manifest)))
            case PatchObject(ref, resource_version, patch):
                metadata = {**(patch.get("metadata") or {}), "resourceVersion": resource_version}
                body = {**patch, "metadata": metadata}
                self._keep(api.patch(f"{collection}/{ref.name}", body, content_type=MERGE))
            case DeleteObject(ref, uid, resource_version):
                assert self.objects[ref]["metadata"]["uid"] == uid
                guard = {"preconditions": {"uid": uid, "resourceVersion": resource_version}}
                api.send("DELETE", f"{collection}/{ref.name}", body=guard)
                del self.objects[ref]

    def people(self) -> list[Any]:
        """Every object as people see it."""
        found = []
        for _, obj in sorted(self.objects.items(), key=lambda item: (item[0].kind, item[0].name)):
            found.append((obj["kind"], obj["metadata"]["name"], obj["metadata"].get("annotations"), obj["spec"]))
        return copy.deepcopy(found)


def _without_empty_groups(obj: Any) -> Any:
    """The API server of the tests takes an empty text in a custom object for null."""
    if isinstance(obj, dict):
        return {key: _without_empty_groups(value) for key, value in obj.items() if (key, value) != ("group", "")}
    return [_without_empty_groups(each) for each in obj] if isinstance(obj, list) else obj


@pytest.fixture(scope="session")
def with_crds(bed: Bed) -> Bed:
    bed.install(*(CRDS / f"{name}.yaml" for name in ("httproutes", "virtualservices", "destinationrules")))
    return bed


@pytest.mark.parametrize("case", CASES)
def test_every_write_is_accepted_and_everything_is_given_back(with_crds: Bed, site: Site, case: str) -> None:
    traffic, texts = CASES[case]
    store = ServedStore.of(traffic, *texts)
    assert isinstance(store, ServedStore)
    store.serve(site)
    store.record = type(store.record)(saved=store.router.saved(store.policy, store.seen))
    before = store.people()
    store.prepare()
    for weight in (0, 25, 100, 40):
        store.steer(weight, matches=weight > 0)
        assert store.steer(weight, matches=weight > 0) == [], "what the server has made of it is what was asked for"
    store.hand_back()
    assert store.people() == before


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (HTTP_ROUTE, "type: PathPrefix", "type: Prefix"),
        (HTTP_ROUTE, "weight: 9", "weight: -9"),
        (VIRTUAL_SERVICE, "weight: 90", "weight: many"),
        (VIRTUAL_SERVICE, "exact: north", "exact: 7"),
    ],
)
def test_the_schemas_refuse_what_the_real_ones_refuse(
    with_crds: Bed, site: Site, text: str, old: str, new: str
) -> None:
    good = _without_empty_groups(yaml.safe_load(text))
    bad = _without_empty_groups(yaml.safe_load(text.replace(old, new, 1)))
    for obj in (good, bad):
        del obj["metadata"]["namespace"]
    site.apply({**good, "metadata": {"name": "good"}})
    with pytest.raises(ApiError, match="422"):
        site.apply({**bad, "metadata": {"name": "bad"}})
