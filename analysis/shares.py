"""How the contender's share of all events in a window speaks about the ratio of rates, window noise allowed for.

Given m events in a window, the contender's part of them is beta-binomial around its share of the traffic. Whatever
moves both sides together (load, an outage of a dependency) changes m and says nothing.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.assumptions import INTERVAL_ALPHA
from analysis.special import FloatArray, ln_gamma, log_sum_exp

THETA_GRID: FloatArray = np.linspace(-2.5, math.log(64.0), 45)
"""Log ratios at which the share likelihood is evaluated."""

_NORMAL_PRIOR: FloatArray = -0.5 * THETA_GRID**2 - log_sum_exp(-0.5 * THETA_GRID**2)


def share_log_likelihood(
    ours: FloatArray, theirs: FloatArray, odds: FloatArray, thetas: FloatArray, rho: float
) -> FloatArray:
    """Beta-binomial log likelihood of the contender's share of events, shape (*ours.shape, thetas).

    ours ~ BetaBinomial(m, K q, K (1 - q)) with m = ours + theirs, q = r e^θ / (1 + r e^θ), r = odds and
    K = 1/rho - 1; the binomial coefficient does not depend on θ and is left out. No events add nothing.
    """
    k = 1.0 / rho - 1.0
    used = ours + theirs > 0.0
    out = np.zeros((*ours.shape, thetas.size))
    if not used.any():
        return out
    x, other = ours[used, None], theirs[used, None]
    tilted = odds[used, None] * np.exp(thetas)[None, :]
    a = k * tilted / (1.0 + tilted)
    b = k / (1.0 + tilted)
    out[used] = _ln_rising(a, x) + _ln_rising(b, other) - _ln_rising(np.full_like(x, k), x + other)
    return out


def beyond(delta: float) -> FloatArray:
    """The grid points above δ."""
    return THETA_GRID[delta + 1e-9 < THETA_GRID]


def share_evidence(summed: FloatArray, delta: float) -> FloatArray:
    """ln of the mixture over θ > δ against θ = δ, prior ∝ 1/(1 + (θ - δ)²).

    summed: log likelihood at `beyond(delta)` and then at δ, along the first axis.
    """
    ln_prior = -np.log1p((beyond(delta) - delta) ** 2)
    ln_prior = ln_prior - log_sum_exp(ln_prior)
    shaped = ln_prior.reshape(-1, *([1] * (summed.ndim - 1)))
    result: FloatArray = log_sum_exp(summed[:-1] + shaped, axis=0) - summed[-1]
    return result


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
    return low, _peak(curve, top), high


def _peak(curve: FloatArray, top: int) -> float:
    """The most likely value between grid points: the vertex of the parabola through the highest point's neighbours."""
    if not 0 < top < curve.size - 1:
        return float(THETA_GRID[top])
    left, middle, right = (float(v) for v in curve[top - 1 : top + 2])
    bend = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
    return float(THETA_GRID[top] + offset * (THETA_GRID[1] - THETA_GRID[0]))


def _ln_rising(a: FloatArray, x: FloatArray) -> FloatArray:
    """ln Γ(a + x) - ln Γ(a)."""
    return ln_gamma(a + x) - ln_gamma(a)


def _crossing(outside: int, inside: int, curve: FloatArray, height: float) -> float:
    """Where the curve meets a height between two neighbouring grid points, by linear interpolation."""
    share = (height - curve[outside]) / (curve[inside] - curve[outside])
    return float(THETA_GRID[outside] + share * (THETA_GRID[inside] - THETA_GRID[outside]))
