"""May this Service be switched? Everything about Services that could be known beforehand to send requests astray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release.observation import Observation
from controller.requests.looks import Neighbours
from controller.services import pod_labels, selector_of, selects, words
from controller.strategies import pins
from policies.bluegreen import BlueGreen
from policies.schema import ReleasePolicySpec

Object = Mapping[str, Any]


def service_problems(blue: BlueGreen, policy: ReleasePolicySpec, seen: Observation, around: Neighbours) -> Finding:
    """What is wrong with the Service to be switched, with the name of its preview, or with other Services."""
    services = {str((each.get("metadata") or {}).get("name")): each for each in around.services}
    service = services.get(blue.service)
    if service is None:
        return Refusal(f"Service {blue.service} does not exist: create it, or correct spec.strategy.blueGreen.service")
    return (
        _of_itself(blue.service, service, seen)
        or _of_preview(blue, services.get(blue.previews), policy.target.deployment)
        or _of_others(blue, seen, services)
    )


def _of_itself(name: str, service: Object, seen: Observation) -> Finding:
    spec, selector = service.get("spec") or {}, selector_of(service)
    if spec.get("type") == "ExternalName":
        return Refusal(
            f"Service {name} is of type ExternalName: it sends nothing to pods, so there is nothing to switch"
        )
    if spec.get("clusterIP") == "None":
        return Refusal(
            f"Service {name} is headless: its clients keep the pods' addresses, so a switch of its selector switches "
            "nothing; name a Service with an address of its own"
        )
    if not selector:
        return Refusal(f"Service {name} has no selector: its endpoints are not ours to switch")
    pin = pins.pin_of(service)
    if pins.HASH in selector and (pin is None or pin.uid != seen.uid):
        by = (
            f"by release {pin.release}, which did not end cleanly: run {seen.command('restore')}"
            if pin
            else "by hand: remove it"
        )
        return Refusal(f"Service {name} selects {pins.HASH} already, {by}")
    live = seen.incumbent
    labels = pod_labels(live.raw) if live is not None else {}
    own = {key: value for key, value in selector.items() if key != pins.HASH}
    if live is not None and not selects(own, labels):
        return Refusal(
            f"Service {name} selects {words(own)}, and the pods of {live.name} carry {words(labels)}: it "
            "selects nothing of this app; correct the selector or spec.strategy.blueGreen.service"
        )
    return owned({**service, "kind": "Service"}, (("spec", "selector"),))


def _of_preview(blue: BlueGreen, preview: Object | None, app: str) -> Finding:
    if preview is None or pins.is_ours(preview, app):
        return None
    return Refusal(
        f"Service {blue.previews} exists and is not ours: name another one in spec.strategy.blueGreen.preview, or "
        "delete it"
    )


def _of_others(blue: BlueGreen, seen: Observation, services: Mapping[str, Object]) -> Finding:
    """Services that reach the contender as soon as it has pods, whatever we pin."""
    live = seen.incumbent
    if live is None or blue.allow_others:
        return None
    labels = pod_labels(live.raw)
    others = sorted(
        name
        for name, each in services.items()
        if name not in (blue.service, blue.previews) and selects(selector_of(each), labels)
    )
    if not others:
        return None
    return Refusal(
        f"Service {', '.join(others)} selects the pods of this app too and would send requests to the preview at once: "
        "narrow its selector, or say spec.strategy.blueGreen.allowOthers: true"
    )


def gate_problems(policy: ReleasePolicySpec) -> Finding:
    """A preview gets as many requests as somebody sends it: how much work it does says nothing of the version."""
    unfit: Sequence[str] = [gate.name for gate in policy.gates if gate.required and gate.throughput is not None]
    if not unfit:
        return None
    return Refusal(
        f"gate {', '.join(unfit)} counts how much work is done, and a preview gets only what a tester sends it: say "
        "required: false, or leave it out of a blueGreen policy"
    )
