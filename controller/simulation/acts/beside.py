"""What a release asks and what speaks to it beside its pods: ConfigMaps, Jobs, webhook endpoints, alerts."""

from __future__ import annotations

import json

from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import Spoken
from controller.simulation import alerting, jobs
from controller.simulation.acts.phrase import Phrase, Words, change_in, seconds
from controller.simulation.scene import Scene


def _edit_config(scene: Scene, words: Words) -> None:
    """Somebody changes the content of a ConfigMap."""
    scene.world.edit("ConfigMap", words["name"], {"data": change_in(words)}, namespace=scene.namespace)


def _delete_config(scene: Scene, words: Words) -> None:
    scene.world.delete("ConfigMap", words["name"], namespace=scene.namespace)


def _jobs(scene: Scene, words: Words) -> None:
    ends_in = seconds(words["in"]) if "in" in words else None
    scene.world.jobs = jobs.JobCourse(ends_in, words.get("how") == "succeed")


def _delete_job(scene: Scene, _words: Words) -> None:
    """Somebody deletes the Job that was started last."""
    names = [key[2] for key in scene.world.objects.items if key[0] == "Job" and key[1] == scene.namespace]
    if not names:
        raise ValueError("there is no Job")
    scene.world.delete("Job", names[-1], namespace=scene.namespace)


def _endpoint(scene: Scene, words: Words) -> None:
    """What an endpoint of webhook gates says from now on."""
    told: Spoken | Failure = Failure(FailureKind.UNAVAILABLE, "no connection")
    if "status" in words:
        told = Spoken(int(words["status"]))
    elif "verdict" in words:
        body = {"verdict": words["verdict"], "because": words.get("because", "")}
        told = Spoken(200, json.dumps(body).encode())
    scene.world.endpoints[words["name"]] = told


def _alert(scene: Scene, words: Words) -> None:
    """An alert about the app fires, is over, or is silenced; it flashes where it is over before anybody looks."""
    name, verb = words["name"], words["verb"]
    labels = {"service": scene.deployment, "severity": "page"}
    labels |= dict(each.split("=", 1) for each in words.get("labels", "").split())
    match verb:
        case "fires" | "flashes":
            alerting.fire(scene.world, name, labels)
            alerting.post(scene.world, name)
            scene.driver.wake()
        case "fires unheard":
            alerting.fire(scene.world, name, labels)
        case "is silenced":
            alerting.mute(scene.world, name)
    if verb in ("flashes", "is over"):
        alerting.post(scene.world, name, ended=True)
        alerting.resolve(scene.world, name)


def _alertmanager(scene: Scene, words: Words) -> None:
    down = Failure(FailureKind.UNAVAILABLE, "alertmanager default: no connection")
    scene.world.alerts_fault = down if words["mood"] == "down" else None


PHRASES = (
    Phrase("edit configmap NAME {...}",
           r"edit configmap (?P<name>[a-z0-9.-]+) (?P<change>\{.*\})", _edit_config, change_in),
    Phrase("delete configmap NAME", r"delete configmap (?P<name>[a-z0-9.-]+)", _delete_config),
    Phrase("jobs succeed|fail in 20s",
           r"jobs (?P<how>succeed|fail) in (?P<in>\w+)", _jobs, lambda words: seconds(words["in"])),
    Phrase("jobs never end", r"jobs never end", _jobs),
    Phrase("delete job", r"delete job", _delete_job),
    Phrase("endpoint NAME says healthy|degraded|undecided [why]",
           r"endpoint (?P<name>[a-z0-9-]+) says (?P<verdict>\w+)(?: (?P<because>.+))?", _endpoint),
    Phrase("endpoint NAME answers 503", r"endpoint (?P<name>[a-z0-9-]+) answers (?P<status>\d{3})", _endpoint),
    Phrase("endpoint NAME down", r"endpoint (?P<name>[a-z0-9-]+) down", _endpoint),
    Phrase("alert NAME fires|fires unheard|flashes|is over|is silenced [label=value ...]",
           r"alert (?P<name>[A-Za-z]+) (?P<verb>fires unheard|fires|flashes|is over|is silenced)"
           r"(?: (?P<labels>\w+=\S+(?: \w+=\S+)*))?", _alert),
    Phrase("alertmanager down|up", r"alertmanager (?P<mood>down|up)", _alertmanager),
)  # fmt: skip
