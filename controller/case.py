"""Everything that one look at a release before its start knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.accompanied import Accompanied
from controller.attempt import Attempt
from controller.release.names import AppKey
from controller.release.vocabulary import Origin
from policies.schema import ReleasePolicy


@dataclass(frozen=True, slots=True)
class Case:
    """A release that has not moved anything yet. `newer` names a release that asks for a newer version, or ""."""

    app: AppKey
    attempt: Attempt
    policy: ReleasePolicy
    course: Accompanied
    attempts: Sequence[Attempt]
    newer: str
    origin: Origin
    now: float

    @property
    def restored(self) -> Attempt | None:
        """The release that this one restores, if there still is one."""
        return next((each for each in self.attempts if each.name == self.attempt.spec.restore_of), None)
