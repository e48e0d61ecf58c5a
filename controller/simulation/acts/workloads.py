"""What people and their tools do to the objects of an app, past the release."""

from __future__ import annotations

from typing import Any

from controller.simulation import autoscaling, manifests
from controller.simulation.acts.phrase import NUMBER, SLOT, Phrase, Words, change_in, seconds
from controller.simulation.pods import NEVER
from controller.simulation.scene import Scene


def _scale(scene: Scene, words: Words) -> None:
    slot = scene.slot(words.get("slot", "incumbent"))
    scene.edit(slot, {"replicas": int(words["number"])}, "kubectl-scale")


def _edit_image(scene: Scene, words: Words) -> None:
    scene.set_image(scene.slot(words["slot"]), words["version"])


def _edit_policy(scene: Scene, words: Words) -> None:
    scene.world.edit("ReleasePolicy", scene.policy, {"spec": change_in(words)}, namespace=scene.namespace)


def _edit_record(scene: Scene, words: Words) -> None:
    scene.world.edit("Release", scene.active(), {"status": change_in(words)}, namespace=scene.namespace, status=True)


def _rollout(scene: Scene, words: Words) -> None:
    scene.edit(scene.slot(words["slot"]), {"paused": words["verb"] == "pause"}, "kubectl-rollout")


def _restart(scene: Scene, words: Words) -> None:
    at = f"{scene.world.now:.0f}"
    stamp = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": at}}}
    scene.edit(scene.slot(words["slot"]), {"template": stamp}, "kubectl-rollout")


def _delete(scene: Scene, words: Words) -> None:
    match words["what"]:
        case "policy":
            scene.world.delete("ReleasePolicy", scene.policy, namespace=scene.namespace)
        case "release":
            scene.world.delete("Release", scene.active(), namespace=scene.namespace)
        case role:
            scene.world.delete("Deployment", scene.slot(role), namespace=scene.namespace)


def _recreate(scene: Scene, words: Words) -> None:
    """Deleted and created anew under the same name: another uid, and nobody's claim."""
    name = scene.slot(words["slot"])
    obj = scene.object(name)
    if obj is None:
        raise ValueError(f"Deployment {name} does not exist")
    scene.world.delete("Deployment", name, namespace=scene.namespace)
    kept = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name}, "spec": obj["spec"]}
    scene.world.create(kept, scene.namespace)


def _every(words: Words) -> tuple[float, float]:
    """Seconds between the acts of a tool, and for how long it goes on. Raises ValueError."""
    return seconds(words["every"]), seconds(words["lasts"]) if "lasts" in words else NEVER


def _gitops(scene: Scene, words: Words) -> None:
    """A GitOps tool puts the replicas of the app's own Deployment back to what its source says, again and again."""
    name, number = scene.deployment, int(words["number"])

    def revert(_: object) -> None:
        obj = scene.object(name)
        if obj is not None and obj["spec"]["replicas"] != number:
            scene.edit(name, {"replicas": number}, "argocd-application-controller")

    every, lasts = _every(words)
    scene.world.add_actor(every, revert, until=scene.world.now + lasts)


def _autoscaler(scene: Scene, words: Words) -> None:
    """An autoscaler, and the controller that obeys it."""
    least, most = int(words.get("least", 1)), int(words.get("most", 20))
    scene.world.create(manifests.autoscaler(scene.deployment, words["target"], least, most), scene.namespace)
    scene.world.add_actor(autoscaling.PERIOD, autoscaling.sync)


def _edit_autoscaler(scene: Scene, words: Words) -> None:
    change: dict[str, Any] = {}
    if "wants" in words:
        change = {"metadata": {"annotations": {autoscaling.WANTS: words["wants"]}}}
    if "owner" in words:
        change = {
            "metadata": {"ownerReferences": [{"kind": words["owner"], "name": words["name"], "controller": True}]}
        }
    if "change" in words:
        change = {"spec": change_in(words)}
    scene.world.edit("HorizontalPodAutoscaler", scene.deployment, change, namespace=scene.namespace)


