"""What a tick asks beyond the cluster and the store: webhooks, what fires, and the telling of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CallWebhook:
    """-> Spoken: one signed POST to an endpoint of the configuration; `id` is the same for a repetition."""

    endpoint: str
    id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """An endpoint's answer, not judged: the HTTP status and the body, cut to its bound."""

    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class ReadFiring:
    """-> FiringAlerts: every alert that fires at this instant and carries all labels of one of `matches`."""

    matches: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class FiringAlerts:
    """Alerts as Alertmanager's API v2 gives them (dicts with fingerprint, labels, annotations, startsAt, status)."""

    items: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """-> Delivery: hand a notice to its notifier without waiting; `id` is the same for a repetition."""

    notifier: str
    id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a notice stands. pending: on its way, ask again after `again_in` seconds; failed: it will not arrive."""

    state: Literal["pending", "sent", "failed"]
    because: str = ""
    again_in: float = 1.0
