"""What a comparison can see at all: pods, time and traffic needed in closed form, and which of them is missing.

These are approximations that explain; what a gate promises is measured on replays (`analysis.power`). They leave out
peeking, restarts and the shape of the noise, and take the last stage's pods for the whole observation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from analysis.assumptions import CAUGHT
from analysis.learned import Noise

_GAUSS = NormalDist()
_MOST_PODS = 10_000
_LONGEST = 100_000.0  # windows


class Missing(StrEnum):
    """What would have to be more of for a harm to be caught."""

    NOTHING = "nothing"
    PODS = "pods"
    TIME = "time"
    TRAFFIC = "traffic"


@dataclass(frozen=True, slots=True)
class Course:
    """What the comparison of one release has: a fleet, a share of it on trial, and how long both are watched.

    contender, incumbent: pods of the longest-watched stage with both. windows: all windows watched in sequence, of
    `window` seconds each. requests: per window and pod, in the gate's own unit of exposure.
    """

    contender: int
    incumbent: int
    windows: float
    window: float
    requests: float

    def __post_init__(self) -> None:
        if self.contender < 1 or self.incumbent < 1 or self.windows <= 0 or self.requests <= 0.0:
            raise ValueError(f"nothing is compared: {self}")


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing to catch a ratio, and the same as one line."""

    missing: Missing
    detail: str


def requests_needed(
    rate: float, odds: float, effect: float, *, margin: float = 1.25, threshold: float = math.log(100.0), phi: float = 1
) -> float:
    """Contender requests until events times `effect` are caught where pods do not differ at all.

    rate: events per request. odds: contender requests over incumbent requests. n = φ (c + 2) r / [p (1 + r e^θ)
    kl(q(θ) || q(δ))] with q(θ) = r e^θ / (1 + r e^θ): the information that an event carries about whose it is, up to
    the threshold c and two nats of overshoot and learning. inf for effects inside the margin.
    """
    if effect <= margin:
        return math.inf
    ours, bound = odds * effect, odds * margin
    q, q0 = ours / (1.0 + ours), bound / (1.0 + bound)
    kl = q * math.log(q / q0) + (1.0 - q) * math.log((1.0 - q) / (1.0 - q0))
    return phi * (threshold + 2.0) * odds / (rate * (1.0 + ours) * kl)


def pod_ceiling(sd: float, contender: int, incumbent: int, *, alpha: float = 0.01, power: float = CAUGHT) -> float:
    """The smallest ratio that can be caught whatever the traffic: ln ratio = (z_α + z_β) τ √(1/k + 1/k').

    sd: τ, the standard deviation of a pod's mean log rate that no traffic removes.
    """
    return math.exp(_both(alpha, power) * sd * math.sqrt(1.0 / contender + 1.0 / incumbent))


def level_power(ratio: float, sd: float, contender: int, reference: int, *, alpha: float = 0.01) -> float:
    """Upper bound on the chance that a level times `ratio` is seen among `reference` pods with Gaussian log levels.

    Φ(|ln ρ| / (τ √(1/k + 1/M)) - z_α), however long one waits: the same pods keep their levels. 0 without pods on a
    side.
    """
    if contender < 1 or reference < 1:
        return 0.0
    spread = max(sd, 1e-9) * math.sqrt(1.0 / contender + 1.0 / reference)
    return _GAUSS.cdf(abs(math.log(ratio)) / spread - _GAUSS.inv_cdf(1.0 - alpha))


def level_floor(contender: int, reference: int) -> float:
    """The smallest error rate that ranks alone can promise: 1 / C(M + k, k), all contender pods above all others."""
    return 1.0 / math.comb(reference + contender, contender)


