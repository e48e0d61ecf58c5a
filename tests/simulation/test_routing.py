"""What the simulated routers do with a request, by the words of their own documentation."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from controller.release.names import Ref
from controller.simulation.routing import Asked, Destination, destinations
from controller.simulation.scenario import Run, read_script

HOST = "shop.example"


def objects(text: str) -> dict[Ref, Any]:
    return {Ref(obj["kind"], obj["metadata"]["name"]): obj for obj in yaml.safe_load_all(text)}


def shares(found: tuple[Destination, ...]) -> dict[str, float]:
    return {
        each.service + "".join(f"[{value}]" for value in each.labels.values()): round(each.share, 3) for each in found
    }


def everybody(_: Destination) -> bool:
    return True


NGINX = """
kind: Ingress
metadata: {name: app}
spec:
  rules:
  - {host: shop.example, http: {paths: [
      {path: /, pathType: Prefix, backend: {service: {name: home}}},
      {path: /app, pathType: Prefix, backend: {service: {name: app}}}]}}
---
kind: Ingress
metadata:
  name: app-canary
  annotations:
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-weight: "20"
    nginx.ingress.kubernetes.io/canary-by-header: X-Canary
    nginx.ingress.kubernetes.io/canary-by-header-value: mine
    nginx.ingress.kubernetes.io/canary-by-cookie: preview
spec:
  rules:
  - {host: shop.example, http: {paths: [{path: /app, pathType: Prefix, backend: {service: {name: new}}}]}}
"""


@pytest.mark.parametrize(
    ("path", "headers", "wanted"),
    [
        ("/app/cart", {}, {"app": 0.8, "new": 0.2}),
        ("/application", {}, {"home": 1.0}),
        ("/", {}, {"home": 1.0}),
        ("/app", {"x-canary": "mine"}, {"new": 1.0}),
        ("/app", {"x-canary": "other"}, {"app": 0.8, "new": 0.2}),
        ("/app", {"cookie": "a=b; preview=always"}, {"new": 1.0}),
        ("/app", {"cookie": "preview=never"}, {"app": 1.0}),
        ("/app", {"cookie": "preview=maybe"}, {"app": 0.8, "new": 0.2}),
    ],
)
def test_ingress_nginx_looks_at_the_header_then_the_cookie_then_the_weight(
    path: str, headers: dict[str, str], wanted: dict[str, float]
) -> None:
    found = destinations(Ref("Ingress", "app"), objects(NGINX), Asked(HOST, path, headers), everybody)
    assert shares(found) == wanted


def test_ingress_nginx_leaves_out_an_empty_canary_and_answers_nothing_for_an_empty_app() -> None:
    def only(name: str) -> Any:
        return lambda to: to.service == name

    asked = Asked(HOST, "/app", {"x-canary": "mine"})
    assert shares(destinations(Ref("Ingress", "app"), objects(NGINX), asked, only("app"))) == {"app": 1.0}
    assert shares(destinations(Ref("Ingress", "app"), objects(NGINX), asked, only("new"))) == {"": 1.0}


ROUTE = """
kind: HTTPRoute
metadata: {name: app}
spec:
  rules:
  - backendRefs: [{name: home}]
  - matches: [{path: {type: PathPrefix, value: /app}}]
    backendRefs: [{name: app, weight: 3}, {name: new, weight: 1}, {name: off, weight: 0}]
  - matches:
    - {path: {type: PathPrefix, value: /app}, headers: [{name: X-Canary, value: mine}]}
    - path: {type: PathPrefix, value: /app}
      headers: [{type: RegularExpression, name: cookie, value: '(.*; )?p=1(;.*)?'}]
    backendRefs: [{name: new}]
"""


@pytest.mark.parametrize(
    ("path", "headers", "wanted"),
    [
        ("/app", {}, {"app": 0.75, "new": 0.25}),
        ("/else", {}, {"home": 1.0}),
        ("/app/x", {"x-canary": "mine"}, {"new": 1.0}),
        ("/app/x", {"cookie": "a=b; p=1"}, {"new": 1.0}),
        ("/app/x", {"cookie": "xp=1"}, {"app": 0.75, "new": 0.25}),
    ],
)
def test_a_gateway_takes_the_longest_path_then_the_most_headers(
    path: str, headers: dict[str, str], wanted: dict[str, float]
) -> None:
    found = destinations(Ref("HTTPRoute", "app"), objects(ROUTE), Asked(HOST, path, headers), everybody)
    assert shares(found) == wanted


MESH = """
kind: VirtualService
metadata: {name: app}
spec:
  http:
  - match: [{uri: {prefix: /app}, headers: {x-canary: {exact: mine}}}]
    route: [{destination: {host: app, subset: new}}]
  - match: [{uri: {prefix: /app}}]
    route:
    - {destination: {host: app, subset: old}, weight: 60}
    - {destination: {host: app, subset: unknown}, weight: 40}
---
kind: DestinationRule
metadata: {name: app}
spec: {host: app, subsets: [{name: old, labels: {v: "1"}}, {name: new, labels: {v: "2"}}]}
"""


@pytest.mark.parametrize(
    ("path", "headers", "wanted"),
    [
        ("/app", {"x-canary": "mine"}, {"app[2]": 1.0}),
        ("/app", {}, {"app[1]": 0.6, "": 0.4}),
        ("/else", {}, {"": 1.0}),
    ],
)
def test_a_mesh_takes_the_first_route_that_fits_and_knows_subsets_only(
    path: str, headers: dict[str, str], wanted: dict[str, float]
) -> None:
    found = destinations(Ref("VirtualService", "app"), objects(MESH), Asked(HOST, path, headers), everybody)
    assert shares(found) == wanted


def test_an_entrance_that_is_gone_leads_nowhere() -> None:
    assert shares(destinations(Ref("HTTPRoute", "app"), {}, Asked(), everybody)) == {"": 1.0}


# ---------------------------------------------------------------------------------------- no request is lost


@pytest.mark.parametrize(
    "traffic",
    [
        "{ingressNginx: {ingress: checkout}}",
        "{gatewayAPI: {httpRoute: checkout}}",
        "{istio: {virtualService: checkout, destinationRule: checkout}}",
        "{istio: {virtualService: checkout}}",
    ],
)
@pytest.mark.parametrize(
    ("pods", "more", "event"),
    [
        ("10", "", ""),
        ("3", ", surge 0, unavailable 1", ""),
        ("10", ", surge 4, unavailable 3", "1m after Batch 1: errors contender=6.00%"),
        ("10", "", "30s after Batch 2: abort enough"),
        ("10", "", "1m after Batch 1: scale incumbent 14"),
    ],
)
def test_no_request_is_lost_in_a_release_whose_pods_live(traffic: str, pods: str, more: str, event: str) -> None:
    script = read_script(
        f"# No request is lost.\nrelease checkout v41 -> v42, {pods} pods, batches 1 50% 100%{more}\nload 500/s\n"
        f"errors 0.50%\npolicy {{strategy: {{traffic: {traffic}}}}}\n{event}\n----\n",
        "lost.txt",
    )
    run = Run(None, script, seed=3)
    story = run.to_end()
    assert story.outcome in ("Succeeded", "RolledBack")
    assert run.world.traffic.lost == 0.0
