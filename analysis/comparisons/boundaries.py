"""Which latency buckets to watch, and what a change of latency means for the share of requests above each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.assumptions import COARSE_TAIL, EXCEEDANCE_TARGETS, LEARNING_REQUESTS, LEARNING_WINDOWS
from analysis.samples import Histogram
from analysis.special import FloatArray

_LEAST_MARGIN, _MOST_MARGIN = 0.02, 0.5
_MOST_LATENCY = 100.0  # a boundary says nothing about latency that is a hundred times worse


@dataclass(frozen=True, slots=True)
class Boundary:
    """One watched bucket bound.

    index, seconds: which one. share: the incumbent's share of requests above it. slope: change of ln share per unit
    of ln latency, so that latency times λ raises ln share by about slope ln λ.
    """

    index: int
    seconds: float
    share: float
    slope: float

    def margin(self, ratio: float) -> float:
        """Log ratio of shares that a latency times `ratio` would make, kept between .02 and .5."""
        return min(max(self.slope * math.log(ratio), _LEAST_MARGIN), _MOST_MARGIN)

    def harm(self, ratio: float) -> float:
        """Log ratio of shares at which latency is `ratio` times worse; never beyond every request being slower."""
        most = -math.log(self.share) if self.share > 0.0 else math.inf
        return min(self.slope * math.log(ratio), 0.9 * most)

    def latency(self, ratio: float) -> float | None:
        """How much worse latency would make this ratio of shares > 0; None where that cannot be told."""
        worse = math.log(ratio) / self.slope if math.isfinite(ratio) and self.slope > 0.0 else math.inf
        return math.exp(worse) if worse < math.log(_MOST_LATENCY) else None


def log_odds(share: float) -> float:
    """ln(p / (1 - p)) of a share 0 < p < 1, in steps fine enough for a tie to be a tie."""
    return round(math.log(share / (1.0 - share)), 6)


def exceedance(histogram: Histogram, *, contender: bool) -> FloatArray:
    """Share of one side's requests above each boundary, shape (boundaries,); zeros without requests."""
    side = histogram.tally.contender if contender else ~histogram.tally.contender
    total = float(histogram.tally.exposure[side].sum())
    above: FloatArray = histogram.slower.sum(axis=2)[:, side].sum(axis=1)
    return above / total if total > 0.0 else np.zeros_like(above)


def watched(histogram: Histogram) -> list[Boundary]:
    """Boundaries whose incumbent exceedance is nearest .5, .1, .02 and .005 by log odds, each once, ascending.

    Learned from the incumbents' first windows of this release (at least ten windows and 10,000 requests, or all there
    are), so that later looks keep the same boundaries; a gate with history will take them from there. When incumbents
    never exceed any boundary, the lowest such boundary is watched; none at all when every request lies above the last.
    """
    histogram = histogram.first(learning_windows(histogram))
    shares = exceedance(histogram, contender=False)
    usable = np.flatnonzero((shares > 0.0) & (shares < 1.0))
    if not usable.size:
        empty = np.flatnonzero(shares <= 0.0)
        chosen = [int(empty[0])] if empty.size else []
    else:
        chosen = sorted({_nearest(shares, usable, target) for target in EXCEEDANCE_TARGETS})
    return [Boundary(j, float(histogram.boundaries[j]), float(shares[j]), _slope(histogram, shares, j)) for j in chosen]


def quantile(histogram: Histogram, level: float, *, contender: bool) -> float | None:
    """Latency quantile in seconds, interpolated linearly inside its bucket; None above the last finite bucket."""
    return quantiles_of(histogram, [level], contender=contender)[0]


def quantiles_of(histogram: Histogram, levels: Sequence[float], *, contender: bool) -> list[float | None]:
    """`quantile` at several levels of one side; None without requests."""
    side = histogram.tally.contender if contender else ~histogram.tally.contender
    if not histogram.tally.exposure[side].sum() > 0.0:
        return [None] * len(levels)
    below = 1.0 - exceedance(histogram, contender=contender)
    return [_quantile(histogram.boundaries, below, level) for level in levels]


def _quantile(boundaries: FloatArray, below: FloatArray, level: float) -> float | None:
    at = int(np.searchsorted(below, level - 1e-12))
    if at >= below.size:
        return None
    left, low = (0.0, 0.0) if at == 0 else (float(boundaries[at - 1]), float(below[at - 1]))
    left = min(left, float(boundaries[at]))
    width, mass = float(boundaries[at]) - left, float(below[at]) - low
    return left + width * ((level - low) / mass if mass > 0.0 else 1.0)


def too_coarse(histogram: Histogram) -> str | None:
    """A warning when more than 5 % of incumbent requests lie above the last finite bucket."""
    side = ~histogram.tally.contender
    total = float(histogram.tally.exposure[side].sum())
    beyond = float(histogram.slower[-1, side].sum()) / total if total > 0.0 else 0.0
    if beyond <= COARSE_TAIL:
        return None
    return f"{100.0 * beyond:.3g} % of incumbent requests lie above the last bucket {histogram.boundaries[-1]:g} s"


def _nearest(shares: FloatArray, usable: npt.NDArray[np.intp], target: float) -> int:
    """The boundary whose share is nearest to a target; of two equally near ones the one further in the tail."""
    distance = [abs(log_odds(float(shares[j])) - log_odds(target)) for j in reversed(usable)]
    return int(usable[::-1][int(np.argmin(distance))])


def learning_windows(histogram: Histogram) -> int:
    """How many of the first shared windows the boundaries are learned from."""
    requests = np.cumsum(histogram.tally.exposure[~histogram.tally.contender].sum(axis=0))
    return max(int(np.searchsorted(requests, LEARNING_REQUESTS)) + 1, LEARNING_WINDOWS)


def _slope(histogram: Histogram, shares: FloatArray, j: int) -> float:
    """-d ln S / d ln b just below boundary j, by the chord to the boundary before it.

    Where the share before is 1 or there is no boundary before, or S(b) is 0, mass is taken as spread evenly over the
    bucket in seconds instead (the usual histogram interpolation).
    """
    here, share = float(histogram.boundaries[j]), float(shares[j])
    before = float(histogram.boundaries[j - 1]) if j else 0.0
    upper = float(shares[j - 1]) if j else 1.0
    if share <= 0.0 or here <= 0.0:
        return 1.0
    if before > 0.0 and upper < 1.0:
        return max(math.log(upper / share) / math.log(here / before), 0.0)
    return max((upper - share) / share * here / (here - before), 0.0)
