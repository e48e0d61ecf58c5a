"""The evidence grid for counts: how strongly windows so far speak against "no change" and against "inside the margin".

Two statistics look at the same windows. The pod contrast G compares pods' mean log rates, so that one noisy pod among
few is not mistaken for a version; the share test B asks whether the contender's share of all events in a window exceeds
its share of traffic, and is quick when incumbents show hardly any events. Both are mixtures over starts: the whole
release (weight one half) and a fresh start every five minutes, so that a late regression is not diluted.

Notation: contender/incumbent counts x, X of m = x + X events and r = contender/incumbent exposure in a window; θ is the
log ratio of event rates; δ is the log margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import (
    INTERVAL_ALPHA,
    POD_NOISE_SD,
    POD_QUANTILE,
    RESTART_SECONDS,
    RESTARTS,
    WINDOW_RHO,
)
from analysis.samples import BoolArray, Tally
from analysis.special import FloatArray, ln_gamma, log_sum_exp, normal_cdf

THETA_GRID: FloatArray = np.linspace(-2.5, math.log(64.0), 45)
"""Log ratios at which the share likelihood is evaluated."""

_NORMAL_PRIOR: FloatArray = -0.5 * THETA_GRID**2 - log_sum_exp(-0.5 * THETA_GRID**2)
_RESTART_LN_WEIGHTS: FloatArray = np.log(0.5 / np.arange(5, 5 + RESTARTS) / np.sum(1.0 / np.arange(5, 5 + RESTARTS)))


@dataclass(frozen=True, slots=True)
class Margin:
    """The largest change that is tolerated: a ratio of rates, or extra points (a share of requests), not both."""

    ratio: float = 1.0
    points: float = 0.0


@dataclass(frozen=True, slots=True)
class Noise:
    """Assumed variation that is not chance: pods (sd of the log rate), windows (rho), and the spread of one event.

    spread: variance of one count over its mean; 1 for rare events, 1 - p for a share p of requests.
    prior_sd: scale of the half-normal prior over log ratios beyond the null value.
    """

    pod_sd: float = POD_NOISE_SD
    rho: float = WINDOW_RHO
    spread: float = 1.0
    prior_sd: float = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at all windows so far gives; evidence in natural logs, ratios not in logs.

    high is inf when the data does not bound the ratio from above. sampling_half_width is the upper half of the
    interval before pod noise widens it, pod_half_width what pod noise alone would give; both on the log scale.
    """

    ln_pods: float
    ln_share: float
    ln_change: float
    ln_margin: float
    ratio: float | None
    low: float
    high: float
    sampling_half_width: float
    pod_half_width: float


def look(tally: Tally, margin: Margin, noise: Noise) -> Look:
    """Evidence over the shared windows of a tally; a tally without windows or events gives no evidence.

    ln_change = ln((G_0 + B) / 2): the mean of two e-values is one e-value, so one threshold ln(1/alpha) serves both.
    """
    sides = _Sides.of(tally)
    starts, ln_weights = planned_starts(sides.windows, tally.window)
    plain = _contrast(sides, starts, 0.0, noise)
    delta = math.log(margin.ratio)
    ln_pods = _mix(ln_half_normal_ratio(*plain, 0.0, noise.prior_sd), ln_weights)
    beyond = plain if margin.points == 0.0 else _contrast(sides, starts, margin.points, noise)
    ln_margin = _mix(ln_half_normal_ratio(*beyond, delta, noise.prior_sd), ln_weights)
    curve = share_log_likelihood(sides.ours, sides.theirs, sides.odds, np.append(THETA_GRID, delta), noise.rho)
    ln_share = _mix(_share_evidence(curve, starts, delta), ln_weights)
    low, mode, high = share_interval(curve[:, :-1].sum(axis=0))
    pods = POD_QUANTILE * noise.pod_sd * math.sqrt(sides.pod_variance)
    return Look(
        ln_pods=ln_pods,
        ln_share=ln_share,
        ln_change=float(np.logaddexp(ln_pods, ln_share) - math.log(2.0)),
        ln_margin=ln_margin,
        ratio=sides.ratio,
        low=math.exp(mode - math.hypot(mode - low, pods)) if math.isfinite(low) else 0.0,
        high=math.exp(mode + math.hypot(high - mode, pods)) if math.isfinite(high) else math.inf,
        sampling_half_width=high - mode,
        pod_half_width=pods,
    )


