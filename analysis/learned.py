"""What history has taught about one gate: plain numbers, kept between releases and read back with suspicion.

Everything here is data. The modules of `analysis.learning` fill it, the comparisons read it, and `restored` refuses
whatever was not written by this version or does not make sense.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analysis.assumptions import LEVEL_PLATEAU, SLOW_WINDOWS
from analysis.special import FloatArray


class Guarantee(StrEnum):
    """What stands behind the false-rollback figure of a verdict."""

    CALIBRATED = "calibrated"
    NOISE_CHANGED = "noise changed"
    EXACT = "exact"
    ASSUMED = "assumed pod noise"


@dataclass(frozen=True, slots=True)
class Standing:
    """The guarantee of one gate, with its uncertainty.

    alpha: the promised share of false rollbacks per release. segments: distinct stretches of history. replays:
    pseudo-releases cut out of them. realised: 95 % Clopper-Pearson interval of the rate on segments that were left
    out of the calibration, None where nothing was replayed.
    """

    guarantee: Guarantee = Guarantee.ASSUMED
    alpha: float = 0.01
    segments: int = 0
    replays: int = 0
    realised: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.guarantee is Guarantee.ASSUMED:
            return "assumed pod noise: no promised rate"
        if self.guarantee is Guarantee.EXACT:
            return f"exact at {100.0 * self.alpha:.3g} %"
        told = f"{self.guarantee.value}: {100.0 * self.alpha:.3g} % calibrated on {self.segments} segments"
        if self.realised is None:
            return told
        low, high = self.realised
        return f"{told}, realised {_in_percent(low)} to {_in_percent(high)} %"


def _in_percent(share: float) -> str:
    """Two significant digits as plain decimals; below .01 % plainly 0."""
    percent = 100.0 * share
    if percent < 0.01:
        return "0"
    decimals = max(1 - math.floor(math.log10(percent)), 0)
    return f"{percent:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{percent:.0f}"


@dataclass(frozen=True, slots=True)
class Variation:
    """How much healthy pods differ: v(L) = Σ c_j A(L; T_j), the variance of a pod's mean log rate over L windows.

    Each part is an AR(1) process of variance c_j that remembers for T_j windows (inf: for the life of the pod); A is
    the share of its variance left in a mean of L windows. times and variances have the same length.
    """

    times: tuple[float, ...]
    variances: tuple[float, ...]

    def of(self, windows: FloatArray) -> FloatArray:
        """v(L), element by element; L below one window counts as one."""
        total = np.zeros(np.shape(windows))
        for time, variance in zip(self.times, self.variances, strict=True):
            if variance > 0.0:
                total = total + variance * averaging(windows, memory_of(time))
        return total

    def slow(self) -> Variation:
        """The parts that a pod remembers for longer than a few windows."""
        parts = [p for p in zip(self.times, self.variances, strict=True) if p[0] >= SLOW_WINDOWS]
        return Variation(tuple(time for time, _ in parts), tuple(variance for _, variance in parts))


def memory_of(time: float) -> float:
    """AR(1) memory per window of a process that remembers for `time` windows."""
    return 1.0 if math.isinf(time) else math.exp(-1.0 / time)


def averaging(windows: FloatArray, memory: float) -> FloatArray:
    """Variance of the mean of L values of a stationary AR(1) with unit variance, L >= 1; 1 below that.

    [(1 + φ)/(1 - φ) - 2 φ (1 - φ^L) / (L (1 - φ)²)] / L, from summing the autocovariances φ^|i - j|; 1 for φ = 1.
    """
    if memory >= 1.0:
        return np.ones(np.shape(windows))
    n = np.maximum(windows, 1.0)
    left = 2.0 * memory * (1.0 - memory**n) / (n * (1.0 - memory) ** 2)
    result: FloatArray = ((1.0 + memory) / (1.0 - memory) - left) / n
    return result


@dataclass(frozen=True, slots=True)
class Noise:
    """Variation between pods that is not chance, and the spread of one event.

    variation: see there. rho: what window noise makes of the contender's share of events (beta-binomial).
    spread: variance of one count over its mean; 1 for rare events, 1 - p for a share p of requests.
    prior_sd: scale of the half-normal prior over log ratios beyond the null value.
    temper: what the ln evidence of the sides' counts is divided by before it is weighed against the margin together
    with the pods'; above 1 where noise that lasts for windows makes it run ahead of what it knows.
    """

    variation: Variation
    rho: float
    spread: float = 1.0
    prior_sd: float = 1.0
    temper: float = 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Brings one statistic's replay maxima to a common scale: (ln evidence - location) / spread, spread > 0."""

    location: float
    spread: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of one gate, from the maxima of its A/A replays.

    J = ln(exp((first - u)/β) + exp((second - u')/β')) joins a gate's two statistics. Degraded: J > change and margin
    evidence > margin, at one look. J > pause keeps a release from going on by itself.
    """

    first: Scale
    second: Scale
    change: float
    margin: float
    pause: float

    def joined(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """J, element by element."""
        joined: FloatArray = np.logaddexp(
            (first - self.first.location) / self.first.spread, (second - self.second.location) / self.second.spread
        )
        return joined


@dataclass(frozen=True, slots=True)
class AgeCurve:
    """Extra events of young pods: the expected rate is multiplied by 1 + extra · exp(-age / seconds)."""

    extra: float
    seconds: float

    def of(self, age: FloatArray) -> FloatArray:
        """The factor at ages in seconds."""
        return 1.0 + self.extra * np.exp(-np.maximum(age, 0.0) / self.seconds)


@dataclass(frozen=True, slots=True)
class LearnedCounts:
    """errorRatio and throughput: the noise of the rate, the rate itself (events per unit of exposure), thresholds.

    mix: stratum -> its rate over the overall rate; the exposure of a window is Σ requests · mix. usual: 5 and 95 %
    points of the noise statistic D over the segments of history, None where it was not learned.
    """

    noise: Noise
    rate: float
    calibration: Calibration
    standing: Standing
    age: AgeCurve | None = None
    mix: tuple[tuple[str, float], ...] = ()
    usual: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class LearnedBoundary:
    """One latency bucket bound: its seconds, the share of slower requests, δ of the margin, noise and margin scale."""

    seconds: float
    share: float
    slope: float
    margin: float
    noise: Noise
    scale: Scale


@dataclass(frozen=True, slots=True)
class LearnedLatency:
    """latency: the boundaries to watch, ascending; J joins the means over them. usual: as for counts."""

    boundaries: tuple[LearnedBoundary, ...]
    calibration: Calibration
    standing: Standing
    age: AgeCurve | None = None
    usual: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """How levels of pods up to an age differ from what they become: readings at ages below `until` seconds.

    shift: median ln of level over the same pod's level once grown up. sd: standard deviation of that between pods.
    """

    until: float
    shift: float
    sd: float


@dataclass(frozen=True, slots=True)
class LearnedLevels:
    """gauge: ln levels of pods of the role in history (12 to 200), their spread inside a pod, and thresholds.

    pods: the names of those pods, in the same order. offset: added to a reading before its logarithm, so that zero has
    one. within: sd of a pod's half-hour mean. plateau: age in seconds from which a pod is grown up. growth: steps by
    age below the plateau, ascending; without them younger pods cannot be compared.
    """

    levels: tuple[float, ...]
    within: float
    offset: float
    calibration: Calibration
    standing: Standing
    pods: tuple[str, ...] = ()
    plateau: float = LEVEL_PLATEAU
    growth: tuple[Growth, ...] = ()


Learned = LearnedCounts | LearnedLatency | LearnedLevels


@dataclass(frozen=True, slots=True)
class NotLearned:
    """Why history could not teach a gate; the gate then acts on assumed noise and says so.

    reason: one word of a fixed set, such as TooLittleHistory; detail: in numbers, one line.
    """

    reason: str
    detail: str
