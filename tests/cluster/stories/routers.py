"""The routers as policies name them, and the objects that carry the requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.release.names import Ref
from controller.simulation.routing import objects_of
from tests.cluster.stories.story import APP, Story


@dataclass(frozen=True, slots=True)
class Routed:
    """One router as a policy names it, and the object that carries the requests."""

    traffic: Mapping[str, Any]
    entrance: Ref


ROUTERS: Mapping[str, Routed] = {
    "ingress-nginx": Routed({"ingressNginx": {"ingress": APP}}, Ref("Ingress", APP)),
    "gateway-api": Routed({"gatewayAPI": {"httpRoute": APP}}, Ref("HTTPRoute", APP)),
    "istio": Routed({"istio": {"virtualService": APP, "destinationRule": APP}}, Ref("VirtualService", APP)),
}


def stands_behind(story: Story, router: str) -> dict[str, Any]:
    """Puts the app behind a router -> `strategy.traffic` of its policy."""
    routed = ROUTERS[router]
    for obj in objects_of(routed.entrance.kind, APP):  # type: ignore[arg-type]
        story.site.apply(obj)
    return dict(routed.traffic)
