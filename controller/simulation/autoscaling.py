"""Simulated autoscalers: what the real controller does with one, and what the API server makes of it.

Each sync first lifts or lowers the target into minReplicas and maxReplicas, whatever the behaviour says; a target at 0
is left alone. Then the metrics speak: they count the pods that the target's selector finds, those of a second
Deployment too, so what they want is wanted of the app as a whole, and is written to the one target. A direction whose
policy is Disabled moves nothing. What metrics want stands in an annotation of the autoscaler, for lack of a metrics
server; without it they want nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controller.simulation.objects import Object

if TYPE_CHECKING:
    from controller.simulation.world import World

WANTS = "simulation/wants"
PERIOD = 15.0  # seconds between syncs
MANAGER = "kube-controller-manager"
_RULES: Mapping[str, Mapping[str, Any]] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
}


def completed(obj: Object) -> Object:
    """What the API server fills in: the least number, and both directions of a behaviour, but no behaviour."""
    spec = {"minReplicas": 1, **obj.get("spec", {})}
    if spec.get("behavior") is not None:
        spec["behavior"] = {
            direction: {**copy.deepcopy(dict(rules)), **(spec["behavior"].get(direction) or {})}
            for direction, rules in _RULES.items()
        }
    return {**obj, "spec": spec}


def sync(world: World) -> None:
    """One round of the controller over all autoscalers of the world."""
    for (kind, namespace, _), scaler in sorted(world.objects.items.items()):
        if kind != "HorizontalPodAutoscaler":
            continue
        spec = scaler["spec"]
        target = world.objects.items.get(("Deployment", namespace, spec["scaleTargetRef"]["name"]))
        replicas = int(target["spec"]["replicas"]) if target is not None else 0
        if target is None or replicas == 0:
            continue
        wanted = _wanted(scaler, replicas)
        if wanted != replicas:
            name = target["metadata"]["name"]
            world.edit("Deployment", name, {"spec": {"replicas": wanted}}, namespace=namespace, manager=MANAGER)


def told(scaler: Object) -> str:
    """An autoscaler in the words of a scenario: its bounds, its target, and whether it sleeps."""
    spec = scaler["spec"]
    rules = spec.get("behavior") or {}
    asleep = all((rules.get(direction) or {}).get("selectPolicy") == "Disabled" for direction in _RULES)
    state = "asleep" if asleep else "awake" if spec.get("behavior") is None else "awake, with a behaviour of its own"
    return f"{spec['minReplicas']} to {spec['maxReplicas']} on {spec['scaleTargetRef']['name']}, {state}"


def _wanted(scaler: Object, replicas: int) -> int:
    spec = scaler["spec"]
    least, most = int(spec["minReplicas"]), int(spec["maxReplicas"])
    if not least <= replicas <= most:
        return min(max(replicas, least), most)
    wants = (scaler["metadata"].get("annotations") or {}).get(WANTS)
    if wants is None:
        return replicas
    wanted = min(max(int(wants), least), most)
    direction = "scaleUp" if wanted > replicas else "scaleDown"
    rules = (spec.get("behavior") or {}).get(direction) or {}
    return replicas if rules.get("selectPolicy") == "Disabled" else wanted
