"""The upper tail of M, the largest surprise of an hour: what M exceeds by chance, and how rare a value of it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import BAND_DEEP_ALPHA, BAND_DEEP_SLOPE, TAIL_SHARE
from analysis.special import FloatArray


@dataclass(frozen=True, slots=True)
class Tail:
    """The upper tail of M: location (its Q80), spread (mean excess over it), segments (stretches of
    two hours that share no point: the hour before an origin and the one after it)."""

    location: float
    spread: float
    segments: int

    def threshold(self, alpha: float) -> float:
        """What M exceeds in a share alpha of healthy hours, alpha <= .2; the fit's own error is in it."""
        steep = math.log(TAIL_SHARE / max(alpha, BAND_DEEP_ALPHA))
        deep = math.log(BAND_DEEP_ALPHA / min(alpha, BAND_DEEP_ALPHA))
        return self.location + self._slope * (steep + BAND_DEEP_SLOPE * deep)

    def nats(self, maximum: float) -> float:
        """M on the scale on which the threshold at alpha is ln(1/alpha): the inverse of `threshold`."""
        above = (maximum - self.location) / self._slope
        steep = math.log(TAIL_SHARE / BAND_DEEP_ALPHA)
        return math.log(1.0 / TAIL_SHARE) + min(above, steep) + max(above - steep, 0.0) / BAND_DEEP_SLOPE

    def survival(self, maxima: FloatArray) -> FloatArray:
        """A bound of P(M > m), element by element: the tail above its location; below it nothing is known, so 1."""
        above = (maxima - self.location) / self._slope
        steep = math.log(TAIL_SHARE / BAND_DEEP_ALPHA)
        nats = np.minimum(above, steep) + np.maximum(above - steep, 0.0) / BAND_DEEP_SLOPE
        chance: FloatArray = np.where(above < 0.0, 1.0, TAIL_SHARE * np.exp(-np.maximum(nats, 0.0)))
        return chance

    @property
    def _slope(self) -> float:
        return self.spread * (1.0 + 1.0 / math.sqrt(TAIL_SHARE * max(self.segments, 1)))
