"""May this release begin? Everything that could be known beforehand to end badly is asked before anything moves.

A refusal ends the release at once and says what to do. A hold waits for what time may mend (a pod that is not ready,
a store that does not answer) until the policy's batch deadline. A wait for the learner is short, and the release begins
after it with what was learned so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.release import SLOT_LABEL, HoldReason, Observation, Origin, SlotState
from controller.requests import Counts, Failure, FailureKind, Neighbours, Permission
from controller.slots import match_labels, writer_of
from controller.templates import images
from policies.schema import ReleasePolicySpec

# Forward and back alike: a release that could not be undone does not begin.
PERMISSIONS = (
    Permission("get", "apps", "deployments"),
    Permission("create", "apps", "deployments"),
    Permission("patch", "apps", "deployments"),
    Permission("list", "", "pods"),
    Permission("get", "nightferry.dev", "releases"),
    Permission("patch", "nightferry.dev", "releases/status"),
    Permission("create", "", "events"),
)

# Field managers of GitOps tools, which write a field again whenever it differs from their source.
GITOPS = ("argocd", "argocd-application-controller", "argocd-controller", "kustomize-controller", "helm-controller",
          "flux", "fleet-agent", "config-sync", "vela-core")  # fmt: skip

_IGNORE = (
    "ignoreDifferences: [{group: apps, kind: Deployment, name: %s, jsonPointers: [/spec/replicas, /spec/template]}]"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """This release must not begin; `because` says what is wrong and what to do."""

    because: str


@dataclass(frozen=True, slots=True)
class Wait:
    """This release may begin later. What is not there after the policy's batch deadline ends it."""

    reason: HoldReason
    because: str


LEARNING_PATIENCE = 180.0  # seconds that a release waits for the learner to hold the last hour against its baseline


@dataclass(frozen=True, slots=True)
class Learning:
    """This release waits a bounded time for what the learner says, and then begins with what is there."""

    because: str


Finding = Refusal | Wait | Learning | None


def of_slots(seen: Observation, origin: Origin, *, digest: str, target: str) -> Finding:
    """The app's own two Deployments. `digest` is the contender's version, "" where it is not known yet."""
    live, spare = seen.incumbent, seen.contender
    if live is None:
        return no_deployment(target)
    for slot in filter(None, (live, spare)):
        if finding := _of_slot(slot, seen):
            return finding
    if spare is not None and spare.replicas > 0:
        return Refusal(
            f"both {live.name} ({live.replicas} pods) and {spare.name} ({spare.replicas} pods) have replicas: "
            "scale the one that should not serve to 0, then release again"
        )
    if live.replicas == 0:
        return Refusal(f"{live.name} has 0 replicas: there is nothing to release; scale it up first")
    if origin == "change" and digest and digest == live.digest:
        return Refusal(f"{live.name} serves this version already (digest {digest}): nothing to release")
    if origin != "change":
        return None  # going back from a bad version: its health is the reason, not an obstacle
    if not live.observed:
        return Wait(HoldReason.NOT_OBSERVED, f"the last change of {live.name} has not been acted upon yet")
    running = {pod.replica_set for pod in seen.incumbents if not pod.terminating}
    if len(running) > 1:
        return Wait(
            HoldReason.INCUMBENT_UNHEALTHY,
            f"{live.name} is in the middle of another rollout: pods of {', '.join(sorted(running))}",
        )
    if (ready := seen.available("incumbent")) < live.replicas:
        return Wait(
            HoldReason.INCUMBENT_UNHEALTHY,
            f"{ready} of {live.replicas} incumbent pods are ready: there would be no healthy version to go back to",
        )
    return None


def no_deployment(name: str) -> Refusal:
    """The app has nothing that serves."""
    return Refusal(f"Deployment {name} does not exist: create it, or correct spec.target.deployment of the policy")


def _of_slot(slot: SlotState, seen: Observation) -> Finding:
    if slot.deleting:
        return Refusal(f"Deployment {slot.name} is being deleted")
    claim = slot.claim
    if claim is not None and claim.uid != seen.uid:
        return Refusal(
            f"Deployment {slot.name} is claimed by release {claim.release}, which did not end cleanly: "
            "run `nightferry restore` for this app first"
        )
    if slot.paused:
        by = writer_of(slot.raw, "spec", "paused")
        return Refusal(
            f"Deployment {slot.name} was paused by {by}: run `kubectl rollout resume deployment/{slot.name}` first"
        )
    metadata = slot.raw.get("metadata") or {}
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return Refusal(
                f"Deployment {slot.name} belongs to {owner.get('kind')} {owner.get('name')}, which would undo every "
                "change: name that object's own tool instead, or remove the owner"
            )
    for field in ("replicas", "template"):
        if (manager := writer_of(slot.raw, "spec", field)) in GITOPS:
            return Refusal(
                f"{manager} owns spec.{field} of Deployment {slot.name} and would set it back in mid-release. Let it "
                f"ignore the field ({_IGNORE % slot.name}), then release again"
            )
    return None


