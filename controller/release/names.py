"""How things are called: our labels and annotations, the key of what ticks, and the objects beside the Deployments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GROUP = "nightferry.dev"
CLAIM_ANNOTATION = f"{GROUP}/claim"
MADE_BY = {"app.kubernetes.io/managed-by": "nightferry"}  # labels of what we make beside the Deployments
SLOT_LABEL = f"{GROUP}/slot"

Kind = Literal[
    "Service", "Endpoints", "Ingress", "HTTPRoute", "VirtualService", "DestinationRule", "ConfigMap", "Job",
    "HorizontalPodAutoscaler",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class AppKey:
    """The unit that ticks alone: one policy of one namespace."""

    namespace: str
    policy: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.policy}"


@dataclass(frozen=True, slots=True)
class TrainKey:
    """What ticks beside the apps: one train of one namespace."""

    namespace: str
    train: str

    def __str__(self) -> str:
        return f"{self.namespace}/train/{self.train}"


Key = AppKey | TrainKey


@dataclass(frozen=True, slots=True)
class Ref:
    """An object of the app's namespace that stands beside its Deployments."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
