"""The recreate strategy: all pods go, then all come back as the new version."""

from policies.model import Part
from policies.values import Duration


class Recreate(Part):
    """All pods go before the new ones come: for development and test, and for apps that must never run twice."""

    @property
    def watched(self) -> int:
        """The number of stages that gates watch."""
        return 1

    def shortest(self, at_least: Duration) -> tuple[Duration, str]:
        """The least time of a release, and where it goes in words."""
        return at_least, f"one stage of at least {at_least}"

    def surge(self, desired: int) -> int:
        """Pods allowed above `desired`."""
        return 0

    def unavailable(self, desired: int) -> int:
        """Ready pods that may be missing from `desired`."""
        return desired

    def merged(self, desired: int) -> list[str]:
        """No stages coincide: there is one."""
        return []
