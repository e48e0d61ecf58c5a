"""One phrase of a scenario: how it is written, what it does to the scene, and the values that phrases are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic_core import PydanticCustomError

from controller.simulation.scene import Scene
from policies.values import Duration

Words = Mapping[str, str]
Effect = Callable[[Scene, Words], None]

WHO = r"(?P<who>contender|incumbent|[a-z0-9][a-z0-9.-]*)"
SLOT = r"(?P<slot>contender|incumbent)"
NUMBER = r"(?P<number>\d+)"


@dataclass(frozen=True, slots=True)
class Phrase:
    """usage: as people are told of it. pattern: a regular expression whose named groups are the words of the effect.

    judged: arguments that the pattern cannot judge, asked when a scenario is read and not in the middle of its run;
    raises ValueError.
    """

    usage: str
    pattern: str
    effect: Effect
    judged: Callable[[Words], object] | None = None

    def words(self, text: str) -> Words | None:
        """The words in a text, None where it is another phrase. Raises ValueError."""
        if (match := re.fullmatch(self.pattern, text)) is None:
            return None
        words = {key: value for key, value in match.groupdict().items() if value is not None}
        if self.judged is not None:
            self.judged(words)
        return words


def seconds(text: str) -> float:
    """A duration such as 90s, 3m or 1h30m. Raises ValueError."""
    if text in ("0s", "0m"):
        return 0.0
    try:
        return Duration.of(text).seconds
    except PydanticCustomError:
        raise ValueError(f"found {text!r}; allowed: a duration such as 90s, 3m or 1h30m") from None


def mapping(text: str) -> dict[str, Any]:
    """A YAML flow mapping. Raises ValueError."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"found {text!r}; allowed: a YAML mapping such as {{observe: {{atLeast: 1m}}}}")
    return value


def change_in(words: Words) -> dict[str, Any]:
    """The mapping that a phrase ends with. Raises ValueError."""
    return mapping(words["change"])
