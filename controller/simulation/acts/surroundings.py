"""What the app lives in: its clients, the stores and servers, the nodes, and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping

from controller.release.names import SLOT_LABEL
from controller.requests.failure import Failure, FailureKind
from controller.simulation import routing
from controller.simulation.acts.phrase import NUMBER, SLOT, Phrase, Words
from controller.simulation.scene import Scene
from controller.simulation.traffic import Hostile, doubled, empty, refusing, without
from controller.slots import HASH_LABEL

_ANSWERS: Mapping[str, Hostile | None] = {
    "empty": empty,
    "doubled": doubled,
    "refusing": refusing(FailureKind.INVALID, "422: many-to-many matching not allowed"),
    "up": None,
}


def _load(scene: Scene, words: Words) -> None:
    scene.world.load[scene.namespace, scene.deployment] = float(words["rate"])


def _prometheus(scene: Scene, words: Words) -> None:
    mood = words["mood"]
    traffic = scene.world.traffic
    down = Failure(FailureKind.UNAVAILABLE, "source default: connection refused")
    scene.world.store_fault = down if mood == "down" else None
    traffic.scraping = mood not in ("down", "stale")
    traffic.hostile = _ANSWERS.get(mood)


def _loses(scene: Scene, words: Words) -> None:
    """The contender no longer has the metric by its name (or the incumbent's has gone)."""
    pods = scene.world.pods_of(scene.slot(words["slot"]), scene.namespace)
    scene.world.traffic.hostile = without(*{pod.state.replica_set for pod in pods})


def _api(scene: Scene, words: Words) -> None:
    down = Failure(FailureKind.UNAVAILABLE, "the API server does not answer")
    scene.world.api_fault = down if words["mood"] == "down" else None


def _tester(scene: Scene, words: Words) -> None:
    """Somebody asks the preview Service, whenever there is one."""
    scene.world.testers[scene.namespace, f"{scene.deployment}-preview"] = float(words["rate"])


def _service_selects(scene: Scene, words: Words) -> None:
    selector = {words["key"]: words["value"]}
    scene.world.edit("Service", scene.deployment, {"spec": {"selector": selector}}, namespace=scene.namespace)


def _service_set_back(scene: Scene, _words: Words) -> None:
    """A tool removes what it does not know from the selector."""
    selector = {HASH_LABEL: None, SLOT_LABEL: None}
    scene.world.edit(
        "Service", scene.deployment, {"spec": {"selector": selector}}, namespace=scene.namespace, manager="kustomize"
    )


def _service_deleted(scene: Scene, _words: Words) -> None:
    scene.world.delete("Service", scene.deployment, namespace=scene.namespace)


def _route_deleted(scene: Scene, _words: Words) -> None:
    routing.delete_route(scene.world, scene.namespace, scene.deployment)


def _route_set_back(scene: Scene, _words: Words) -> None:
    routing.set_route_back(scene.world, scene.namespace, scene.deployment, "kustomize-controller")


def _controller(scene: Scene, words: Words) -> None:
    if words["mood"] == "down":
        scene.driver.stop("a")
    elif "a" not in scene.driver.controllers:
        scene.driver.start("a")


def _drain(scene: Scene, words: Words) -> None:
    deployment = scene.slot(words["slot"]) if "slot" in words else scene.deployment
    names = {pod.name for pod in scene.world.pods_of(deployment, scene.namespace)} if "slot" in words else None
    scene.world.drain(int(words["number"]), namespace=scene.namespace, only=names)


def _quota(scene: Scene, words: Words) -> None:
    if words["bound"] == "none":
        scene.world.quota.pop(scene.namespace, None)
    else:
        scene.world.quota[scene.namespace] = int(words["bound"])


def _capacity(scene: Scene, words: Words) -> None:
    scene.world.set_capacity(None if words["bound"] == "none" else int(words["bound"]))


def _forbid(scene: Scene, words: Words) -> None:
    scene.world.lacking = scene.world.lacking | {words["what"]}


def _allow(scene: Scene, _words: Words) -> None:
    scene.world.lacking = frozenset()


PHRASES = (
    Phrase("load 100/s", r"load (?P<rate>\d+(?:\.\d+)?)/s", _load),
    Phrase("prometheus down|up|empty|stale|doubled|refusing",
           r"prometheus (?P<mood>down|up|empty|stale|doubled|refusing)", _prometheus),
    Phrase("prometheus loses contender|incumbent", rf"prometheus loses {SLOT}", _loses),
    Phrase("api down|up", r"api (?P<mood>down|up)", _api),
    Phrase("tester 100/s", r"tester (?P<rate>\d+(?:\.\d+)?)/s", _tester),
    Phrase("service selects KEY=VALUE", r"service selects (?P<key>[a-z./-]+)=(?P<value>[a-z0-9.-]+)", _service_selects),
    Phrase("service set back", r"service set back", _service_set_back),
    Phrase("service deleted", r"service deleted", _service_deleted),
    Phrase("route deleted", r"route deleted", _route_deleted),
    Phrase("route set back", r"route set back", _route_set_back),
    Phrase("controller down|up", r"controller (?P<mood>down|up)", _controller),
    Phrase("drain 2 [contender|incumbent]", rf"drain {NUMBER}(?: {SLOT})?", _drain),
    Phrase("quota 8|none", r"quota (?P<bound>\d+|none)", _quota),
    Phrase("capacity 8|none", r"capacity (?P<bound>\d+|none)", _capacity),
    Phrase("forbid VERB RESOURCE", r"forbid (?P<what>[a-z]+ [a-z./]+)", _forbid),
    Phrase("allow everything", r"allow everything", _allow),
)  # fmt: skip
