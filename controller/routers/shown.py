"""What a router's objects show when they are read back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """The split that stands in the objects.

    weight: percent of the requests that the contender gets. matches: whether the policy's matches lead to it. pinned:
    whether the rest reaches incumbents only; where it does not, the rest is shared by pods. unseen: why the router is
    not known to have acted upon it yet, "" where it has or says nothing.
    """

    weight: int
    matches: bool
    pinned: bool
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """The objects carry no traffic to this app any more; `because` says what is missing and what to do."""

    because: str
