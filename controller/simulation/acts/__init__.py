"""What can happen in a scenario: the phrases after the colon, each with its effect on the scene. A table."""

from __future__ import annotations

from collections.abc import Callable

from controller.simulation.acts import beside, surroundings, versions, wishes, workloads
from controller.simulation.scene import Scene

Act = Callable[[Scene], None]

_PHRASES = (
    *versions.PHRASES, *surroundings.PHRASES, *beside.PHRASES, *workloads.PHRASES, *wishes.PHRASES
)  # fmt: skip


def act_of(text: str) -> Act:
    """The act that a phrase means. Raises ValueError with what is known."""
    for phrase in _PHRASES:
        if (words := phrase.words(text)) is not None:
            return lambda scene, words=words, effect=phrase.effect: effect(scene, words)  # type: ignore[misc]
    first = text.split(maxsplit=1)[0] if text.split() else ""
    usages = [phrase.usage for phrase in _PHRASES]
    near = [usage for usage in usages if usage.split()[0] == first]
    raise ValueError(f"found {text!r}; allowed: {' | '.join(near or usages)}")
