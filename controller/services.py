"""Services as Kubernetes reads them: whether one is there, and which pods it selects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]
Selector = Mapping[str, str]


def is_gone(service: Object | None) -> bool:
    """Whether a Service does not exist, or is being deleted."""
    return service is None or "deletionTimestamp" in (service.get("metadata") or {})


def selector_of(service: Object) -> dict[str, str]:
    """What a Service selects now; {} where it selects nothing."""
    return {str(key): str(value) for key, value in ((service.get("spec") or {}).get("selector") or {}).items()}


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a selector chooses pods of these labels; an empty one chooses none."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def pod_labels(deployment: Object) -> dict[str, str]:
    """The labels that a Deployment gives its pods."""
    template = (deployment.get("spec") or {}).get("template") or {}
    return {str(key): str(value) for key, value in ((template.get("metadata") or {}).get("labels") or {}).items()}


def words(selector: Selector) -> str:
    """A selector, or labels, in a sentence."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "nothing"