def missing(effect: float, rate: float, noise: Noise, course: Course, *, alpha: float = 0.01) -> Lack:
    """What a release lacks to catch events times `effect` with a chance of 90 %, by the variance of the contrast.

    The variance that (ln effect / (z_α + z_β))² allows is spent by pods that differ for good, by what is left of
    window noise after the observation, and by chance in counts, in this order: the first one that alone exceeds it is
    what must change, because nothing later can make up for it.
    """
    told = f"x{effect:g}"
    if effect <= 1.0:
        return Lack(Missing.NOTHING, f"{told} is no harm")
    allowed = (math.log(effect) / _both(alpha, CAUGHT)) ** 2
    sides = 1.0 / course.contender + 1.0 / course.incumbent
    steady = _noise(noise, math.inf)
    if steady * sides >= allowed:
        return Lack(Missing.PODS, _more_pods(told, steady, allowed, course, alpha))
    if _noise(noise, course.windows) * sides >= allowed:
        return Lack(Missing.TIME, _more_time(told, noise, sides, allowed, course))
    if _variance(noise, rate, effect, sides, course, course.windows, 1.0) > allowed:
        return Lack(Missing.TRAFFIC, _more_traffic(told, noise, rate, effect, sides, allowed, course))
    return Lack(Missing.NOTHING, f"{told}: pods, time and traffic are enough")


def _variance(
    noise: Noise, rate: float, effect: float, sides: float, course: Course, windows: float, traffic: float
) -> float:
    """Variance of the contrast after so many windows with so many times the traffic."""
    seen = windows * course.requests * traffic * rate
    ours, theirs = course.contender * seen * math.sqrt(effect), course.incumbent * seen
    return _noise(noise, windows) * sides + noise.spread * (1.0 / (ours + 1e-12) + 1.0 / (theirs + 1e-12))


def _noise(noise: Noise, windows: float) -> float:
    """ln(1 + v(L)); for L = inf what stays for the life of the pod."""
    if math.isinf(windows):
        pairs = zip(noise.variation.times, noise.variation.variances, strict=True)
        return math.log1p(sum(variance for time, variance in pairs if math.isinf(time)))
    return math.log1p(float(noise.variation.of(np.array([windows]))[0]))


def _both(alpha: float, power: float) -> float:
    return _GAUSS.inv_cdf(1.0 - alpha) + _GAUSS.inv_cdf(power)


def _more_pods(told: str, steady: float, allowed: float, course: Course, alpha: float) -> str:
    total = course.contender + course.incumbent
    share = course.contender / total
    needed = math.ceil(steady * (1.0 / share + 1.0 / (1.0 - share)) / allowed)
    ceiling = pod_ceiling(math.sqrt(steady), course.contender, course.incumbent, alpha=alpha)
    line = (
        f"more pods, not more time: healthy pods differ by {100.0 * math.sqrt(steady):.0f} %, so {course.contender} of "
        f"{total} pods show no less than x{ceiling:.2g} whatever the traffic"
    )
    if needed > _MOST_PODS:
        return f"{line}; {told} is out of reach with any fleet"
    return f"{line}; {told} needs about {needed} pods, {max(round(share * needed), 1)} of them on trial"


def _more_time(told: str, noise: Noise, sides: float, allowed: float, course: Course) -> str:
    windows = course.windows
    while windows < _LONGEST and _noise(noise, windows) * sides >= allowed:
        windows *= 1.1
    watched, needed = course.windows * course.window / 60.0, windows * course.window / 60.0
    if windows >= _LONGEST:
        return f"more pods: pods vary for so long that {told} does not show within {needed:,.0f} min"
    return (
        f"more time: pods vary from window to window, and {watched:.0f} min do not even that out; {told} needs about "
        f"{needed:.0f} min, whatever the traffic"
    )


def _more_traffic(
    told: str, noise: Noise, rate: float, effect: float, sides: float, allowed: float, course: Course
) -> str:
    seen = course.windows * course.requests * course.contender
    times = 1.0
    while times < _LONGEST and _variance(noise, rate, effect, sides, course, course.windows, times) > allowed:
        times *= 1.05
    windows = course.windows
    while windows < _LONGEST and _variance(noise, rate, effect, sides, course, windows, 1.0) > allowed:
        windows *= 1.05
    line = f"more traffic or time: {told} needs about {seen * times:,.0f} contender requests, {seen:,.0f} are due"
    if windows < _LONGEST:
        line += f"; at this traffic {windows * course.window / 60.0:,.0f} min"
    return line
