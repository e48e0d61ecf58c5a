"""What a router does with a request by what its objects say: ingress-nginx, the Gateway API, Istio.

A request goes to one of a few destinations, each with its share. The rules are those of the routers' own documentation
(and of ingress-nginx's balancer.lua): which rule wins, what a weight means, and what becomes of a request whose
destination has no pod. The simulation shares its load by them, and the load generator of the cluster tests follows the
real objects by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from controller.release.names import Ref
from policies.schema import ReleasePolicySpec
from policies.traffic import RouterKind

if TYPE_CHECKING:
    from controller.simulation.world import World

Object = Mapping[str, Any]
EntranceKind = Literal["Ingress", "HTTPRoute", "VirtualService"]
_NGINX = "nginx.ingress.kubernetes.io/canary"


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of request: where it is sent, and the headers that a router may look at (names in lower case)."""

    host: str = "shop.example"
    path: str = "/checkout"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a share of the requests goes: the ready pods behind `service` that carry `labels`.

    Without a service, or without such a pod, those requests are answered by nobody.
    """

    share: float
    service: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


NOBODY = (Destination(1.0),)
Serves = Callable[[Destination], bool]


def destinations(entrance: Ref, objects: Mapping[Ref, Object], asked: Asked, serves: Serves) -> tuple[Destination, ...]:
    """Where requests of a kind go, by the objects of one namespace; shares add up to 1.

    serves: whether a destination has a ready pod; ingress-nginx chooses by that.
    """
    route = objects.get(entrance)
    if route is None:
        return NOBODY
    match entrance.kind:
        case "Ingress":
            return _of_ingress(route, objects, asked, serves)
        case "HTTPRoute":
            return _of_http_route(route, asked)
        case "VirtualService":
            return _of_virtual_service(route, objects, asked)
    raise ValueError(f"{entrance} sends nothing anywhere")


# ------------------------------------------------------------------------------------------------ ingress-nginx


def _of_ingress(
    ingress: Object, objects: Mapping[Ref, Object], asked: Asked, serves: Serves
) -> tuple[Destination, ...]:
    main = _backend(ingress, asked)
    if main is None or not serves(Destination(1.0, main)):
        return NOBODY  # 503, whatever a canary says
    canaries = [
        obj for ref, obj in objects.items() if ref.kind == "Ingress" and _annotations(obj).get(_NGINX) == "true"
    ]
    for canary in canaries:
        other = _backend(canary, asked)
        if other is None or not serves(Destination(1.0, other)):
            continue  # a canary without a pod is left out
        share = _canary_share(_annotations(canary), asked)
        return _shares([(1.0 - share, Destination(1.0, main)), (share, Destination(1.0, other))])
    return (Destination(1.0, main),)


def _annotations(obj: Object) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}


def _backend(ingress: Object, asked: Asked) -> str | None:
    """The Service of the longest path that fits."""
    best: tuple[int, str] | None = None
    for rule in (ingress.get("spec") or {}).get("rules") or ():
        if rule.get("host") not in (None, asked.host):
            continue
        for path in (rule.get("http") or {}).get("paths") or ():
            text = str(path.get("path", "/"))
            fits = asked.path == text if path.get("pathType") == "Exact" else _under(asked.path, text)
            name = ((path.get("backend") or {}).get("service") or {}).get("name")
            if fits and name and (best is None or len(text) > best[0]):
                best = (len(text), str(name))
    return best[1] if best is not None else None


def _under(path: str, prefix: str) -> bool:
    """Whether a path is a prefix's own or below it, by whole elements."""
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def _canary_share(annotations: Mapping[str, str], asked: Asked) -> float:
    """The header first, then the cookie, then the weight."""
    header = asked.headers.get(annotations.get(f"{_NGINX}-by-header", "").lower())
    if header is not None:
        if value := annotations.get(f"{_NGINX}-by-header-value"):
            if header == value:
                return 1.0
        elif pattern := annotations.get(f"{_NGINX}-by-header-pattern"):
            if re.search(pattern, header):
                return 1.0
        elif header in ("always", "never"):
            return float(header == "always")
    cookie = _cookies(asked).get(annotations.get(f"{_NGINX}-by-cookie", ""))
    if cookie in ("always", "never"):
        return float(cookie == "always")
    total = max(100, int(annotations.get(f"{_NGINX}-weight-total", "100")))
    return min(1.0, int(annotations.get(f"{_NGINX}-weight", "0")) / total)


