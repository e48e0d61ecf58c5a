"""In which of its versions the server has a kind: that one is asked for first, the others where it is gone."""

from __future__ import annotations

from controller.cluster.paths import OBJECTS, Resource
from controller.release.names import Kind


class Served:
    """The version of each kind that the server was last seen to have. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[Kind, Resource] = {}

    def versions(self, kind: Kind) -> tuple[Resource, ...]:
        """The versions to ask for, in order: the one that the server had last time first."""
        known = self._known.get(kind)
        return OBJECTS[kind] if known is None else (known, *(each for each in OBJECTS[kind] if each is not known))

    def note(self, kind: Kind, resource: Resource) -> None:
        """The server has the kind in this version."""
        self._known[kind] = resource

    def forget(self, kind: Kind) -> None:
        """The server no longer has the kind in the version that it had."""
        self._known.pop(kind, None)
