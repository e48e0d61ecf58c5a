"""May this release begin? Everything that could be known beforehand to end badly is asked before anything moves.

A refusal ends the release at once and says what to do. A hold waits for what time may mend (a pod that is not ready,
a store that does not answer) until the policy's batch deadline. A wait for the learner is short, and the release begins
after it with what was learned so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.findings import Finding, Refusal, Wait, unjudged
from controller.firing import Level, described
from controller.release.observation import Observation, SlotState
from controller.release.vocabulary import Cause, HoldReason, Origin
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts
from controller.requests.looks import Neighbours, Permission
from controller.services import pod_labels, selector_of, selects
from controller.slots import unmet
from controller.strategies import slots_named
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

LEARNING_PATIENCE = 180.0  # seconds that a release waits for the learner to hold the last hour against its baseline


def of_slots(
    seen: Observation, origin: Origin, *, digest: str, target: str, paused: tuple[str, str] | None = None
) -> Finding:
    """The app's own Deployments.

    digest: the contender's version, "" where it is not known yet. paused: (who, which Deployment), if one is.
    """
    live, spare = seen.incumbent, seen.contender
    if live is None:
        return no_deployment(target)
    for slot in filter(None, (live, spare)):
        if finding := _of_slot(slot, seen):
            return finding
    if paused is not None:
        by, name = paused
        return Refusal(f"Deployment {name} was paused by {by}: run `kubectl rollout resume deployment/{name}` first")
    if live.replicas == 0 and spare is not None and spare.name == live.name and spare.replicas > 0:
        return unjudged(spare, spare.replicas)
    if asleep := nothing_serves(seen):
        return asleep
    if live.replicas == 0:
        return Refusal(f"{live.name} has 0 replicas: there is nothing to release; scale it up first")
    if origin == "change" and digest and digest == live.digest:
        return Refusal(f"{live.name} serves this version already (digest {digest}): nothing to release")
    if origin == "rollback":
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


def nothing_serves(seen: Observation) -> Refusal | None:
    """Two Deployments at 0 pods: nobody can tell which of them is the app's, and the wrong one is an old version."""
    slots = [slot for slot in (seen.incumbent, seen.contender) if slot is not None]
    if len({slot.name for slot in slots}) < 2 or any(slot.replicas for slot in slots):
        return None
    told = " and ".join(f"{slot.name} ({_runs(slot)})" for slot in sorted(slots, key=lambda each: each.name))
    return Refusal(f"{told} have 0 replicas: there is nothing to release; scale up the one that shall serve first")


def _runs(slot: SlotState) -> str:
    found = images((slot.raw.get("spec") or {}).get("template") or {})
    return ", ".join(dict.fromkeys(found.values())) or f"version {slot.digest}"


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
            f"run {seen.command('restore')} first"
        )
    metadata = slot.raw.get("metadata") or {}
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return Refusal(
                f"Deployment {slot.name} belongs to {owner.get('kind')} {owner.get('name')}, which would undo every "
                "change: name that object's own tool instead, or remove the owner"
            )
    return None


def of_plan(policy: ReleasePolicySpec, window: float) -> Finding:
    """Whether the policy's observation holds a window of its source."""
    if policy.observe.at_least.seconds < window:
        return Refusal(
            f"observe.atLeast {policy.observe.at_least} is shorter than a window of metric source "
            f"{policy.metrics.source} ({window:g} s): no gate could see anything"
        )
    return None


def of_template(seen: Observation, template: Mapping[str, Any]) -> Finding:
    """Whether both slots would select the contender's pods: a selector is for good, and another's slot is not ours."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    for slot in filter(None, (seen.incumbent, seen.contender)):
        if (asked := unmet(slot.raw, labels)) is not None:
            key, told = asked
            found = f"{key}={labels[key]}" if key in labels else f"no label {key}"
            what = "keep the label in the release" if slot is seen.incumbent else "rename that Deployment"
            return Refusal(
                f"Deployment {slot.name} selects pods with {told}, and the contender's template has {found}: {what}"
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
        spec = other.get("spec") or {}
        target = (spec.get("target") or {}).get("deployment")
        theirs = {*slots_named(spec), target}
        if name != policy_name and target and theirs & {*slots, policy.target.deployment}:
            return (
                Refusal(
                    f"policies {policy_name} and {name} both target Deployment {target}: delete one of them; "
                    "until then neither releases"
                ),
                (),
            )
    return None, _service_notes(seen, around.services)


def _service_notes(seen: Observation, services: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    labels = pod_labels(seen.incumbent.raw) if seen.incumbent is not None else {}
    names = [str((each.get("metadata") or {}).get("name")) for each in services if selects(selector_of(each), labels)]
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


def of_alerts(policy: ReleasePolicySpec, heard: Level, now: float, *, hears: bool) -> Finding:
    """Whether anybody can say what fires, and whether something fires already that would be laid to this release."""
    if not hears:
        return Refusal(
            "the policy has alerts, and no Alertmanager is in the controller's configuration: add it under "
            "alerts.alertmanagers"
        )
    if heard.active and policy.already_firing == "refuse":
        return Refusal(
            f"{described(heard.active, now)}: nobody could tell it from the release's own doing. Wait until it is "
            "over, silence it, or set alreadyFiring: ignore in the policy",
            Cause.ALERT_ALREADY_FIRING,
        )
    if heard.unheard:
        return Wait(HoldReason.PREFLIGHT_BLIND, f"the firing alerts cannot be read: {heard.unheard}")
    return None


def of_metrics(
    gate: str, answer: Counts | Failure, seen: Observation, values: Sequence[str] = (), label: str = ""
) -> Finding:
    """Whether the store tells this app's pods apart: an answer for at least one pod that serves now.

    `values`: those of `label` by which a gate knows the version that serves, where it does not tell pods apart.
    """
    if isinstance(answer, Failure):
        if answer.kind is FailureKind.INVALID:
            return Refusal(f"gate {gate}: the metric store refuses the query: {answer.message}")
        return Wait(HoldReason.PREFLIGHT_BLIND, f"gate {gate}: {answer.message}")
    if values and not {series.pod for series in answer.series} & set(values):
        return Wait(
            HoldReason.PREFLIGHT_BLIND,
            f"gate {gate}: the metric store has no recent series with {label}={' or '.join(values)}. Check `by` of the "
            "gate, and by.namespace where the metric holds the app's namespace in another label",
        )
    serving = {pod.name for pod in seen.incumbents if not pod.terminating}
    if not values and not serving & {series.pod for series in answer.series}:
        return Wait(
            HoldReason.PREFLIGHT_BLIND,
            f"gate {gate}: the metric store has no recent series of any of the {len(serving)} incumbent pods. Check "
            "the metric's name and the labels in spec.metrics (pod, namespace)",
        )
    return None
