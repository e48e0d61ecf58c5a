"""Who sends requests to the contender: a router object of the cluster, and the requests that always reach it."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import ConfigDict, Field

from policies.model import Part, Problem
from policies.names import HeaderName, HeaderValue, ObjectName, ServiceName

RouterKind = Literal["ingressNginx", "gatewayAPI", "istio"]
_KINDS = "exactly one of ingressNginx, gatewayAPI, istio; without `traffic` the app's Service shares by pods"


class IngressNginx(Part):
    """ingress-nginx: a second Ingress with canary annotations stands beside the app's own."""

    ingress: ObjectName = Field(
        description="The Ingress that carries the app's traffic. While a release runs, its paths to the app lead to "
        "the incumbent's side; they are given back."
    )


class GatewayAPI(Part):
    """The Gateway API: weights and matches of an HTTPRoute."""

    http_route: ObjectName = Field(description="The HTTPRoute that carries the app's traffic.")


class Istio(Part):
    """Istio: weights and matches of a VirtualService over the subsets of a DestinationRule."""

    virtual_service: ObjectName = Field(description="The VirtualService that carries the app's traffic.")
    destination_rule: ObjectName | None = Field(
        default=None,
        description="The DestinationRule of the app's Service, if there is one. Default: one is made for the release.",
    )


Router = IngressNginx | GatewayAPI | Istio


class Match(Part):
    """Requests that reach the contender whatever the weights say: by headers or by a cookie."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["header"]}, {"required": ["cookie"]}]})

    header: Mapping[HeaderName, HeaderValue] | None = Field(
        default=None, description="Headers with the exact value of each, such as x-canary: always; all must be there."
    )
    cookie: HeaderName | None = Field(
        default=None, description="The name of a cookie; requests that carry it with the value always."
    )

    def problems(self) -> Iterator[Problem]:
        if (self.header is None) == (self.cookie is None):
            found = "a match without a condition" if self.header is None else "header and cookie in one match"
            yield Problem((), found, "exactly one of header, cookie; a list of matches is a choice between them")
        if self.header is not None and not self.header:
            yield Problem(("header",), "no header", "at least one NAME: value")
        names = [name.lower() for name in self.header or ()]
        for name in self.header or ():
            if names.count(name.lower()) > 1:
                yield Problem(("header", name), f"{name} twice", "each header once; case makes no difference")


class Traffic(Part):
    """A router that shares the traffic by weight instead of by the number of pods; exactly one."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["ingressNginx"]}, {"required": ["gatewayAPI"]}, {"required": ["istio"]}]
        }
    )

    ingress_nginx: IngressNginx | None = Field(default=None, description="An Ingress of ingress-nginx.")
    gateway_api: GatewayAPI | None = Field(
        default=None, alias="gatewayAPI", description="An HTTPRoute of the Gateway API."
    )
    istio: Istio | None = Field(default=None, description="A VirtualService of Istio.")
    service: ServiceName | None = Field(
        default=None,
        description="The app's Service, as the rules of the router name it. Default: the name of the Deployment.",
    )
    match: tuple[Match, ...] = Field(
        default=(),
        strict=False,
        max_length=8,
        description="Requests that always reach the contender, whatever the weights say; any of them is enough.",
    )

    def routers(self) -> Mapping[RouterKind, Router]:
        """The routers by their name in YAML: one item once the part is legal."""
        fields: Mapping[RouterKind, Router | None] = {
            "ingressNginx": self.ingress_nginx,
            "gatewayAPI": self.gateway_api,
            "istio": self.istio,
        }
        return {kind: router for kind, router in fields.items() if router is not None}

    @property
    def kind(self) -> RouterKind:
        return next(iter(self.routers()))

    def problems(self) -> Iterator[Problem]:
        kinds = list(self.routers())
        if len(kinds) != 1:
            yield Problem((), f"{' and '.join(kinds)}" if kinds else "no router", _KINDS)
        elif self.ingress_nginx is not None:
            yield from self._nginx_problems()

    def _nginx_problems(self) -> Iterator[Problem]:
        """A canary Ingress has one annotation for a header and one for a cookie."""
        first: dict[str, int] = {}
        for index, match in enumerate(self.match):
            kind = "header" if match.header is not None else "cookie"
            if first.setdefault(kind, index) != index:
                allowed = f"at most one match by {kind} with ingressNginx"
                yield Problem(("match", index), f"a second match by {kind}, after match[{first[kind]}]", allowed)
            if match.header is not None and len(match.header) > 1:
                found = f"{len(match.header)} headers in one match"
                yield Problem(("match", index, "header"), found, "one header with ingressNginx")
