"""Who sees the contender: objects of a router that split requests between the versions by weight and by matches.

A router is one file and one line in `ROUTERS`; all of it is pure: what was read goes in, the next write comes out.

Theory. The app's own Service selects the pods of both versions, so its share is their share of the pods. While a
release runs, the routes that name this Service are led to two sides instead, each pinned to the pods of one version
by its `pod-template-hash`: the incumbent's side gets 100 - w percent, the contender's w. Whatever else reaches the
Service (callers inside the cluster) goes on by share of pods, which is the same share.

Every write is absolute: `steer` undoes what it finds of itself and applies the wanted split to the rest, so rules that
other people wrote, before or during a release, stay as they are, and a repeated write is no write. A router never
decides how much traffic a side can bear; `controller.strategies.routed` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import ObjectWrite
from controller.release.record import Record, Saved
from controller.release.vocabulary import Role
from controller.routers import gateway_api, ingress_nginx, istio
from controller.routers.shown import Gone, Shown
from policies.schema import ReleasePolicySpec
from policies.traffic import RouterKind

__all__ = ["ROUTERS", "Gone", "Router", "Shown", "router_of"]


class Router(Protocol):
    """What `routed` needs to know of a router."""

    @property
    def permissions(self) -> tuple[tuple[str, str, str], ...]:
        """What it needs, forward and back alike, as (verb, API group, resource)."""
        ...

    def borrows(self, policy: ReleasePolicySpec) -> tuple[tuple[Ref, str, str], ...]:
        """What it changes of other people's objects, as (object, field of its spec, API group)."""
        ...

    def reads(self, policy: ReleasePolicySpec) -> tuple[Ref, ...]:
        """The objects that every look must read."""
        ...

    def problems(self, policy: ReleasePolicySpec, seen: Observation) -> str:
        """Why no release may begin with these objects, and what to do; "" when it may."""
        ...

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        """What is borrowed of other people's objects, as it is now."""
        ...

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """The next write towards the two sides, which changes no request's way; None when both are there."""
        ...

    def reached(self, policy: ReleasePolicySpec, seen: Observation, role: Role) -> int:
        """How many pods of a version its side sends requests to, once it is asked to."""
        ...

    def shows(self, policy: ReleasePolicySpec, seen: Observation) -> Shown | Gone:
        """The split as it stands in the objects."""
        ...

    def undone(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        """Objects that show something else than we wrote last, as "object@generation"."""
        ...

    def stamp(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """The next of its objects that does not carry our fence of the record's epoch."""
        ...

    def steer(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, weight: int, *, matches: bool
    ) -> ObjectWrite | None:
        """The next write towards `weight` percent for the contender, with or without the policy's matches.

        None when the objects show it, or are gone.
        """
        ...

    def hand_back(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """The next write towards the objects as people had them; None when nothing of ours is left."""
        ...


ROUTERS: Mapping[RouterKind, Router] = {
    "ingressNginx": ingress_nginx.IngressNginx(),
    "gatewayAPI": gateway_api.GatewayApi(),
    "istio": istio.Istio(),
}


def router_of(policy: ReleasePolicySpec) -> Router | None:
    """The router that a policy names; None where the Service shares by pods."""
    traffic = policy.strategy.traffic
    return None if traffic is None else ROUTERS[traffic.kind]
