"""Laws of what stands outside the metric store: Jobs that must have succeeded, settings that must be there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.companions.config import named_in
from controller.jobs import job_ref
from controller.release.record import Record
from controller.simulation.world import World
from policies.schema import Gate
from tests.kernel.memory import Memory


def unproven(world: World, gate: Gate, record: Record, uid: str) -> str:
    """What is missing in the world for a gate that asks outside to let a stage go; "" where nothing is."""
    if gate.job is None or not gate.job.at.covers([record.stage]):
        return ""
    ref = job_ref(uid, gate.name, record.stage)
    job = world.objects.items.get(("Job", "shop", ref.name))
    if job is None:
        return f"{ref} does not exist"
    ended = {each["type"] for each in (job.get("status") or {}).get("conditions", ())}
    return "" if "Complete" in ended else f"{ref} has not succeeded ({', '.join(ended) or 'it runs'})"


def readable(world: World, memory: Memory) -> str:
    """Every ConfigMap that a Deployment with pods names is there, and a copy is never changed."""
    for (kind, namespace, name), obj in world.objects.items.items():
        if kind != "Deployment" or not obj["spec"]["replicas"]:
            continue
        for wanted in _named(obj["spec"]["template"]):
            if ("ConfigMap", namespace, wanted) not in world.objects.items:
                return f"{name} names ConfigMap {wanted}, which does not exist"
    return ""


_read: dict[int, tuple[object, frozenset[str]]] = {}  # by identity: a template of the world is replaced, never changed


def _named(template: Mapping[str, Any]) -> frozenset[str]:
    known = _read.get(id(template))
    if known is None or known[0] is not template:
        if len(_read) > 1000:
            _read.clear()
        known = _read[id(template)] = (template, frozenset(named_in(template)))
    return known[1]
