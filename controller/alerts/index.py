"""Which policies an alert concerns, without asking every policy: each is filed under one label that it asks for.

An alert looks up its own labels, a few dozen at most, and judges what is filed there. A label that many policies ask
for (severity=page) files nothing as long as a policy asks for a rarer one (service=checkout), so the work for an alert
does not grow with the number of policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from controller.release.names import AppKey
from policies.alerts import OnAlert

Label = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Index:
    """The alerts of all policies, filed. Build one with `index_of`."""

    filed: Mapping[Label, tuple[tuple[AppKey, OnAlert], ...]] = field(default_factory=dict)
    wanted: Mapping[AppKey, tuple[OnAlert, ...]] = field(default_factory=dict)

    def concerned(self, labels: Mapping[str, str]) -> frozenset[AppKey]:
        """The apps whose policies ask for an alert with these labels."""
        return frozenset(
            app for label in labels.items() for app, alert in self.filed.get(label, ()) if alert.matches(labels)
        )


def index_of(policies: Iterable[Mapping[str, Any]]) -> Index:
    """The index of ReleasePolicy objects; what is no alert in one of them is left out, as its release would be."""
    wanted: dict[AppKey, tuple[OnAlert, ...]] = {}
    for policy in policies:
        metadata, spec = policy.get("metadata") or {}, policy.get("spec") or {}
        if found := tuple(filter(None, map(_read, _listed(spec.get("alerts"))))):
            wanted[AppKey(str(metadata.get("namespace", "")), str(metadata.get("name", "")))] = found
    often = Counter(label for alerts in wanted.values() for alert in alerts for label in alert.labels)
    filed: dict[Label, list[tuple[AppKey, OnAlert]]] = {}
    for app, alerts in wanted.items():
        for alert in alerts:
            filed.setdefault(min(alert.labels, key=lambda label: (often[label], label)), []).append((app, alert))
    return Index({label: tuple(there) for label, there in filed.items()}, wanted)


def _listed(found: object) -> list[Any]:
    return found if isinstance(found, list) else []


def _read(raw: object) -> OnAlert | None:
    try:
        return OnAlert.model_validate(raw)
    except ValidationError:
        return None
