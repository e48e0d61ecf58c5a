"""Policies and releases for tests: legal ones as plain objects, changed in a word or two."""

import copy
from typing import Any

from policies.load import from_object, release_from_object
from policies.schema import Release, ReleasePolicy, Twin

Object = dict[str, Any]

ERRORS: Object = {
    "name": "errors",
    "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
}
GAUGE: Object = {"name": "memory", "gauge": {"query": 'process_resident_memory_bytes{pod="$pods"}'}}
THROUGHPUT: Object = {"name": "orders", "throughput": {"events": "orders_completed_total"}}
LATENCY: Object = {"name": "latency", "latency": {"histogram": "http_request_duration_seconds_bucket"}}


def a_policy_object(**spec: Any) -> Object:
    """An object as the cluster holds it; keywords replace fields of the spec."""
    return {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "6a1b", "resourceVersion": "12"},
        "spec": {
            "target": {"deployment": "checkout"},
            "strategy": {"twin": {}},
            "gates": [copy.deepcopy(ERRORS)],
        }
        | spec,
    }


def a_policy(**spec: Any) -> ReleasePolicy:
    return from_object(a_policy_object(**spec))


def a_gate(kind: Object = ERRORS, **fields: Any) -> Object:
    return copy.deepcopy(kind) | fields


def a_twin(**fields: Any) -> Twin:
    return Twin.model_validate(fields)


def a_release(**spec: Any) -> Release:
    return release_from_object(
        {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "Release",
            "metadata": {"name": "checkout-7", "namespace": "shop"},
            "spec": {"policy": "checkout", "images": {"app": "registry.example/checkout:v42"}} | spec,
        }
    )