def planned_starts(windows: int, window: float) -> tuple[list[int], FloatArray]:
    """Starts that have begun after `windows` shared windows, and their log weights, both fixed before the release.

    Start 0 weighs one half; restart k = 1..48 weighs proportionally to 1/(k + 4) of the other half. Weights of
    restarts still to come stay unspent, so the mixture never exceeds an e-value.
    """
    every = max(1, math.ceil(RESTART_SECONDS / window))
    restarts = list(range(every, windows, every))[:RESTARTS]
    return [0, *restarts], np.concatenate([[math.log(0.5)], _RESTART_LN_WEIGHTS[: len(restarts)]])


def ln_half_normal_ratio(d: FloatArray, se: FloatArray, delta: float, prior_sd: float) -> FloatArray:
    """ln of the likelihood ratio of d ~ N(θ, se²) with θ - δ half-normal of scale τ, against θ = δ.

    With z = (d - δ)/se and k² = τ²/(τ² + se²), completing the square in
    ∫₀^∞ (2/τ) φ(t/τ) exp(t z/se - t²/(2 se²)) dt gives 2 Φ(k z) (1 + τ²/se²)^(-1/2) exp(k² z²/2).
    """
    z = (d - delta) / se
    k2 = prior_sd**2 / (prior_sd**2 + se**2)
    tail = np.maximum(normal_cdf(z * np.sqrt(k2)), 1e-300)
    value = np.log(2.0 * tail) - 0.5 * np.log1p(prior_sd**2 / se**2) + 0.5 * k2 * z**2
    result: FloatArray = np.where(z <= 0.0, np.minimum(value, 0.0), value)
    return result


def share_log_likelihood(
    ours: FloatArray, theirs: FloatArray, odds: FloatArray, thetas: FloatArray, rho: float
) -> FloatArray:
    """Beta-binomial log likelihood of the contender's share of events, shape (windows, thetas).

    ours ~ BetaBinomial(m, K q, K (1 - q)) with m = ours + theirs, q = r e^θ / (1 + r e^θ), r = odds and
    K = 1/rho - 1; the binomial coefficient does not depend on θ and is left out. No events add nothing.
    """
    k = 1.0 / rho - 1.0
    used = ours + theirs > 0.0
    out = np.zeros((ours.size, thetas.size))
    if not used.any():
        return out
    x, other = ours[used, None], theirs[used, None]
    tilted = odds[used, None] * np.exp(thetas)[None, :]
    a = k * tilted / (1.0 + tilted)
    b = k / (1.0 + tilted)
    out[used] = _ln_rising(a, x) + _ln_rising(b, other) - _ln_rising(np.full_like(x, k), x + other)
    return out


def share_interval(curve: FloatArray, alpha: float = INTERVAL_ALPHA) -> tuple[float, float, float]:
    """(low, most likely, high) log ratio: { θ : ln ∫ e^C h - C(θ) < ln(1/alpha) } with h standard normal.

    curve: C on THETA_GRID. A mixture likelihood ratio is an e-process under each θ, so by Ville's inequality the set
    holds θ at all looks together with probability 1 - alpha. An end beyond the grid is infinite.
    """
    height = float(log_sum_exp(curve + _NORMAL_PRIOR)) - math.log(1.0 / alpha)
    top = int(np.argmax(curve))
    inside = curve > height
    low, high = -math.inf, math.inf
    if not inside[0]:
        first = int(np.argmax(inside))
        low = _crossing(first - 1, first, curve, height)
    if not inside[-1]:
        last = int(np.flatnonzero(inside)[-1])
        high = _crossing(last + 1, last, curve, height)
    return low, float(THETA_GRID[top]), high


