"""Young pods: how many more events a pod has in its first minutes, learned from past rollouts.

A pod with cold caches fails or dawdles more often, whatever its version. Its expected events are multiplied by
w(age) = 1 + b e^(-age/T), for contender and incumbent pods alike.

In past rollouts the old pods of a window say what its events per unit of exposure were; a young pod's events are
Poisson around that times w(age), times an effect of the pod that lasts (Gamma with mean 1), which is integrated out:

    ln L_i(b, T) = [Σ_k x_ik ln w_k - (X_i + a) ln(Σ_k e_ik w_k + a)] / φ,  k over bins of age,  a = φ / (pod variance)

Without that effect, a version that was worse for good would pass for a long youth. φ is the dispersion of what is left,
as windows vary more than Poisson counts do. b is drawn towards 0 by a normal prior on ln(1 + b); T is one of six. The
likelihood of each pod is kept on a grid of (b, T), so that a fit to resampled rollouts is a weighted sum of rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.allowance import aged
from analysis.assumptions import AGE_BLOCK, AGE_EXTRA_SD, AGE_SECONDS, LEAST_ROLLOUTS, LEAST_YOUNG_EVENTS, POD_NOISE_SD
from analysis.learned import AgeCurve, NotLearned, Variation
from analysis.samples import Tally
from analysis.special import FloatArray

__all__ = ["Ages", "Rollout", "aged", "learned_ages", "resampled", "youthful"]

MATURE = 2400.0
"""Seconds after which a pod counts as old while the curve is learned: 2.5 times the longest T."""

_EDGES: FloatArray = np.concatenate(
    [np.arange(0.0, 300.0, 30.0), np.arange(300.0, 900.0, 60.0), [900.0, 1500.0, MATURE]]
)
_LN_EXTRA: FloatArray = np.linspace(-1.0, math.log(8.0), 78)
"""Grid of ln(1 + b): from a third of the events at birth to eight times as many."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What one past rollout showed: counts of all pods around it, and the start times of pods in seconds.

    A pod without a start time counts as old. power: events grow with w to this power; 1 for counts. For the requests
    above a latency boundary it is the boundary's slope, as w is then what youth does to latency itself.
    """

    tally: Tally
    born: Mapping[str, float]
    power: float = 1.0


@dataclass(frozen=True, slots=True)
class Ages:
    """Likelihoods of young pods on the grid of curves, and which rollout each pod belongs to.

    likelihood: shape (pods, len(AGE_SECONDS), len(grid of b)). rollout: (pods,) numbers of rollouts, 0 and up.
    """

    likelihood: FloatArray
    rollout: tuple[int, ...]

    @property
    def curve(self) -> AgeCurve:
        """The likeliest curve."""
        return self._best(np.ones(len(self.rollout)))

    def resampled(self, seed: int | Sequence[int]) -> AgeCurve:
        """The likeliest curve on rollouts, and pods in them, drawn with replacement."""
        rng = np.random.default_rng(seed)
        numbers = np.array(self.rollout)
        present = np.unique(numbers)
        weights = np.zeros(numbers.size)
        for number in rng.choice(present, present.size):
            pods = np.flatnonzero(numbers == number)
            np.add.at(weights, rng.choice(pods, pods.size), 1.0)
        return self._best(weights)

    def curves(self, count: int, seed: int) -> tuple[AgeCurve, ...]:
        """The likeliest curve, and so many that other rollouts like these could have taught."""
        return (self.curve, *(self.resampled([seed, number]) for number in range(count)))

    def _best(self, weights: FloatArray) -> AgeCurve:
        total = np.tensordot(weights, self.likelihood, axes=1) - 0.5 * (_LN_EXTRA / AGE_EXTRA_SD) ** 2
        time, place = np.unravel_index(int(np.argmax(total)), total.shape)
        return AgeCurve(math.expm1(_vertex(total[time], int(place))), AGE_SECONDS[int(time)])


def learned_ages(rollouts: Sequence[Rollout]) -> Ages | NotLearned:
    """Likelihoods of the age curve from at least three past rollouts; several powers of one rollout count once."""
    bins = [_young(rollout) for rollout in rollouts]
    numbers = {number: place for place, number in enumerate(dict.fromkeys(id(r.born) for r in rollouts))}
    told = {numbers[id(r.born)] for r, (x, _, _) in zip(rollouts, bins, strict=True) if x.size}
    if len(told) < LEAST_ROLLOUTS:
        return NotLearned(
            "TooFewRollouts", f"{len(told)} rollouts show young beside old pods, {LEAST_ROLLOUTS} are needed"
        )
    expected = sum(float(e.sum()) for _, e, _ in bins)
    if expected < LEAST_YOUNG_EVENTS:
        return NotLearned(
            "TooFewEvents", f"{expected:.3g} events of young pods were due, {LEAST_YOUNG_EVENTS:g} are needed"
        )
    layers = len(rollouts) / len(numbers)
    rows, owner = [], []
    for rollout, (x, e, ages) in zip(rollouts, bins, strict=True):
        # Layers of one rollout (boundaries of one histogram) tell the same story: together they weigh once.
        rows.append(_likelihood(x, e, ages, rollout.power) / layers)
        owner.extend([numbers[id(rollout.born)]] * x.shape[0])
    return Ages(np.concatenate(rows), tuple(owner))


def resampled(rollouts: Sequence[Rollout], seed: int) -> AgeCurve:
    """The curve that another set of rollouts like these could have taught; no effect where none can be learned."""
    ages = learned_ages(rollouts)
    return AgeCurve(0.0, AGE_SECONDS[0]) if isinstance(ages, NotLearned) else ages.resampled(seed)


def youthful(
    served: FloatArray,
    events: FloatArray,
    rate: FloatArray,
    factor: FloatArray,
    variation: Variation | None,
    rng: np.random.Generator,
) -> FloatArray:
    """Events of grown-up pods as they would be if youth multiplied their rate by `factor`.

    served, events, factor: shape (..., windows), exposure, events, and w at each window. rate: events per unit of
    exposure of all pods, broadcast to them. Youth multiplies a pod's own rate, noise and all: events added at the rate
    of all pods would thin that noise out, and thresholds learned from it would be too low. The pod's rate over that of
    all is not known, only its posterior: with a Gamma(1/v, 1/v) prior of variance v = v(L), and x events where e were
    due, Gamma(1/v + x, 1/v + e). One draw serves the L windows of a block. Without a variation pods do not differ. A
    factor below 1 thins the events: fewer than there were cannot be added.
    """
    due = served * rate
    windows = due.shape[-1]
    left = 0.0 if variation is None else float(variation.of(np.array([float(AGE_BLOCK)]))[0])
    prior = 1.0 / max(left, 1e-6)
    x, e = _by_block(events), _by_block(due)
    own = np.repeat(rng.gamma(prior + x) / (prior + e), AGE_BLOCK, axis=-1)[..., :windows]
    kept = rng.binomial(np.rint(events).astype(np.int64), np.clip(factor, 0.0, 1.0))
    added = rng.poisson(np.maximum(factor - 1.0, 0.0) * due * own)
    result: FloatArray = (kept + added).astype(np.float64)
    return result


def _by_block(values: FloatArray) -> FloatArray:
    """Sums over runs of windows, the last one shorter."""
    short = -values.shape[-1] % AGE_BLOCK
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], short))], axis=-1)
    result: FloatArray = padded.reshape(*values.shape[:-1], -1, AGE_BLOCK).sum(axis=-1)
    return result


def _young(rollout: Rollout) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Events and expected events per young pod and bin of age, (pods, bins), and the bins' mean ages, (bins,)."""
    tally = rollout.tally
    known = np.array([rollout.born.get(pod, -math.inf) for pod in tally.pods])
    age = (tally.ends - 0.5 * tally.window)[None, :] - known[:, None]
    old = age >= MATURE
    served = np.where(old, tally.exposure, 0.0).sum(axis=0)
    used = tally.seen & ~old & (age >= 0.0) & (served > 0.0)
    rate = np.where(old, tally.events, 0.0).sum(axis=0) / np.maximum(served, 1e-300)
    expected = np.where(used, tally.exposure * rate, 0.0)
    events = np.where(used, tally.events, 0.0)
    place = np.clip(np.searchsorted(_EDGES, np.where(used, age, 0.0), side="right") - 1, 0, _EDGES.size - 2)
    x, e, seconds, count = (np.zeros((len(tally.pods), _EDGES.size - 1)) for _ in range(4))
    rows = np.broadcast_to(np.arange(len(tally.pods))[:, None], age.shape)
    for out, values in ((x, events), (e, expected), (seconds, np.where(used, age, 0.0)), (count, used.astype(float))):
        np.add.at(out, (rows, place), values)
    young = used.any(axis=1)
    middle = 0.5 * (_EDGES[1:] + _EDGES[:-1])
    mean = np.where(count.sum(axis=0) > 0.0, seconds.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0), middle)
    return x[young], e[young], mean


