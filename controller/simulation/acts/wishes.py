"""What people ask of a release: the verbs of the command line."""

from __future__ import annotations

from controller.simulation import manifests
from controller.simulation.acts.phrase import Phrase, Words
from controller.simulation.scene import Scene


def _pause(scene: Scene, words: Words) -> None:
    scene.wish({"paused": words["verb"] == "pause"})


def _abort(scene: Scene, words: Words) -> None:
    scene.wish({"abort": {"reason": words.get("reason", "no reason given")}})


def _promote(scene: Scene, _words: Words) -> None:
    scene.wish({"promote": {"batch": scene.records()[scene.active()].stage}})


def _leave(scene: Scene, words: Words) -> None:
    scene.wish({"now": {"reason": words["reason"]}})


def _push_config(scene: Scene, _words: Words) -> None:
    """Somebody asks for a release of the ConfigMaps as they are now."""
    name = f"{scene.policy}-config"
    while ("Release", scene.namespace, name) in scene.world.objects.items:
        name += "-again"
    scene.world.create(manifests.release(scene.policy, name, "", config="live"), scene.namespace)


def _push(scene: Scene, words: Words) -> None:
    scene.push(words["version"])


def _lift(scene: Scene, words: Words) -> None:
    """Somebody lifts the quarantine that the release of a version has left."""
    lifted = {"spec": {"lift": {"reason": words.get("reason", "no reason given")}}}
    scene.world.edit("Release", scene.of_version(words["version"]), lifted, namespace=scene.namespace)


def _rollback(scene: Scene, _words: Words) -> None:
    scene.ask_back("rollbackOf")


def _restore(scene: Scene, _words: Words) -> None:
    scene.ask_back("restoreOf")


def _home(scene: Scene, _words: Words) -> None:
    """Somebody brings the app back to its first Deployment."""
    scene.world.create(manifests.release(scene.policy, f"{scene.policy}-home", "", home=True), scene.namespace)


PHRASES = (
    Phrase("pause", r"(?P<verb>pause)", _pause),
    Phrase("resume", r"(?P<verb>resume)", _pause),
    Phrase("abort [reason]", r"abort(?: (?P<reason>.+))?", _abort),
    Phrase("promote", r"promote", _promote),
    Phrase("leave now REASON", r"leave now (?P<reason>.+)", _leave),
    Phrase("push config", r"push config", _push_config),
    Phrase("push v43", r"push (?P<version>[a-z0-9.-]+)", _push),
    Phrase("lift v42 [reason]", r"lift (?P<version>[a-z0-9.-]+)(?: (?P<reason>.+))?", _lift),
    Phrase("rollback", r"rollback", _rollback),
    Phrase("restore", r"restore", _restore),
    Phrase("home", r"home", _home),
)  # fmt: skip