@dataclass(frozen=True, slots=True)
class _Sides:
    """A tally summed the two ways that the statistics need."""

    tally: Tally
    expected: FloatArray
    ours: FloatArray
    theirs: FloatArray
    odds: FloatArray

    @classmethod
    def of(cls, tally: Tally) -> _Sides:
        t, mine = tally, tally.contender
        n, n_other = t.exposure[mine].sum(axis=0), t.exposure[~mine].sum(axis=0)
        x, x_other = t.events[mine].sum(axis=0), t.events[~mine].sum(axis=0)
        if t.ends.size and not (n_other > 0.0).all():
            raise ValueError("the evidence needs windows in which both sides served: pass tally.shared()")
        return cls(t, t.exposure * (x_other / n_other), x, x_other, n / n_other)

    @property
    def windows(self) -> int:
        return int(self.ours.size)

    @property
    def ratio(self) -> float | None:
        expected = float(self.expected[self.tally.contender].sum())
        return float(self.ours.sum()) / expected if expected > 0.0 else None

    @property
    def pod_variance(self) -> float:
        """1/k + 1/k' in effective pods, weighted by exposure: the variance of the contrast per unit of pod variance."""
        total = 0.0
        for side in (self.tally.contender, ~self.tally.contender):
            load = self.tally.exposure[side].sum(axis=1)
            total += float((load**2).sum() / load.sum() ** 2) if load.sum() > 0.0 else 1.0
        return total


def _contrast(sides: _Sides, starts: list[int], points: float, noise: Noise) -> tuple[FloatArray, FloatArray]:
    """Difference of the sides' mean log rates and its standard error, from each start to now, shape (starts,).

    Per pod h = ln((X + 1)/(E + 1)) with E its exposure times the incumbents' pooled rate of the same windows, weighted
    by 1 / (pod variance + spread/(bE + 1)). `points` are added to the contender's expected rate (absolute margin).
    The contender's second pass takes b = exp(2/3 d): more events than expected also mean less chance in their log.
    """
    t = sides.tally
    mine = t.contender
    events = _since(t.events, starts)
    expected = _since(sides.expected, starts)
    if points:
        expected[mine] += points * _since(t.exposure[mine], starts)
    served = _since(t.exposure, starts) > 0.0
    h = np.log((events + 1.0) / (expected + 1.0))
    theirs, v_theirs = _mean_log(h[~mine], expected[~mine], served[~mine], np.ones(len(starts)), noise)
    ours, _ = _mean_log(h[mine], expected[mine], served[mine], np.ones(len(starts)), noise)
    b = np.exp(np.clip(ours - theirs, 0.0, 3.5) * 2.0 / 3.0)
    ours, v_ours = _mean_log(h[mine], expected[mine], served[mine], b, noise)
    return ours - theirs, np.sqrt(v_ours + v_theirs)


def _mean_log(
    h: FloatArray, expected: FloatArray, served: BoolArray, b: FloatArray, noise: Noise
) -> tuple[FloatArray, FloatArray]:
    """Precision-weighted mean of the pods' log rates and its variance; a side without pods knows nothing."""
    precision = served / (noise.pod_sd**2 + noise.spread / (b * expected + 1.0))
    total = np.maximum(precision.sum(axis=0), 1e-12)
    return (precision * h).sum(axis=0) / total, 1.0 / total


def _share_evidence(curve: FloatArray, starts: list[int], delta: float) -> FloatArray:
    """ln of the mixture over θ > δ against θ = δ per start, prior ∝ 1/(1 + (θ - δ)²); shape (starts,)."""
    beyond = delta + 1e-9 < THETA_GRID
    ln_prior = -np.log1p((THETA_GRID[beyond] - delta) ** 2)
    ln_prior = ln_prior - log_sum_exp(ln_prior)
    summed = _since(curve.T, starts).T
    result: FloatArray = log_sum_exp(summed[:, :-1][:, beyond] + ln_prior) - summed[:, -1]
    return result


def _since(values: FloatArray, starts: list[int]) -> FloatArray:
    """Sums over the last axis from each start to the end; shape (rows, starts)."""
    before = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
    result: FloatArray = before[:, -1:] - before[:, starts]
    return np.maximum(result, 0.0) if values.size and values.min() >= 0.0 else result


def _mix(values: FloatArray, ln_weights: FloatArray) -> float:
    return float(log_sum_exp(values + ln_weights))


def _ln_rising(a: FloatArray, x: FloatArray) -> FloatArray:
    """ln Γ(a + x) - ln Γ(a)."""
    return ln_gamma(a + x) - ln_gamma(a)


def _crossing(outside: int, inside: int, curve: FloatArray, height: float) -> float:
    """Where the curve meets a height between two neighbouring grid points, by linear interpolation."""
    share = (height - curve[outside]) / (curve[inside] - curve[outside])
    return float(THETA_GRID[outside] + share * (THETA_GRID[inside] - THETA_GRID[outside]))