def _cookies(asked: Asked) -> dict[str, str]:
    parts = (part.strip().partition("=") for part in asked.headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in parts if name}


# ------------------------------------------------------------------------------------------------ the Gateway API


def _of_http_route(route: Object, asked: Asked) -> tuple[Destination, ...]:
    best: tuple[tuple[int, int, int], Object] | None = None
    for order, rule in enumerate((route.get("spec") or {}).get("rules") or ()):
        for found in rule.get("matches") or ({"path": {"type": "PathPrefix", "value": "/"}},):
            if (weight := _match_weight(found, asked)) is not None:
                # The longest path, then the most headers, then the first rule.
                rank = (*weight, -order)
                if best is None or rank > best[0]:
                    best = (rank, rule)
    if best is None:
        return NOBODY
    references = best[1].get("backendRefs") or ()
    return _shares([(_weight(each, 1), Destination(1.0, str(each.get("name")))) for each in references])


def _match_weight(found: Object, asked: Asked) -> tuple[int, int] | None:
    """(length of the path, number of headers) of a match that fits."""
    path = found.get("path") or {}
    text = str(path.get("value", "/"))
    fits = asked.path == text if path.get("type") == "Exact" else _under(asked.path, text)
    headers = found.get("headers") or ()
    for each in headers:
        value = asked.headers.get(str(each.get("name", "")).lower())
        if value is None or not _is(value, str(each.get("value", "")), regular=each.get("type") == "RegularExpression"):
            return None
    return (len(text), len(headers)) if fits else None


def _is(value: str, wanted: str, *, regular: bool) -> bool:
    return re.fullmatch(wanted, value) is not None if regular else value == wanted


# --------------------------------------------------------------------------------------------------------- Istio


def _of_virtual_service(service: Object, objects: Mapping[Ref, Object], asked: Asked) -> tuple[Destination, ...]:
    for rule in (service.get("spec") or {}).get("http") or ():
        if not _http_fits(rule, asked):
            continue
        routes = rule.get("route") or ()
        shares = [(_weight(each, 100 if len(routes) == 1 else 0), _subset(each, objects)) for each in routes]
        return _shares(shares)
    return NOBODY


def _http_fits(rule: Object, asked: Asked) -> bool:
    conditions = rule.get("match")
    return not conditions or any(_condition_fits(each, asked) for each in conditions)


def _condition_fits(condition: Object, asked: Asked) -> bool:
    if (uri := condition.get("uri")) is not None and not _string_fits(asked.path, uri):
        return False
    headers: Mapping[str, Object] = condition.get("headers") or {}
    return all(
        (value := asked.headers.get(name.lower())) is not None and _string_fits(value, wanted)
        for name, wanted in headers.items()
    )


def _string_fits(value: str, wanted: Object) -> bool:
    if "exact" in wanted:
        return bool(value == wanted["exact"])
    if "prefix" in wanted:
        return value.startswith(str(wanted["prefix"]))
    return "regex" not in wanted or re.fullmatch(str(wanted["regex"]), value) is not None


def _subset(reference: Object, objects: Mapping[Ref, Object]) -> Destination:
    """A destination's pods; a subset that no DestinationRule of the host knows is nobody's."""
    destination = reference.get("destination") or {}
    service = str(destination.get("host", "")).partition(".")[0]
    subset = destination.get("subset")
    if not subset:
        return Destination(1.0, service)
    for ref, obj in objects.items():
        spec = obj.get("spec") or {}
        if ref.kind == "DestinationRule" and str(spec.get("host", "")).partition(".")[0] == service:
            for each in spec.get("subsets") or ():
                if each.get("name") == subset:
                    return Destination(1.0, service, each.get("labels") or {})
    return Destination(1.0)