def _delete_autoscaler(scene: Scene, _words: Words) -> None:
    scene.world.delete("HorizontalPodAutoscaler", scene.deployment, namespace=scene.namespace)


def _autoscaler_set_back(scene: Scene, words: Words) -> None:
    """A tool applies the autoscaler of its source again and again: without what it does not know."""
    bare = {"spec": {"behavior": None, "minReplicas": int(words["least"])}}
    namespace, name = scene.namespace, scene.deployment
    key = ("HorizontalPodAutoscaler", namespace, name)
    if key not in scene.world.objects.items:
        raise ValueError(f"HorizontalPodAutoscaler {namespace}/{name} does not exist")

    def revert(_: object) -> None:
        if key in scene.world.objects.items:
            scene.world.edit("HorizontalPodAutoscaler", name, bare, namespace=namespace, manager="kustomize-controller")

    every, lasts = _every(words)
    scene.world.add_actor(every, revert, until=scene.world.now + lasts)


def _clock(scene: Scene, words: Words) -> None:
    """Somebody sets the clock of the controller's machine."""
    step = seconds(words["step"])
    scene.driver.skew += step if words["way"] == "forward" else -step


def _second_policy(scene: Scene, _words: Words) -> None:
    other = manifests.policy(scene.deployment)
    other["metadata"] = {"name": f"{scene.policy}-other"}
    scene.world.create(other, scene.namespace)


PHRASES = (
    Phrase("scale [contender|incumbent] 20", rf"scale (?:{SLOT} )?{NUMBER}", _scale),
    Phrase("edit contender|incumbent image=v99", rf"edit {SLOT} image=(?P<version>[a-z0-9.-]+)", _edit_image),
    Phrase("edit policy {...}", r"edit policy (?P<change>\{.*\})", _edit_policy, change_in),
    Phrase("edit record {...}", r"edit record (?P<change>\{.*\})", _edit_record, change_in),
    Phrase("rollout pause|resume contender|incumbent", rf"rollout (?P<verb>pause|resume) {SLOT}", _rollout),
    Phrase("rollout restart contender|incumbent", rf"rollout restart {SLOT}", _restart),
    Phrase("delete policy|release|contender|incumbent",
           r"delete (?P<what>policy|release|contender|incumbent)", _delete),
    Phrase("recreate contender|incumbent", rf"recreate {SLOT}", _recreate),
    Phrase("gitops sets 10 every 30s [for 5m]",
           rf"gitops sets {NUMBER} every (?P<every>\w+)(?: for (?P<lasts>\w+))?", _gitops, _every),
    Phrase("autoscaler on DEPLOYMENT [4 to 20]",
           r"autoscaler on (?P<target>[a-z0-9-]+)(?: (?P<least>\d+) to (?P<most>\d+))?", _autoscaler),
    Phrase("autoscaler wants 12", r"autoscaler wants (?P<wants>\d+)", _edit_autoscaler),
    Phrase("autoscaler belongs to KIND NAME",
           r"autoscaler belongs to (?P<owner>[A-Za-z]+) (?P<name>[a-z0-9-]+)", _edit_autoscaler),
    Phrase("edit autoscaler {...}", r"edit autoscaler (?P<change>\{.*\})", _edit_autoscaler, change_in),
    Phrase("delete autoscaler", r"delete autoscaler", _delete_autoscaler),
    Phrase("autoscaler set back to 4 every 30s [for 5m]",
           r"autoscaler set back to (?P<least>\d+) every (?P<every>\w+)(?: for (?P<lasts>\w+))?",
           _autoscaler_set_back, _every),
    Phrase("clock set back|forward 1h",
           r"clock set (?P<way>back|forward) (?P<step>\w+)", _clock, lambda words: seconds(words["step"])),
    Phrase("second policy", r"second policy", _second_policy),
)  # fmt: skip