def _likelihood(x: FloatArray, e: FloatArray, ages: FloatArray, power: float) -> FloatArray:
    """ln L of each pod on the grid, over the dispersion φ, shape (pods, times, extras)."""
    decay = np.exp(-ages[:, None] / np.array(AGE_SECONDS))
    w = (1.0 + decay[:, :, None] * np.expm1(_LN_EXTRA)) ** power
    mass = np.tensordot(e, w, axes=1)
    spread = _dispersion(x, e, w, mass)
    a = spread / POD_NOISE_SD**2
    told = np.tensordot(x, np.log(w), axes=1) - (x.sum(axis=1)[:, None, None] + a) * np.log(mass + a)
    result: FloatArray = told / spread
    return result


def _dispersion(x: FloatArray, e: FloatArray, w: FloatArray, mass: FloatArray) -> float:
    """φ >= 1: Pearson's χ² over its degrees of freedom under the likeliest curve, each pod's level being its own."""
    total = x.sum(axis=1)
    plain = (np.tensordot(x, np.log(w), axes=1) - total[:, None, None] * np.log(np.maximum(mass, 1e-300))).sum(axis=0)
    time, extra = np.unravel_index(int(np.argmax(plain)), plain.shape)
    level = total / np.maximum(mass[:, time, extra], 1e-300)
    mean = level[:, None] * e * w[:, time, extra]
    used = mean > 0.5
    freedom: int = int(used.sum()) - x.shape[0] - 2
    if freedom < 1:
        return 1.0
    squares: FloatArray = (x - mean)[used] ** 2 / mean[used]
    return max(float(squares.sum()) / freedom, 1.0)


def _vertex(curve: FloatArray, top: int) -> float:
    """ln(1 + b) at the vertex of the parabola through the highest grid point and its neighbours."""
    step = float(_LN_EXTRA[1] - _LN_EXTRA[0])
    if not 0 < top < curve.size - 1:
        return float(_LN_EXTRA[top])
    left, middle, right = (float(v) for v in curve[top - 1 : top + 2])
    bend = left - 2.0 * middle + right
    return float(_LN_EXTRA[top]) + (0.5 * step * (left - right) / bend if bend < 0.0 else 0.0)
