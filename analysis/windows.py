"""In which windows the contender was seen, and in which anybody asked it anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ALIGNMENT = 0.01
"""Seconds by which an instant may miss the common grid."""


@dataclass(frozen=True, slots=True)
class ContenderWindows:
    """Windows of one gate: `begun` are their beginnings in seconds; seen and asked of the contender are flags."""

    begun: npt.NDArray[np.float64]
    seen: npt.NDArray[np.bool_]
    asked: npt.NDArray[np.bool_]

    def since(self, at: float) -> int:
        """Windows that began at `at` or later with usable data of the contender; 0 while no request reached it.

        Time in which nobody asked the contender anything is no observation, however well its counters were scraped.
        """
        kept = self.begun >= at - ALIGNMENT
        return int(self.seen[kept].sum()) if self.asked[kept].any() else 0
