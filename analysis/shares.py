"""How the contender's share of all events in a window speaks about the ratio of rates, window noise allowed for.

Given m events in a window, the contender's part of them is beta-binomial around its share of the traffic. Whatever
moves both sides together (load, an outage of a dependency) changes m and says nothing.

The likelihood is a smooth function of the log ratio, analytic as far as π from the real axis, where the odds are -1. It
is evaluated at a few Chebyshev points, summed over windows, and only then read where it is wanted.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analysis.assumptions import INTERVAL_ALPHA
from analysis.interpolation import chebyshev_points, reading
from analysis.special import FloatArray, ln_gamma_step, log_sum_exp

IntArray = npt.NDArray[np.int64]

THETA_GRID: FloatArray = np.linspace(-2.5, math.log(64.0), 45)
"""Log ratios over which the share likelihood is mixed, and at which its interval is looked for."""

SHARE_POINTS: FloatArray = chebyshev_points(float(THETA_GRID[0]), float(THETA_GRID[-1]), 24)
"""Log ratios at which the share likelihood is evaluated: read off them, the sum over a release of 400,000 nats is
missed by 1e-4, and a usual one by less than 1e-6."""

_POINTS_BEYOND = 18
"""How many points do the same for the shorter way from the margin upwards."""

_GRID_READING: FloatArray = reading(SHARE_POINTS, THETA_GRID)

_NORMAL_PRIOR: FloatArray = -0.5 * THETA_GRID**2 - log_sum_exp(-0.5 * THETA_GRID**2)


def share_log_likelihood(
    ours: FloatArray, theirs: FloatArray, odds: FloatArray, thetas: FloatArray, rho: float | FloatArray
) -> FloatArray:
    """Beta-binomial log likelihood of the contender's share of events, shape (thetas, *ours.shape).

    rho: a number, or whatever spreads to ours.shape.

    ours ~ BetaBinomial(m, K q, K (1 - q)) with m = ours + theirs, q = r e^θ / (1 + r e^θ), r = odds and
    K = 1/rho - 1: ln Γ(K q + x) - ln Γ(K q) and the same of the others. What does not depend on θ is left out, the
    binomial coefficient and ln Γ(K + m) - ln Γ(K). No events add nothing.
    """
    tilted = np.multiply.outer(np.exp(thetas), odds)
    rest = (1.0 / rho - 1.0) / (1.0 + tilted)
    out = np.zeros(tilted.shape)
    for counts, a in ((ours, rest * tilted), (theirs, rest)):
        seen = counts > 0.0
        if seen.all():
            out += ln_gamma_step(a, counts)
        elif seen.any():
            out[:, seen] += ln_gamma_step(a[:, seen], counts[seen])
    return out


def at_grid(values: FloatArray) -> FloatArray:
    """What was evaluated at SHARE_POINTS (first axis), read at THETA_GRID."""
    read: FloatArray = (_GRID_READING @ values.reshape(SHARE_POINTS.size, -1)).reshape(-1, *values.shape[1:])
    return read


def beyond(delta: float) -> FloatArray:
    """The grid points above δ."""
    return THETA_GRID[delta + 1e-9 < THETA_GRID]


def points_beyond(delta: float) -> FloatArray:
    """Log ratios at which `share_evidence` wants the likelihood."""
    return chebyshev_points(delta, float(THETA_GRID[-1]), _POINTS_BEYOND)


def share_evidence(summed: FloatArray, delta: float) -> FloatArray:
    """ln of the mixture over θ > δ against θ = δ, prior ∝ 1/(1 + (θ - δ)²).

    summed: log likelihood at `points_beyond(delta)` along the first axis.
    """
    above = beyond(delta)
    ln_prior = -np.log1p((above - delta) ** 2)
    ln_prior = ln_prior - log_sum_exp(ln_prior)
    read = np.tensordot(reading(points_beyond(delta), np.append(above, delta)), summed, axes=1)
    result: FloatArray = log_sum_exp(read[:-1] + ln_prior.reshape(-1, *([1] * (summed.ndim - 1))), axis=0) - read[-1]
    return result


def share_evidences(summed: FloatArray, deltas: tuple[float, ...]) -> FloatArray:
    """`share_evidence` of releases side by side, each with a δ of its own.

    summed: log likelihood at SHARE_POINTS, shape (points, releases, spans).
    """
    ln_prior, null = _weights(deltas)
    result: FloatArray = log_sum_exp(at_grid(summed) + ln_prior, axis=0) - (null * summed).sum(axis=0)
    return result


@lru_cache(maxsize=64)
def _weights(deltas: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """ln prior (grid, releases, 1), and what reads the values at δ (points, releases, 1); kept, a gate's δ stay."""
    at = np.array(deltas)
    above = THETA_GRID[:, None] - at
    ln_prior = np.where(above > 1e-9, -np.log1p(above**2), -np.inf)
    ln_prior -= log_sum_exp(ln_prior, axis=0)
    return ln_prior[:, :, None], reading(SHARE_POINTS, at).T[:, :, None]


