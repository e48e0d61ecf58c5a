"""The simulated API server's objects: versions, generations, owners of fields, compare-and-swap.

Objects are plain dicts that are never changed in place; a write makes a new one and shares what did not change. So a
snapshot of the whole store is one shallow copy, and an object that was read stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from controller.release.names import Kind as BesideKind
from controller.requests.failure import Failure, FailureKind

Object = dict[str, Any]
Kind = Literal["ReleasePolicy", "Release", "ReleaseTrain", "Baseline", "Deployment"] | BesideKind
Key = tuple[Kind, str, str]  # kind, namespace, name


def timestamp(at: float) -> str:
    """UTC to the second, as the API server writes times."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Objects:
    """All objects of the world under one version counter. `default` completes a new or changed object."""

    default: Callable[[Kind, Object], Object] = lambda _, obj: obj
    version: int = 1000
    items: dict[Key, Object] = field(default_factory=dict)
    uids: int = 0

    def next_version(self) -> int:
        """A new version: every change of anything, pods included, takes one."""
        self.version += 1
        return self.version

    def read(self, key: Key) -> Object | Failure:
        found = self.items.get(key)
        return found if found is not None else absent(key)

    def listed(self, kind: Kind, namespace: str) -> list[Object]:
        return [self.items[key] for key in sorted(self.items) if key[0] == kind and key[1] == namespace]

    def create(self, manifest: Mapping[str, Any], namespace: str, manager: str, now: float) -> Object | Failure:
        """A new object from a manifest, which must have kind and metadata.name."""
        made: Object = plain(manifest)
        kind: Kind = made["kind"]
        key = (kind, namespace, made["metadata"]["name"])
        if key in self.items:
            return Failure(FailureKind.EXISTS, f"{_named(key)} already exists")
        made = self.default(kind, made)
        made.pop("status", None)
        self.uids += 1
        made["metadata"] = {
            **made["metadata"],
            "namespace": namespace,
            "uid": f"{self.uids:08x}-0000-4000-8000-{self.uids:012x}",
            "resourceVersion": str(self.next_version()),
            "generation": 1,
            "creationTimestamp": timestamp(now),
            "managedFields": _owned([], manager, _fields({"spec": made.get("spec") or {}}), now),
        }
        self.items[key] = made
        return made

    def patch(
        self,
        key: Key,
        patch: Mapping[str, Any],
        manager: str,
        now: float,
        *,
        version: str | None = None,
        status: bool = False,
        whole: Mapping[str, Any] | None = None,
    ) -> Object | Failure:
        """A JSON merge patch, refused with CONFLICT unless the object is at `version` (None: unconditionally).

        `status` patches the status subresource and nothing else. `whole` replaces spec fields as they are.
        """
        before = self.items.get(key)
        if before is None:
            return absent(key)
        if version is not None and before["metadata"]["resourceVersion"] != version:
            return Failure(
                FailureKind.CONFLICT,
                f"{_named(key)}: the object has been modified (at {before['metadata']['resourceVersion']}, "
                f"the write is for {version})",
            )
        part = plain(patch)
        after: Object = merged(before, {"status": part.get("status", {})} if status else _without_status(part))
        if whole:
            after = {**after, "spec": {**after.get("spec", {}), **plain(whole)}}
        if not status:
            after = self.default(key[0], after)
        if after == before:
            return before
        metadata = dict(after["metadata"])
        if after.get("spec") != before.get("spec"):
            metadata["generation"] = before["metadata"]["generation"] + 1
            changed = _changed(_fields({"spec": after["spec"]}), after, before)
            metadata["managedFields"] = _owned(metadata.get("managedFields", []), manager, changed, now)
        metadata["resourceVersion"] = str(self.next_version())
        after["metadata"] = metadata
        self.items[key] = after
        return after

    def delete(self, key: Key, uid: str | None = None, version: str | None = None) -> Object | Failure:
        found = self.items.get(key)
        if found is None:
            return absent(key)
        if version is not None and found["metadata"]["resourceVersion"] != version:
            return Failure(FailureKind.CONFLICT, f"{_named(key)}: the object has been modified")
        if uid is not None and found["metadata"]["uid"] != uid:
            return Failure(FailureKind.CONFLICT, f"{_named(key)} has another uid")
        del self.items[key]
        self.next_version()
        return found

    def fork(self) -> Objects:
        """A store that goes its own way from here."""
        return Objects(self.default, self.version, dict(self.items), self.uids)


def absent(key: Key) -> Failure:
    return Failure(FailureKind.ABSENT, f"{_named(key)} does not exist")


def plain(value: Any) -> Any:
    """The JSON types that a client and an API server would exchange; raises where something is not JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


def merged(base: Any, patch: Any) -> Any:
    """RFC 7396: maps merge, null deletes, everything else replaces. Neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _named(key: Key) -> str:
    return f"{key[0]} {key[1]}/{key[2]}"


def _without_status(patch: Object) -> Object:
    kept = {key: value for key, value in patch.items() if key != "status"}
    metadata = {name: value for name, value in (kept.get("metadata") or {}).items() if name != "resourceVersion"}
    return {**kept, "metadata": metadata} if metadata else {k: v for k, v in kept.items() if k != "metadata"}


# ------------------------------------------------------------------------------------------- owners of fields

Fields = dict[str, Any]


def _fields(value: Any) -> Fields:
    """The fieldsV1 tree of a value; lists are one field."""
    return {f"f:{key}": _fields(inner) for key, inner in value.items()} if isinstance(value, dict) else {}


def _changed(fields: Fields, after: Any, before: Any) -> Fields:
    """The part of a tree in which two objects differ."""
    kept: Fields = {}
    for name, inner in fields.items():
        one = after.get(name[2:]) if isinstance(after, dict) else None
        other = before.get(name[2:]) if isinstance(before, dict) else None
        if one != other:
            kept[name] = _changed(inner, one, other)
    return kept


def _owned(entries: list[Object], manager: str, fields: Fields, now: float) -> list[Object]:
    """The entries after `manager` wrote `fields`: it owns them now, and nobody else does."""
    kept = []
    mine: Fields = {}
    for entry in entries:
        if entry["manager"] == manager:
            mine = entry["fieldsV1"]
            continue
        rest = _less(entry["fieldsV1"], fields)
        if rest:
            kept.append({**entry, "fieldsV1": rest})
    return [
        *kept,
        {
            "manager": manager,
            "operation": "Update",
            "time": timestamp(now),
            "fieldsType": "FieldsV1",
            "fieldsV1": _more(mine, fields),
        },
    ]


def _less(tree: Fields, gone: Fields) -> Fields:
    kept: Fields = {}
    for name, inner in tree.items():
        if name not in gone:
            kept[name] = inner
        elif gone[name] and inner and (rest := _less(inner, gone[name])):
            kept[name] = rest
    return kept


def _more(tree: Fields, new: Fields) -> Fields:
    result = dict(tree)
    for name, inner in new.items():
        result[name] = _more(result.get(name, {}), inner)
    return result
