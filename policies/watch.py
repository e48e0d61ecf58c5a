"""The watch: gates and alerts go on for a while after the last batch, and can still bring the old version back."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from policies.model import Part, Problem
from policies.values import Duration

_SHORTEST, _LONGEST = Duration.of("1m"), Duration.of("24h")


class Watch(Part):
    """What goes on after a release has succeeded."""

    lasts: Duration = Field(
        alias="for",
        description="How long after the success a hard limit, the history of a gate or an alert may still bring the "
        "version before it back, as a release of its own. From 1m to 24h.",
    )
    on_blind: Literal["tell", "rollBack"] = Field(
        default="tell",
        description="What follows when a required gate has no usable data for `onBlind.hold`: tell (people are told, "
        "nothing moves) or rollBack.",
    )

    def problems(self) -> Iterator[Problem]:
        if not _SHORTEST <= self.lasts <= _LONGEST:
            yield Problem(("for",), str(self.lasts), f"from {_SHORTEST} to {_LONGEST}")
