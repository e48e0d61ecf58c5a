"""The spare Deployment of an app: its name, and how it is made out of the one that serves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from controller.release.names import CLAIM_ANNOTATION, GROUP, SLOT_LABEL
from controller.release.observation import Claim, SlotState
from controller.slots import claim_text, match_expressions

SPARE_SUFFIX = "-twin"


def app_of(slot_name: str) -> str:
    """The first Deployment of the app whose slot this is."""
    return slot_name.removesuffix(SPARE_SUFFIX)


def slot_template(template: Mapping[str, Any], slot_name: str) -> dict[str, Any]:
    """The template as this slot carries it: the twin's pods have the slot label, the first slot's have not."""
    held = copy.deepcopy(dict(template))
    labels = held.setdefault("metadata", {}).setdefault("labels", {})
    if slot_name.endswith(SPARE_SUFFIX):
        labels[SLOT_LABEL] = "twin"
    else:
        labels.pop(SLOT_LABEL, None)
    return held


def spare_manifest(live: SlotState, name: str, template: Mapping[str, Any], claim: Claim) -> dict[str, Any]:
    """The spare Deployment: the live one's spec, its own selector label, no replicas, nobody's tracking labels.

    Labels of the live Deployment itself are not copied: a GitOps tool would take the copy for its own and prune it.
    """
    spec = live.raw.get("spec") or {}
    labels = dict((spec.get("selector") or {}).get("matchLabels") or {})
    if name.endswith(SPARE_SUFFIX):
        labels[SLOT_LABEL] = "twin"
    else:
        labels.pop(SLOT_LABEL, None)
    selector: dict[str, Any] = {"matchLabels": labels} if labels else {}
    if expressions := match_expressions(live.raw):
        selector["matchExpressions"] = [dict(each) for each in expressions]
    copied = {
        key: spec[key]
        for key in ("strategy", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
        if key in spec
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "nightferry", f"{GROUP}/app": app_of(live.name)},
            "annotations": {CLAIM_ANNOTATION: claim_text(claim)},
        },
        "spec": {
            **copied,
            "replicas": 0,
            "selector": selector,
            "template": slot_template(template, name),
        },
    }
