"""Learning from history: pseudo-releases among healthy pods, and thresholds at which few of them would be stopped.

`learn` is a pure function of history and a seed. What it gives back is small and is kept between releases; history
itself is not.
"""

from __future__ import annotations

from analysis.learning.history import CountHistory, History, LatencyHistory, LevelHistory, cut, cut_histogram
from analysis.learning.plan import ReplayPlan
from analysis.learning.present import Present, compared
from analysis.learning.study import Study, learn, study

__all__ = [
    "CountHistory",
    "History",
    "LatencyHistory",
    "LevelHistory",
    "Present",
    "ReplayPlan",
    "Study",
    "compared",
    "cut",
    "cut_histogram",
    "learn",
    "study",
]