def share_interval(curve: FloatArray, alpha: float = INTERVAL_ALPHA) -> tuple[float, float, float]:
    """(low, most likely, high) log ratio of one curve: see `share_intervals`."""
    low, likely, high = share_intervals(curve, alpha)
    return float(low), float(likely), float(high)


def share_intervals(curves: FloatArray, alpha: float = INTERVAL_ALPHA) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(low, most likely, high) log ratio: { θ : ln ∫ e^C h - C(θ) < ln(1/alpha) } with h standard normal.

    curves: C on THETA_GRID along the first axis. A mixture likelihood ratio is an e-process under each θ, so by Ville's
    inequality the set holds θ at all looks together with probability 1 - alpha. An end beyond the grid is infinite.
    """
    flat = curves.reshape(THETA_GRID.size, -1)
    height = log_sum_exp(flat + _NORMAL_PRIOR[:, None], axis=0) - math.log(1.0 / alpha)
    inside = flat > height
    last = THETA_GRID.size - 1 - np.argmax(inside[::-1], axis=0)
    low, high = _crossings(flat, height, np.stack([np.argmax(inside, axis=0), last]))
    shape = curves.shape[1:]
    return low.reshape(shape), _peaks(flat).reshape(shape), high.reshape(shape)


def _peaks(curves: FloatArray) -> FloatArray:
    """The most likely values between grid points: vertices of the parabolas through the highest points' neighbours."""
    top = np.argmax(curves, axis=0)
    at, curve = np.minimum(np.maximum(top, 1), THETA_GRID.size - 2), np.arange(top.size)
    left, middle, right = curves[at - 1, curve], curves[at, curve], curves[at + 1, curve]
    bend = left - 2.0 * middle + right
    bent = (bend < 0.0) & (at == top)
    offset = np.where(bent, 0.5 * (left - right) / np.where(bent, bend, 1.0), 0.0)
    result: FloatArray = THETA_GRID[top] + offset * (THETA_GRID[1] - THETA_GRID[0])
    return result


def _crossings(curves: FloatArray, height: FloatArray, inside: IntArray) -> FloatArray:
    """Where curves meet a height between the last grid point inside and its neighbour, linearly; infinite off the grid.

    inside: (2, curves), of the lower end and of the upper, as is the result.
    """
    outside = inside + _OUTWARDS
    beyond_grid = (outside < 0) | (outside >= THETA_GRID.size)
    outside = np.where(beyond_grid, inside, outside)
    curve = np.arange(height.size)
    here, there = curves[inside, curve], curves[outside, curve]
    share = (height - there) / np.where(beyond_grid, 1.0, here - there)
    met = THETA_GRID[outside] + share * (THETA_GRID[inside] - THETA_GRID[outside])
    return np.where(beyond_grid, _OUTWARDS * math.inf, met)


_OUTWARDS = np.array([[-1], [1]])
"""The next grid point beyond the lower end and beyond the upper."""
