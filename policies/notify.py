"""Who is told what: notifiers by their names in the controller's configuration, and the events of a release."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from policies.model import Part, Problem
from policies.names import NotifierName

Event = Literal[
    "started", "advanced", "paused", "resumed", "rollingBack", "rolledBack", "succeeded", "needsHuman", "cancelled",
    "superseded", "windowMissed", "watchBlind",
]  # fmt: skip
# What asks for somebody's eyes.
USUAL: tuple[Event, ...] = ("paused", "rollingBack", "rolledBack", "needsHuman", "windowMissed", "watchBlind")


class Route(Part):
    """One notifier, by its kind and its name."""

    webhook: NotifierName | None = Field(
        default=None, description="The name of a webhook in the controller's configuration; never a URL."
    )
    email: NotifierName | None = Field(
        default=None, description="The name of an e-mail notifier in the controller's configuration; never an address."
    )

    def problems(self) -> Iterator[Problem]:
        if (self.webhook is None) == (self.email is None):
            found = "neither webhook nor email" if self.webhook is None else "webhook and email"
            yield Problem((), found, "exactly one of webhook and email")

    @property
    def notifier(self) -> str:
        """Kind and name in one word, such as email/release-room."""
        return f"webhook/{self.webhook}" if self.webhook is not None else f"email/{self.email}"


class NotifyRoute(Route):
    """Who is told which events of a release."""

    # Not `on`: YAML of kubectl reads that key as a truth value, and the API server drops it without a word.
    events: tuple[Event, ...] = Field(
        default=USUAL,
        strict=False,
        min_length=1,
        description="The events that are told. Default: those that ask for somebody's eyes.",
    )

    def problems(self) -> Iterator[Problem]:
        yield from super().problems()
        for index, event in enumerate(self.events):
            if event in self.events[:index]:
                yield Problem(("events", index), f"{event} again", "each event once")


class ReportRoute(Route):
    """Who is sent the report of a night."""
