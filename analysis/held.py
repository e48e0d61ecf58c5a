"""Evidence of one look beside what it must exceed, and what follows: degraded, leaning, and the words for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.assumptions import MARGIN_ALPHA
from analysis.learned import Calibration, Standing
from analysis.question import Settings
from analysis.verdict import ASSUMED, Effect, Evidence, Exposure, Freshness, Verdict


@dataclass(frozen=True, slots=True)
class Bars:
    """What evidence must exceed, in natural logs, and what stands behind that.

    change, margin: both at one look for Degraded. pause: above it a release does not go on by itself.
    """

    change: float
    margin: float
    pause: float
    standing: Standing

    @classmethod
    def assumed(cls, settings: Settings, boundaries: int = 1) -> Bars:
        """Of e-values: one over the level; the best of several margin tests needs as many times more."""
        return cls(
            math.log(1.0 / settings.alpha),
            math.log(boundaries / MARGIN_ALPHA),
            math.log(1.0 / settings.pause_alpha),
            ASSUMED,
        )

    @classmethod
    def learned(cls, calibration: Calibration, standing: Standing) -> Bars:
        """Of replays."""
        return cls(calibration.change, calibration.margin, calibration.pause, standing)


@dataclass(frozen=True, slots=True)
class Held:
    """Evidence in natural logs, on the scale of its bars: change against no change, margin against the margin.

    leans_by_both: whether evidence leans only where it speaks against the margin, too; what the replays' pause
    threshold promises is for the change alone.
    """

    change: float
    margin: float
    bars: Bars
    leans_by_both: bool
    warnings: tuple[str, ...] = ()

    @property
    def degraded(self) -> bool:
        """Both promises broken at one look: a change beyond chance, and beyond the margin."""
        return self.change > self.bars.change and self.margin > self.bars.margin

    @property
    def leaning(self) -> bool:
        """The evidence points to harm: the release must not go on by itself."""
        return self.change > self.bars.pause and (self.margin > 0.0 or not self.leans_by_both)

    def evidence(
        self,
        verdict: Verdict,
        because: str,
        would_change: str,
        *,
        exposure: Exposure,
        freshness: Freshness,
        effect: Effect,
        could_hide: float | None,
    ) -> Evidence:
        """A verdict with these numbers beside it."""
        return Evidence(
            verdict=verdict,
            because=because,
            would_change=would_change,
            exposure=exposure,
            freshness=freshness,
            effect=effect,
            log_evidence=self.change,
            threshold=self.bars.change,
            margin_evidence=self.margin,
            margin_threshold=self.bars.margin,
            standing=self.bars.standing,
            leaning=self.leaning,
            could_hide=could_hide,
            warnings=self.warnings,
        )

    def exceeded(self, margin: str, blame: str | None) -> str:
        """Why Degraded, for a sentence; margin: what is tolerated, in words."""
        return (
            f"evidence {self.change:.1f} above {self.bars.change:.1f}, margin {margin} exceeded by {self.margin:.1f} "
            f"above {self.bars.margin:.1f}"
            + (f"; pod {blame} carries it, the others are inside the margin" if blame else "")
        )

    @property
    def undone(self) -> str:
        """What would no longer be Degraded."""
        return f"evidence at or below {self.bars.change:.1f}, or margin evidence at or below {self.bars.margin:.1f}"


def bounded(value: float) -> float | None:
    """A number where it is finite."""
    return value if math.isfinite(value) else None
