"""What the controller's own configuration tells a tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_FIRST_WINDOWS = 3  # in which a gate may wait for its first samples before it counts as blind


@dataclass(frozen=True, slots=True)
class Source:
    """A metric source as the tick knows it: seconds between scrapes and the length of a window (>= 2 scrapes)."""

    scrape: float = 15.0
    window: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.scrape <= self.window:
            raise ValueError(f"a window ({self.window:g} s) must hold at least two scrapes ({self.scrape:g} s)")

    @property
    def patience(self) -> float:
        """Seconds within which the first samples of something new are waited for; later it counts as blind."""
        return _FIRST_WINDOWS * self.window + self.scrape


@dataclass(frozen=True, slots=True)
class Settings:
    """What the controller's own configuration tells a tick."""

    sources: Mapping[str, Source] = field(default_factory=lambda: {"default": Source()})
    interval: float = 15.0  # seconds between ticks of an active release
    endpoints: frozenset[str] = frozenset()  # names that webhook gates may call
    hears: bool = True  # whether an Alertmanager is configured: else nobody can say what fires
    learns: bool = False  # whether somebody keeps Baseline objects: else no release asks or waits for one
