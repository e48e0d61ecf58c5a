"""The blueGreen strategy: the contender at full size beside the incumbent, and one switch of a Service."""

from collections.abc import Iterator

from pydantic import Field

from policies.batches import Advance
from policies.model import Part, Problem
from policies.names import ServiceName
from policies.values import Duration, Wait

_ENDING = "-preview"
_LONGEST = 63


class SwitchAdvance(Part):
    """Who lets a stage go on to the next: the gates alone, or a person after the gates."""

    preview: Advance = Field(
        default="auto", description="After the preview: auto, or manual (wait for a promote before the switch)."
    )
    switch: Advance = Field(
        default="auto", description="After the switch: auto, or manual (wait for a promote before the old pods go)."
    )


class BlueGreen(Part):
    """The whole contender runs beside the incumbent, is watched as a preview, and gets the Service at once."""

    service: ServiceName = Field(description="The Service that is switched from one version to the other.")
    preview: ServiceName | None = Field(
        default=None,
        description="The Service that reaches the contender before the switch; it is made if it does not exist. "
        "Default: the name of the Service with -preview after it.",
    )
    preview_for: Duration | None = Field(
        default=None, description="How long the preview is watched at least. Default: observe.atLeast."
    )
    keep: Wait = Field(
        default=Wait(3_600_000),
        description="How long the old pods stay after the switch, so that the way back is the Service alone.",
    )
    allow_others: bool = Field(
        default=False,
        description="true: other Services that select the app's pods may stay, and reach both versions at once.",
    )
    advance: SwitchAdvance = Field(default=SwitchAdvance(), description="Who lets a stage go on to the next.")

    def problems(self) -> Iterator[Problem]:
        if self.preview == self.service:
            yield Problem(("preview",), f"{self.service} for both Services", "a Service of its own")
        if self.preview is None and len(self.service) > _LONGEST - len(_ENDING):
            found = f"a Service whose preview would have a name of {len(self.service) + len(_ENDING)} characters"
            yield Problem(("preview",), found, f"preview: a name of at most {_LONGEST} characters")

    @property
    def previews(self) -> str:
        """The name of the preview Service."""
        return self.preview or f"{self.service}{_ENDING}"

    @property
    def watched(self) -> int:
        """The number of stages that gates watch: the preview and the switch."""
        return 2

    def shortest(self, at_least: Duration) -> tuple[Duration, str]:
        """The least time of a release, and where it goes in words; `at_least` is that of one stage."""
        preview = self.preview_for or at_least
        words = f"a preview of at least {preview}, a switch of at least {at_least} and keep {self.keep}"
        return Duration(preview.milliseconds + at_least.milliseconds + self.keep.milliseconds), words

    def surge(self, desired: int) -> int:
        """Pods allowed above `desired`: a whole second app."""
        return desired

    def unavailable(self, desired: int) -> int:
        """Ready pods that may be missing from `desired`: none."""
        return 0

    def merged(self, desired: int) -> list[str]:
        """No stages coincide: they differ by where the Service points."""
        return []