def of_plan(policy: ReleasePolicySpec, desired: int, window: float | None) -> Finding:
    """Whether the policy's sizes can move `desired` pods, and its observation holds a window of its source."""
    twin = policy.strategy.twin
    if twin is not None and twin.surge(desired) + twin.unavailable(desired) == 0:
        return Refusal(
            f"maxSurge {twin.max_surge} and maxUnavailable {twin.max_unavailable} both mean 0 of {desired} pods: "
            "nothing could ever move; set one of them to a number of pods"
        )
    if window is not None and policy.observe.at_least.seconds < window:
        return Refusal(
            f"observe.atLeast {policy.observe.at_least} is shorter than a window of metric source "
            f"{policy.metrics.source} ({window:g} s): no gate could see anything"
        )
    return None


def of_template(seen: Observation, template: Mapping[str, Any]) -> Finding:
    """Whether both slots would select the contender's pods: a selector is for good, and another's slot is not ours."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    for slot in filter(None, (seen.incumbent, seen.contender)):
        for key, value in match_labels(slot.raw):
            if key != SLOT_LABEL and labels.get(key) != value:
                found = f"{key}={labels[key]}" if key in labels else f"no label {key}"
                what = "keep the label in the release" if slot is seen.incumbent else "rename that Deployment"
                return Refusal(
                    f"Deployment {slot.name} selects pods with {key}={value}, and the contender's template has "
                    f"{found}: {what}"
                )
    return None


def of_prepared(spare: SlotState, template: Mapping[str, Any]) -> Finding:
    """Whether the API server kept the images that were asked for."""
    asked, held = images(template), images((spare.raw.get("spec") or {}).get("template") or {})
    for container, image in asked.items():
        if held.get(container) != image:
            return Refusal(
                f"Deployment {spare.name} was given image {image} for container {container} and holds "
                f"{held.get(container)}: an admission webhook or another writer changes it"
            )
    return None


def of_neighbours(
    policy_name: str, policy: ReleasePolicySpec, slots: Sequence[str], seen: Observation, around: Neighbours
) -> tuple[Finding, tuple[str, ...]]:
    """What else touches these Deployments -> (finding, notes for the release's plan)."""
    for other in around.policies:
        name = (other.get("metadata") or {}).get("name")
        target = (((other.get("spec") or {}).get("target")) or {}).get("deployment")
        if name != policy_name and target and _overlap(str(target), policy.target.deployment):
            return (
                Refusal(
                    f"policies {policy_name} and {name} both target Deployment {target}: delete one of them; "
                    "until then neither releases"
                ),
                (),
            )
    for scaler in around.autoscalers:
        ref = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
        if ref.get("kind") == "Deployment" and ref.get("name") in slots:
            name = (scaler.get("metadata") or {}).get("name")
            return (
                Refusal(
                    f"HorizontalPodAutoscaler {name} scales Deployment {ref.get('name')} and would fight the batches: "
                    "this version cannot release under an autoscaler; delete it for the time of the release"
                ),
                (),
            )
    return None, _service_notes(seen, around.services)


def _overlap(one: str, other: str) -> bool:
    return one in (other, f"{other}-twin") or other == f"{one}-twin"


def _service_notes(seen: Observation, services: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    template = ((seen.incumbent.raw.get("spec") or {}).get("template") or {}) if seen.incumbent is not None else {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    names = []
    for service in services:
        selector = (service.get("spec") or {}).get("selector") or {}
        if selector and all(labels.get(key) == value for key, value in selector.items()):
            names.append(str((service.get("metadata") or {}).get("name")))
    if not names:
        return ("no Service selects these pods: the contender gets the traffic that reaches pods in other ways",)
    return (f"traffic by share of pods through Service {', '.join(sorted(names))}",)


def of_access(lacking: Sequence[Permission], namespace: str) -> Finding:
    """Permissions forward and back."""
    if not lacking:
        return None
    return Refusal(
        f"the controller may not {', '.join(map(str, lacking))} in namespace {namespace}: apply manifests/rbac.yaml"
    )


def of_metrics(gate: str, answer: Counts | Failure, seen: Observation) -> Finding:
    """Whether the store tells this app's pods apart: an answer for at least one pod that serves now."""
    if isinstance(answer, Failure):
        if answer.kind is FailureKind.INVALID:
            return Refusal(f"gate {gate}: the metric store refuses the query: {answer.message}")
        return Wait(HoldReason.PREFLIGHT_BLIND, f"gate {gate}: {answer.message}")
    serving = {pod.name for pod in seen.incumbents if not pod.terminating}
    if not serving & {series.pod for series in answer.series}:
        return Wait(
            HoldReason.PREFLIGHT_BLIND,
            f"gate {gate}: the metric store has no recent series of any of the {len(serving)} incumbent pods. Check "
            "the metric's name and the labels in spec.metrics (pod, namespace)",
        )
    return None