# -------------------------------------------------------------------------------------------------------- shares


def _weight(reference: Object, without: int) -> float:
    weight = reference.get("weight")
    return float(without if weight is None else weight)


def _shares(weighted: Sequence[tuple[float, Destination]]) -> tuple[Destination, ...]:
    total = sum(weight for weight, _ in weighted)
    if total <= 0.0:
        return NOBODY
    return tuple(Destination(weight / total, each.service, each.labels) for weight, each in weighted if weight > 0.0)


# ---------------------------------------------------------------------------------------------- in the simulation


def furnish(world: World, policy: ReleasePolicySpec, namespace: str) -> None:
    """The objects of the router that a policy names, and the app's load sent through them instead of to its Service."""
    traffic = policy.strategy.traffic
    if traffic is None:
        return
    service = traffic.service or policy.target.deployment
    if traffic.ingress_nginx is not None:
        names = {"Ingress": traffic.ingress_nginx.ingress}
    elif traffic.gateway_api is not None:
        names = {"HTTPRoute": traffic.gateway_api.http_route}
    elif traffic.istio is not None:
        names = {"VirtualService": traffic.istio.virtual_service}
        if traffic.istio.destination_rule is not None:
            names["DestinationRule"] = traffic.istio.destination_rule
    entrance: EntranceKind = _ENTRANCES[traffic.kind]
    for obj in objects_of(entrance, service):
        if obj["kind"] in names:
            world.create({**obj, "metadata": {"name": names[obj["kind"]]}}, namespace)
    world.entrances[namespace, service] = Ref(entrance, names[entrance])


_ENTRANCES: Mapping[RouterKind, EntranceKind] = {
    "ingressNginx": "Ingress",
    "gatewayAPI": "HTTPRoute",
    "istio": "VirtualService",
}
KINDS = frozenset({"Ingress", "HTTPRoute", "VirtualService", "DestinationRule"})


# ------------------------------------------------------------------------------------------- objects of an app


def objects_of(kind: EntranceKind, service: str) -> Iterator[dict[str, Any]]:
    """The objects of a team whose app stands behind a router: its rule, and a rule of another app."""
    if kind == "Ingress":
        paths = [
            {"path": f"/{name}", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}}
            for name in (service, "cart")
        ]
        yield {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": service},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "shop.example", "http": {"paths": paths}}]},
        }
    elif kind == "HTTPRoute":
        yield {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": service},
            "spec": {
                "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}],
                "hostnames": ["shop.example"],
                "rules": [
                    {
                        "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
                        "backendRefs": [{"kind": "Service", "name": name, "port": 80, "weight": 1}],
                    }
                    for name in ("cart", service)
                ],
            },
        }
    else:
        yield {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": service},
            "spec": {
                "hosts": ["shop.example"],
                "http": [
                    {"match": [{"uri": {"prefix": f"/{name}"}}], "route": [{"destination": {"host": name}}]}
                    for name in ("cart", service)
                ],
            },
        }
        yield {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": service},
            "spec": {"host": service, "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}},
        }


def delete_route(world: World, namespace: str, service: str) -> None:
    """Somebody deletes the object that carries the app's requests; callers inside the cluster go on.

    Raises ValueError where there is none.
    """
    entrance = _entrance(world, namespace, service)
    del world.entrances[namespace, service]
    world.delete(entrance.kind, entrance.name, namespace=namespace)


def set_route_back(world: World, namespace: str, service: str, manager: str) -> None:
    """A tool writes the route as it stands in its own source. Raises ValueError where there is none."""
    entrance = _entrance(world, namespace, service)
    kind = next(kind for kind in _ENTRANCES.values() if kind == entrance.kind)
    wanted = next(obj for obj in objects_of(kind, service) if obj["kind"] == kind)
    world.edit(entrance.kind, entrance.name, {"spec": wanted["spec"]}, namespace=namespace, manager=manager)


def _entrance(world: World, namespace: str, service: str) -> Ref:
    entrance = world.entrances.get((namespace, service))
    if entrance is None:
        raise ValueError(f"no route leads to {namespace}/{service} (any more)")
    return entrance
