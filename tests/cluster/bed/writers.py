"""Whose write a change of an object was, told from its managedFields.

An entry's time moves when its manager begins to own a field. A write that gives another value to fields that the
manager owns already (a status that is counted up) leaves no trace there, so it is told by the values themselves: the
writer owns what has changed.
"""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.bed.api import Object

UNKNOWN = "unknown"
_ABSENT = object()


def writer(before: Object, after: Object) -> str:
    """The field manager whose write made `before` into `after`; UNKNOWN where the object does not tell."""
    old, new = _entries(before), _entries(after)
    # An entry also changes when another manager takes fields from it; its time stays then.
    arrived = {key: entry for key, entry in new.items() if key not in old or old[key].get("time") != entry.get("time")}
    # A field that is gone has no owner afterwards.
    for entries in (arrived, _moved(new, before, after), _moved(old, before, after)):
        if entries:
            return str(max(entries.values(), key=lambda entry: str(entry.get("time", "")))["manager"])
    return UNKNOWN


def _entries(one: Object) -> dict[tuple[str, ...], Object]:
    """Entries by what makes each one of its own: a manager has one for the object and one for its status."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", ""), entry.get("apiVersion", "")): entry
        for entry in one["metadata"].get("managedFields", [])
    }


def _moved(entries: dict[tuple[str, ...], Object], before: Object, after: Object) -> dict[tuple[str, ...], Object]:
    """The entries of which an owned field has another value."""
    return {key: entry for key, entry in entries.items() if _differs(entry.get("fieldsV1", {}), before, after)}


def _differs(fields: Object, before: Any, after: Any) -> bool:
    """Whether a value under a set of fields (FieldsV1: "f:" a field, "k:" and "v:" an item of a list) has changed."""
    named = {name: inner for name, inner in fields.items() if name != "."}
    if not named:
        return bool(before != after)
    return any(_differs(inner, _part(before, name), _part(after, name)) for name, inner in named.items())


def _part(value: Any, name: str) -> Any:
    """What a step of FieldsV1 leads to; _ABSENT where there is nothing."""
    kind, _, word = name.partition(":")
    if kind == "f":
        return value.get(word, _ABSENT) if isinstance(value, dict) else _ABSENT
    items = value if isinstance(value, list) else []
    wanted = json.loads(word)
    if kind == "k":
        return next((one for one in items if all(one.get(key) == mark for key, mark in wanted.items())), _ABSENT)
    return wanted if wanted in items else _ABSENT
