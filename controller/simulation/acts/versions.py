"""How the pods of a version behave."""

from __future__ import annotations

import re

from controller.simulation.acts.phrase import WHO, Phrase, Words, seconds
from controller.simulation.scene import Scene

_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
_FACTOR = re.compile(r"x(\d+(?:\.\d+)?)")


def _degrees(field: str, unit: re.Pattern[str], example: str, whole: float = 1.0) -> Phrase:
    """The phrase that gives a field of a behaviour a value, for one version or for several."""

    def effect(scene: Scene, words: Words) -> None:
        for who, number in _pairs(words["pairs"], unit, example):
            scene.world.behave(scene.version(who), **{field: number / whole})

    def judged(words: Words) -> object:
        return _pairs(words["pairs"], unit, example)

    return Phrase(f"{field} WHO={example} ...", rf"{field} (?P<pairs>.+)", effect, judged)


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


def _crash(scene: Scene, words: Words) -> None:
    after = seconds(words["after"]) if "after" in words else 2.0
    scene.world.behave(scene.version(words["who"]), crashes_after=after)


def _fail_init(scene: Scene, words: Words) -> None:
    """Its init container fails, again and again."""
    scene.world.behave(scene.version(words["who"]), init_fails_after=2.0)


def _never_ready(scene: Scene, words: Words) -> None:
    scene.world.behave(scene.version(words["who"]), ready=False)


def _slow(scene: Scene, words: Words) -> None:
    scene.world.behave(scene.version(words["who"]), starts_in=seconds(words["in"]))


def _cannot_pull(scene: Scene, words: Words) -> None:
    scene.world.behave(scene.version(words["who"]), cannot_pull=True)


def _heal(scene: Scene, words: Words) -> None:
    healthy = scene.world.ordinary
    scene.world.behave(
        scene.version(words["who"]),
        ready=True,
        crashes_after=None,
        init_fails_after=None,
        cannot_pull=False,
        starts_in=None,
        latency=healthy.latency,
        orders=healthy.orders,
        memory=healthy.memory,
    )


PHRASES = (
    _degrees("errors", _SHARE, "4.00%", whole=100.0),
    _degrees("latency", _FACTOR, "x2"),
    _degrees("orders", _FACTOR, "x0.5"),
    _degrees("memory", _FACTOR, "x1.5"),
    Phrase("crash WHO [after 20s]",
           rf"crash {WHO}(?: after (?P<after>\w+))?", _crash, lambda words: seconds(words.get("after", "2s"))),
    Phrase("fail-init WHO", rf"fail-init {WHO}", _fail_init),
    Phrase("never-ready WHO", rf"never-ready {WHO}", _never_ready),
    Phrase("slow WHO 90s", rf"slow {WHO} (?P<in>\w+)", _slow, lambda words: seconds(words["in"])),
    Phrase("cannot-pull WHO", rf"cannot-pull {WHO}", _cannot_pull),
    Phrase("heal WHO", rf"heal {WHO}", _heal),
)  # fmt: skip
