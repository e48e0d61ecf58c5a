"""What can happen in a scenario: the phrases after the colon, each with its effect on the scene. A table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from controller.requests import Failure, FailureKind, Spoken
from controller.simulation import alerting, autoscaling, jobs, manifests, routing
from controller.simulation.pods import NEVER
from controller.simulation.scene import Scene
from controller.simulation.traffic import Hostile, doubled, empty, refusing, without
from controller.slots import HASH_LABEL
from policies.values import Duration

Act = Callable[[Scene], None]
Effect = Callable[[Scene, Mapping[str, str]], None]

_ROLE = r"(?P<who>contender|incumbent|[a-z0-9][a-z0-9.-]*)"
_SLOT = r"(?P<slot>contender|incumbent)"
_NUMBER = r"(?P<number>\d+)"
_ANSWERS: Mapping[str, Hostile | None] = {
    "empty": empty,
    "doubled": doubled,
    "refusing": refusing(FailureKind.INVALID, "422: many-to-many matching not allowed"),
    "up": None,
}


def act_of(phrase: str) -> Act:
    """The act that a phrase means. Raises ValueError with what is known."""
    for pattern, effect in _TABLE:
        if (match := pattern.fullmatch(phrase)) is not None:
            words = {key: value for key, value in match.groupdict().items() if value is not None}
            if effect in _CHECKED:
                _CHECKED[effect](words)
            return lambda scene, words=words, effect=effect: effect(scene, words)  # type: ignore[misc]
    first = phrase.split(maxsplit=1)[0] if phrase.split() else ""
    near = [usage for usage in USAGES if usage.split()[0] == first]
    raise ValueError(f"found {phrase!r}; allowed: {' | '.join(near or USAGES)}")


def seconds(text: str) -> float:
    """A duration such as 90s, 3m or 1h30m. Raises ValueError."""
    if text in ("0s", "0m"):
        return 0.0
    try:
        return Duration.of(text).seconds
    except Exception:
        raise ValueError(f"found {text!r}; allowed: a duration such as 90s, 3m or 1h30m") from None


# ------------------------------------------------------------------------------------------------ versions

_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
_FACTOR = re.compile(r"x(\d+(?:\.\d+)?)")


def _errors(scene: Scene, words: Mapping[str, str]) -> None:
    for who, share in _pairs(words["pairs"], _SHARE, "4.00%"):
        scene.world.behave(scene.version(who), errors=share / 100.0)


def _latency(scene: Scene, words: Mapping[str, str]) -> None:
    for who, factor in _pairs(words["pairs"], _FACTOR, "x2"):
        scene.world.behave(scene.version(who), latency=factor)


def _orders(scene: Scene, words: Mapping[str, str]) -> None:
    for who, factor in _pairs(words["pairs"], _FACTOR, "x0.5"):
        scene.world.behave(scene.version(who), orders=factor)


def _memory(scene: Scene, words: Mapping[str, str]) -> None:
    for who, factor in _pairs(words["pairs"], _FACTOR, "x1.5"):
        scene.world.behave(scene.version(who), memory=factor)


def _pairs(text: str, pattern: re.Pattern[str], example: str) -> list[tuple[str, float]]:
    """`contender=4% incumbent=0.1%` -> [(who, number)]. Raises ValueError."""
    found = []
    for part in text.split():
        who, _, value = part.partition("=")
        match = pattern.fullmatch(value)
        if match is None or not who:
            raise ValueError(f"found {part!r}; allowed: WHO={example}, such as contender={example}")
        found.append((who, float(match[1])))
    return found


def _crash(scene: Scene, words: Mapping[str, str]) -> None:
    after = seconds(words["after"]) if "after" in words else 2.0
    scene.world.behave(scene.version(words["who"]), crashes_after=after)


def _never_ready(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.behave(scene.version(words["who"]), ready=False)


def _slow(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.behave(scene.version(words["who"]), starts_in=seconds(words["in"]))


def _cannot_pull(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.behave(scene.version(words["who"]), cannot_pull=True)


def _heal(scene: Scene, words: Mapping[str, str]) -> None:
    healthy = scene.world.ordinary
    scene.world.behave(
        scene.version(words["who"]),
        ready=True,
        crashes_after=None,
        cannot_pull=False,
        starts_in=None,
        latency=healthy.latency,
        orders=healthy.orders,
        memory=healthy.memory,
    )


# ------------------------------------------------------------------------------------------------ surroundings


def _load(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.load[scene.namespace, scene.deployment] = float(words["rate"])


def _tester(scene: Scene, words: Mapping[str, str]) -> None:
    """Somebody asks the preview Service, whenever there is one."""
    scene.world.testers[scene.namespace, f"{scene.deployment}-preview"] = float(words["rate"])


def _service_selects(scene: Scene, words: Mapping[str, str]) -> None:
    selector = {words["key"]: words["value"]}
    scene.world.edit("Service", scene.deployment, {"spec": {"selector": selector}}, namespace=scene.namespace)


def _service_set_back(scene: Scene, _words: Mapping[str, str]) -> None:
    """A tool removes what it does not know from the selector."""
    selector = {HASH_LABEL: None}
    scene.world.edit(
        "Service", scene.deployment, {"spec": {"selector": selector}}, namespace=scene.namespace, manager="kustomize"
    )


def _service_deleted(scene: Scene, _words: Mapping[str, str]) -> None:
    scene.world.delete("Service", scene.deployment, namespace=scene.namespace)


def _route_deleted(scene: Scene, _words: Mapping[str, str]) -> None:
    routing.delete_route(scene.world, scene.namespace, scene.deployment)


def _route_set_back(scene: Scene, _words: Mapping[str, str]) -> None:
    routing.set_route_back(scene.world, scene.namespace, scene.deployment, "kustomize-controller")


def _prometheus(scene: Scene, words: Mapping[str, str]) -> None:
    mood = words["mood"]
    traffic = scene.world.traffic
    down = Failure(FailureKind.UNAVAILABLE, "source default: connection refused")
    scene.world.store_fault = down if mood == "down" else None
    traffic.scraping = mood not in ("down", "stale")
    traffic.hostile = _ANSWERS.get(mood)


def _loses(scene: Scene, words: Mapping[str, str]) -> None:
    """The contender no longer has the metric by its name (or the incumbent's has gone)."""
    pods = scene.world.pods_of(scene.slot(words["slot"]), scene.namespace)
    scene.world.traffic.hostile = without(*{pod.state.replica_set for pod in pods})


def _api(scene: Scene, words: Mapping[str, str]) -> None:
    down = Failure(FailureKind.UNAVAILABLE, "the API server does not answer")
    scene.world.api_fault = down if words["mood"] == "down" else None


def _controller(scene: Scene, words: Mapping[str, str]) -> None:
    if words["mood"] == "down":
        scene.driver.stop("a")
    elif "a" not in scene.driver.controllers:
        scene.driver.start("a")


def _drain(scene: Scene, words: Mapping[str, str]) -> None:
    deployment = scene.slot(words["slot"]) if "slot" in words else scene.deployment
    names = {pod.name for pod in scene.world.pods_of(deployment, scene.namespace)} if "slot" in words else None
    scene.world.drain(int(words["number"]), namespace=scene.namespace, only=names)


def _quota(scene: Scene, words: Mapping[str, str]) -> None:
    if words["bound"] == "none":
        scene.world.quota.pop(scene.namespace, None)
    else:
        scene.world.quota[scene.namespace] = int(words["bound"])


def _capacity(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.set_capacity(None if words["bound"] == "none" else int(words["bound"]))


def _forbid(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.lacking = scene.world.lacking | {words["what"]}


def _allow(scene: Scene, _words: Mapping[str, str]) -> None:
    scene.world.lacking = frozenset()


def _clock(scene: Scene, words: Mapping[str, str]) -> None:
    """Somebody sets the clock of the controller's machine."""
    step = seconds(words["step"])
    scene.driver.skew += step if words["way"] == "forward" else -step


# ------------------------------------------------------------------------------------------------ gates outside


def _edit_config(scene: Scene, words: Mapping[str, str]) -> None:
    """Somebody changes the content of a ConfigMap."""
    scene.world.edit("ConfigMap", words["name"], {"data": mapping(words["change"])}, namespace=scene.namespace)


def _delete_config(scene: Scene, words: Mapping[str, str]) -> None:
    scene.world.delete("ConfigMap", words["name"], namespace=scene.namespace)


def _jobs(scene: Scene, words: Mapping[str, str]) -> None:
    ends_in = seconds(words["in"]) if "in" in words else None
    scene.world.jobs = jobs.JobCourse(ends_in, words.get("how") == "succeed")


def _delete_job(scene: Scene, _words: Mapping[str, str]) -> None:
    """Somebody deletes the Job that was started last."""
    names = [key[2] for key in scene.world.objects.items if key[0] == "Job" and key[1] == scene.namespace]
    if not names:
        raise ValueError("there is no Job")
    scene.world.delete("Job", names[-1], namespace=scene.namespace)


def _endpoint(scene: Scene, words: Mapping[str, str]) -> None:
    """What an endpoint of webhook gates says from now on."""
    told: Spoken | Failure = Failure(FailureKind.UNAVAILABLE, "no connection")
    if "status" in words:
        told = Spoken(int(words["status"]))
    elif "verdict" in words:
        body = {"verdict": words["verdict"], "because": words.get("because", "")}
        told = Spoken(200, json.dumps(body).encode())
    scene.world.endpoints[words["name"]] = told


# ------------------------------------------------------------------------------------------------ alerts


def _alert(scene: Scene, words: Mapping[str, str]) -> None:
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


def _alertmanager(scene: Scene, words: Mapping[str, str]) -> None:
    down = Failure(FailureKind.UNAVAILABLE, "alertmanager default: no connection")
    scene.world.alerts_fault = down if words["mood"] == "down" else None


# ------------------------------------------------------------------------------------------------ people


def _scale(scene: Scene, words: Mapping[str, str]) -> None:
    slot = scene.slot(words.get("slot", "incumbent"))
    scene.edit(slot, {"replicas": int(words["number"])}, "kubectl-scale")


def _edit_image(scene: Scene, words: Mapping[str, str]) -> None:
    scene.set_image(scene.slot(words["slot"]), words["version"])


def _edit_policy(scene: Scene, words: Mapping[str, str]) -> None:
    change = mapping(words["change"])
    scene.world.edit("ReleasePolicy", scene.policy, {"spec": change}, namespace=scene.namespace)


def mapping(text: str) -> dict[str, Any]:
    """A YAML flow mapping. Raises ValueError."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"found {text!r}; allowed: a YAML mapping such as {{observe: {{atLeast: 1m}}}}")
    return value


def _edit_record(scene: Scene, words: Mapping[str, str]) -> None:
    change = mapping(words["change"])
    scene.world.edit("Release", scene.active(), {"status": change}, namespace=scene.namespace, status=True)


def _rollout(scene: Scene, words: Mapping[str, str]) -> None:
    scene.edit(scene.slot(words["slot"]), {"paused": words["verb"] == "pause"}, "kubectl-rollout")


def _restart(scene: Scene, words: Mapping[str, str]) -> None:
    at = f"{scene.world.now:.0f}"
    stamp = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": at}}}
    scene.edit(scene.slot(words["slot"]), {"template": stamp}, "kubectl-rollout")


def _delete(scene: Scene, words: Mapping[str, str]) -> None:
    match words["what"]:
        case "policy":
            scene.world.delete("ReleasePolicy", scene.policy, namespace=scene.namespace)
        case "release":
            scene.world.delete("Release", scene.active(), namespace=scene.namespace)
        case role:
            scene.world.delete("Deployment", scene.slot(role), namespace=scene.namespace)


def _recreate(scene: Scene, words: Mapping[str, str]) -> None:
    """Deleted and created anew under the same name: another uid, and nobody's claim."""
    name = scene.slot(words["slot"])
    obj = scene.object(name)
    if obj is None:
        raise ValueError(f"Deployment {name} does not exist")
    scene.world.delete("Deployment", name, namespace=scene.namespace)
    kept = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name}, "spec": obj["spec"]}
    scene.world.create(kept, scene.namespace)


def _gitops(scene: Scene, words: Mapping[str, str]) -> None:
    """A GitOps tool puts the replicas of the app's own Deployment back to what its source says, again and again."""
    name, number = scene.deployment, int(words["number"])
    every = seconds(words["every"])

    def revert(_: object) -> None:
        obj = scene.object(name)
        if obj is not None and obj["spec"]["replicas"] != number:
            scene.edit(name, {"replicas": number}, "argocd-application-controller")

    lasts = seconds(words["lasts"]) if "lasts" in words else NEVER
    scene.world.add_actor(every, revert, until=scene.world.now + lasts)


def _autoscaler(scene: Scene, words: Mapping[str, str]) -> None:
    """An autoscaler, and the controller that obeys it."""
    least, most = int(words.get("least", 1)), int(words.get("most", 20))
    scene.world.create(manifests.autoscaler(scene.deployment, words["target"], least, most), scene.namespace)
    scene.world.add_actor(autoscaling.PERIOD, autoscaling.sync)


def _edit_autoscaler(scene: Scene, words: Mapping[str, str]) -> None:
    change: dict[str, Any] = {}
    if "wants" in words:
        change = {"metadata": {"annotations": {autoscaling.WANTS: words["wants"]}}}
    if "owner" in words:
        change = {
            "metadata": {"ownerReferences": [{"kind": words["owner"], "name": words["name"], "controller": True}]}
        }
    if "change" in words:
        change = {"spec": mapping(words["change"])}
    scene.world.edit("HorizontalPodAutoscaler", scene.deployment, change, namespace=scene.namespace)


def _delete_autoscaler(scene: Scene, _words: Mapping[str, str]) -> None:
    scene.world.delete("HorizontalPodAutoscaler", scene.deployment, namespace=scene.namespace)


def _autoscaler_set_back(scene: Scene, words: Mapping[str, str]) -> None:
    """A tool applies the autoscaler of its source again and again: without what it does not know."""
    bare = {"spec": {"behavior": None, "minReplicas": int(words["least"])}}

    def revert(_: object) -> None:
        namespace, name = scene.namespace, scene.deployment
        scene.world.edit("HorizontalPodAutoscaler", name, bare, namespace=namespace, manager="kustomize-controller")

    lasts = seconds(words["lasts"]) if "lasts" in words else NEVER
    scene.world.add_actor(seconds(words["every"]), revert, until=scene.world.now + lasts)


def _second_policy(scene: Scene, _words: Mapping[str, str]) -> None:
    other = manifests.policy(scene.deployment)
    other["metadata"] = {"name": f"{scene.policy}-other"}
    scene.world.create(other, scene.namespace)


def _pause(scene: Scene, words: Mapping[str, str]) -> None:
    scene.wish({"paused": words["verb"] == "pause"})


def _abort(scene: Scene, words: Mapping[str, str]) -> None:
    scene.wish({"abort": {"reason": words.get("reason", "no reason given")}})


def _promote(scene: Scene, _words: Mapping[str, str]) -> None:
    scene.wish({"promote": {"batch": scene.records()[scene.active()].stage}})


def _leave(scene: Scene, words: Mapping[str, str]) -> None:
    scene.wish({"now": {"reason": words["reason"]}})


def _push(scene: Scene, words: Mapping[str, str]) -> None:
    scene.push(words["version"])


def _lift(scene: Scene, words: Mapping[str, str]) -> None:
    """Somebody lifts the quarantine that the release of a version has left."""
    lifted = {"spec": {"lift": {"reason": words.get("reason", "no reason given")}}}
    scene.world.edit("Release", scene.of_version(words["version"]), lifted, namespace=scene.namespace)


def _push_config(scene: Scene, _words: Mapping[str, str]) -> None:
    """Somebody asks for a release of the ConfigMaps as they are now."""
    name = f"{scene.policy}-config"
    while ("Release", scene.namespace, name) in scene.world.objects.items:
        name += "-again"
    scene.world.create(manifests.release(scene.policy, name, "", config="live"), scene.namespace)


def _rollback(scene: Scene, _words: Mapping[str, str]) -> None:
    scene.ask_back("rollbackOf")


def _restore(scene: Scene, _words: Mapping[str, str]) -> None:
    scene.ask_back("restoreOf")


def _home(scene: Scene, _words: Mapping[str, str]) -> None:
    """Somebody brings the app back to its first Deployment."""
    scene.world.create(manifests.release(scene.policy, f"{scene.policy}-home", "", home=True), scene.namespace)


# ------------------------------------------------------------------------------------------------ the table

_ROWS: tuple[tuple[str, str, Effect], ...] = (
    ("errors WHO=4.00% ...", r"errors (?P<pairs>.+)", _errors),
    ("latency WHO=x2 ...", r"latency (?P<pairs>.+)", _latency),
    ("orders WHO=x0.5 ...", r"orders (?P<pairs>.+)", _orders),
    ("memory WHO=x1.5 ...", r"memory (?P<pairs>.+)", _memory),
    ("crash WHO [after 20s]", rf"crash {_ROLE}(?: after (?P<after>\w+))?", _crash),
    ("never-ready WHO", rf"never-ready {_ROLE}", _never_ready),
    ("slow WHO 90s", rf"slow {_ROLE} (?P<in>\w+)", _slow),
    ("cannot-pull WHO", rf"cannot-pull {_ROLE}", _cannot_pull),
    ("heal WHO", rf"heal {_ROLE}", _heal),
    ("load 100/s", r"load (?P<rate>\d+(?:\.\d+)?)/s", _load),
    ("prometheus down|up|empty|stale|doubled|refusing",
     r"prometheus (?P<mood>down|up|empty|stale|doubled|refusing)", _prometheus),
    ("prometheus loses contender|incumbent", rf"prometheus loses {_SLOT}", _loses),
    ("api down|up", r"api (?P<mood>down|up)", _api),
    ("tester 100/s", r"tester (?P<rate>\d+(?:\.\d+)?)/s", _tester),
    ("service selects KEY=VALUE", r"service selects (?P<key>[a-z./-]+)=(?P<value>[a-z0-9.-]+)", _service_selects),
    ("service set back", r"service set back", _service_set_back),
    ("service deleted", r"service deleted", _service_deleted),
    ("route deleted", r"route deleted", _route_deleted),
    ("route set back", r"route set back", _route_set_back),
    ("controller down|up", r"controller (?P<mood>down|up)", _controller),
    ("drain 2 [contender|incumbent]", rf"drain {_NUMBER}(?: {_SLOT})?", _drain),
    ("quota 8|none", r"quota (?P<bound>\d+|none)", _quota),
    ("capacity 8|none", r"capacity (?P<bound>\d+|none)", _capacity),
    ("forbid VERB RESOURCE", r"forbid (?P<what>[a-z]+ [a-z./]+)", _forbid),
    ("allow everything", r"allow everything", _allow),
    ("edit configmap NAME {...}", r"edit configmap (?P<name>[a-z0-9.-]+) (?P<change>\{.*\})", _edit_config),
    ("delete configmap NAME", r"delete configmap (?P<name>[a-z0-9.-]+)", _delete_config),
    ("jobs succeed|fail in 20s", r"jobs (?P<how>succeed|fail) in (?P<in>\w+)", _jobs),
    ("jobs never end", r"jobs never end", _jobs),
    ("delete job", r"delete job", _delete_job),
    ("endpoint NAME says healthy|degraded|undecided [why]",
     r"endpoint (?P<name>[a-z0-9-]+) says (?P<verdict>\w+)(?: (?P<because>.+))?", _endpoint),
    ("endpoint NAME answers 503", r"endpoint (?P<name>[a-z0-9-]+) answers (?P<status>\d{3})", _endpoint),
    ("endpoint NAME down", r"endpoint (?P<name>[a-z0-9-]+) down", _endpoint),
    ("alert NAME fires|fires unheard|flashes|is over|is silenced [label=value ...]",
     r"alert (?P<name>[A-Za-z]+) (?P<verb>fires unheard|fires|flashes|is over|is silenced)"
     r"(?: (?P<labels>\w+=\S+(?: \w+=\S+)*))?", _alert),
    ("alertmanager down|up", r"alertmanager (?P<mood>down|up)", _alertmanager),
    ("scale [contender|incumbent] 20", rf"scale (?:{_SLOT} )?{_NUMBER}", _scale),
    ("edit contender|incumbent image=v99", rf"edit {_SLOT} image=(?P<version>[a-z0-9.-]+)", _edit_image),
    ("edit policy {...}", r"edit policy (?P<change>\{.*\})", _edit_policy),
    ("edit record {...}", r"edit record (?P<change>\{.*\})", _edit_record),
    ("rollout pause|resume contender|incumbent", rf"rollout (?P<verb>pause|resume) {_SLOT}", _rollout),
    ("rollout restart contender|incumbent", rf"rollout restart {_SLOT}", _restart),
    ("delete policy|release|contender|incumbent",
     r"delete (?P<what>policy|release|contender|incumbent)", _delete),
    ("recreate contender|incumbent", rf"recreate {_SLOT}", _recreate),
    ("gitops sets 10 every 30s [for 5m]",
     rf"gitops sets {_NUMBER} every (?P<every>\w+)(?: for (?P<lasts>\w+))?", _gitops),
    ("autoscaler on DEPLOYMENT [4 to 20]",
     r"autoscaler on (?P<target>[a-z0-9-]+)(?: (?P<least>\d+) to (?P<most>\d+))?", _autoscaler),
    ("autoscaler wants 12", r"autoscaler wants (?P<wants>\d+)", _edit_autoscaler),
    ("autoscaler belongs to KIND NAME",
     r"autoscaler belongs to (?P<owner>[A-Za-z]+) (?P<name>[a-z0-9-]+)", _edit_autoscaler),
    ("edit autoscaler {...}", r"edit autoscaler (?P<change>\{.*\})", _edit_autoscaler),
    ("delete autoscaler", r"delete autoscaler", _delete_autoscaler),
    ("autoscaler set back to 4 every 30s [for 5m]",
     r"autoscaler set back to (?P<least>\d+) every (?P<every>\w+)(?: for (?P<lasts>\w+))?", _autoscaler_set_back),
    ("clock set back|forward 1h", r"clock set (?P<way>back|forward) (?P<step>\w+)", _clock),
    ("second policy", r"second policy", _second_policy),
    ("pause", r"(?P<verb>pause)", _pause),
    ("resume", r"(?P<verb>resume)", _pause),
    ("abort [reason]", r"abort(?: (?P<reason>.+))?", _abort),
    ("promote", r"promote", _promote),
    ("leave now REASON", r"leave now (?P<reason>.+)", _leave),
    ("push config", r"push config", _push_config),
    ("push v43", r"push (?P<version>[a-z0-9.-]+)", _push),
    ("lift v42 [reason]", r"lift (?P<version>[a-z0-9.-]+)(?: (?P<reason>.+))?", _lift),
    ("rollback", r"rollback", _rollback),
    ("restore", r"restore", _restore),
    ("home", r"home", _home),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), effect) for _, pattern, effect in _ROWS)
USAGES = tuple(usage for usage, _, _ in _ROWS)

# Arguments that a pattern cannot judge: asked when a scenario is read, not in the middle of its run.
_CHECKED: Mapping[Effect, Callable[[Mapping[str, str]], object]] = {
    _errors: lambda words: _pairs(words["pairs"], _SHARE, "4.00%"),
    _latency: lambda words: _pairs(words["pairs"], _FACTOR, "x2"),
    _orders: lambda words: _pairs(words["pairs"], _FACTOR, "x0.5"),
    _memory: lambda words: _pairs(words["pairs"], _FACTOR, "x1.5"),
    _crash: lambda words: seconds(words.get("after", "2s")),
    _slow: lambda words: seconds(words["in"]),
    _edit_config: lambda words: mapping(words["change"]),
    _jobs: lambda words: seconds(words.get("in", "1s")),
    _gitops: lambda words: (seconds(words["every"]), seconds(words.get("lasts", "1m"))),
    _edit_policy: lambda words: mapping(words["change"]),
    _clock: lambda words: seconds(words["step"]),
    _edit_record: lambda words: mapping(words["change"]),
}
