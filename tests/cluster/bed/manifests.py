"""Applies manifest files to the API server, as a person with kubectl would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from tests.cluster.bed.api import Api, ApiError, Object
from tests.cluster.bed.waiting import eventually

DEFINITION = "CustomResourceDefinition"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def apply_manifests(api: Api, paths: Iterable[Path], *, namespace: str = "default") -> list[Object]:
    """Creates or replaces every object of the YAML files (folders mean all *.yaml in them, sorted).

    Namespaced objects without a namespace go to `namespace`. CRDs come first, and the others once all CRDs are served.
    Returns the objects as stored, in that order.
    """
    found = [obj for path in paths for obj in _objects(path)]
    definitions = [_stored(api, obj, namespace) for obj in found if obj["kind"] == DEFINITION]
    for definition in definitions:
        _await_served(api, definition)
    return definitions + [_stored(api, obj, namespace) for obj in found if obj["kind"] != DEFINITION]


def apply_object(api: Api, wanted: Object, *, namespace: str = "default") -> Object:
    """Creates one object, or replaces the one that is there; a CRD is served then."""
    stored = _stored(api, wanted, namespace)
    if wanted["kind"] == DEFINITION:
        _await_served(api, stored)
    return stored


def _stored(api: Api, wanted: Object, namespace: str) -> Object:
    collection = collection_path(api, wanted, namespace)
    path = f"{collection}/{wanted['metadata']['name']}"
    stored = eventually(
        lambda: _create(api, collection, wanted) or _replace(api, path, wanted), within=60, what=f"{path} is stored"
    )
    assert stored is not None
    return stored


def _await_served(api: Api, definition: Object) -> None:
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"
    eventually(lambda: _is_served(api, path), within=20, what=f"{path} is served")


def _create(api: Api, collection: str, wanted: Object) -> Object | None:
    try:
        return api.create(collection, wanted)
    except ApiError as error:
        if error.status == 409:
            return None
        raise


def _replace(api: Api, path: str, wanted: Object) -> Object | None:
    # Parallel test workers apply the same files: whoever loses a race looks again. What is going is waited for.
    try:
        there = api.read(path)["metadata"]
        if "deletionTimestamp" in there:
            return None
        metadata = {**wanted["metadata"], "resourceVersion": there["resourceVersion"]}
        return api.send("PUT", path, body={**wanted, "metadata": metadata})
    except ApiError as error:
        if error.status in {404, 409}:
            return None
        raise


def collection_path(api: Api, wanted: Object, namespace: str) -> str:
    """The API path of the collection that the object belongs to, asked from the server. Raises LookupError."""
    version = wanted["apiVersion"]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for resource in api.read(group)["resources"]:
        if resource["kind"] == wanted["kind"] and "/" not in resource["name"]:
            if resource["namespaced"]:
                return f"{group}/namespaces/{wanted['metadata'].get('namespace', namespace)}/{resource['name']}"
            return f"{group}/{resource['name']}"
    raise LookupError(f"the API server does not serve {wanted['kind']} of {version}")


def _objects(path: Path) -> Iterator[Object]:
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    for file in files:
        for found in yaml.safe_load_all(file.read_text()):
            if found:
                yield found


def _is_served(api: Api, path: str) -> bool:
    crd = api.read(path)
    # The server writes `conditions: null` for a moment.
    conditions = crd.get("status", {}).get("conditions") or []
    established = any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
    spec = crd["spec"]
    versions = [f"/apis/{spec['group']}/{one['name']}" for one in spec["versions"] if one["served"]]
    # A version of the group is there as soon as one of its kinds is.
    return established and all(spec["names"]["plural"] in _kinds(api, version) for version in versions)


def _kinds(api: Api, version: str) -> set[str]:
    try:
        return {str(one["name"]) for one in api.read(version)["resources"]}
    except ApiError as error:
        if error.status == 404:
            return set()
        raise
