"""How the contender's share of all events in a window speaks about the ratio of rates, window noise allowed for.

Given m events in a window, the contender's part of them is beta-binomial around its share of the traffic. Whatever
moves both sides together (load, an outage of a dependency) changes m and says nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from analysis.assumptions import INTERVAL_ALPHA
from analysis.special import FloatArray, ln_gamma, ln_gamma_step, log_sum_exp

IntArray = npt.NDArray[np.int64]

THETA_GRID: FloatArray = np.linspace(-2.5, math.log(64.0), 45)
"""Log ratios at which the share likelihood is evaluated."""

_MOST_FACTORS = 24
"""Up to this many factors a product is quicker than two ln Γ; K <= 1e4 keeps it far from overflow."""

_NORMAL_PRIOR: FloatArray = -0.5 * THETA_GRID**2 - log_sum_exp(-0.5 * THETA_GRID**2)


def share_log_likelihood(
    ours: FloatArray, theirs: FloatArray, odds: FloatArray, thetas: FloatArray, rho: float | FloatArray
) -> FloatArray:
    """Beta-binomial log likelihood of the contender's share of events, shape (*ours.shape, thetas).

    thetas: one row for all, or whatever spreads to that shape; rho: a number, or whatever spreads to ours.shape.

    ours ~ BetaBinomial(m, K q, K (1 - q)) with m = ours + theirs, q = r e^θ / (1 + r e^θ), r = odds and
    K = 1/rho - 1; the binomial coefficient does not depend on θ and is left out. No events add nothing.
    """
    used = ours + theirs > 0.0
    out = np.zeros((*ours.shape, thetas.shape[-1]))
    if not used.any():
        return out
    k = np.broadcast_to(1.0 / rho - 1.0, ours.shape)[used]
    x, other = ours[used], theirs[used]
    tilted = (odds[..., None] * np.exp(thetas))[used]
    a = k[:, None] * tilted / (1.0 + tilted)
    ln_part, factor = _rising(np.concatenate([a, k[:, None] - a]), np.concatenate([x, other]))
    together = ln_gamma(k + x + other) - ln_gamma(k)
    n = x.size
    # One logarithm for both sides: neither factor is beyond 1e100.
    out[used] = ln_part[:n] + ln_part[n:] + np.log(factor[:n] * factor[n:]) - together[:, None]
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


def share_evidences(summed: FloatArray, deltas: FloatArray) -> FloatArray:
    """`share_evidence` of releases side by side, each with a δ of its own; deltas: (releases,).

    summed: log likelihood at the whole THETA_GRID and then at δ along the first axis, releases along the second.
    """
    above = THETA_GRID[:, None] - deltas
    ln_prior = np.where(above > 1e-9, -np.log1p(above**2), -np.inf)
    ln_prior = (ln_prior - log_sum_exp(ln_prior, axis=0)).reshape(*above.shape, *([1] * (summed.ndim - 2)))
    result: FloatArray = log_sum_exp(summed[:-1] + ln_prior, axis=0) - summed[-1]
    return result


def share_interval(curve: FloatArray, alpha: float = INTERVAL_ALPHA) -> tuple[float, float, float]:
    """(low, most likely, high) log ratio of one curve: see `share_intervals`."""
    low, likely, high = share_intervals(curve[None], alpha)
    return float(low[0]), float(likely[0]), float(high[0])


def share_intervals(curves: FloatArray, alpha: float = INTERVAL_ALPHA) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(low, most likely, high) log ratio: { θ : ln ∫ e^C h - C(θ) < ln(1/alpha) } with h standard normal.

    curves: C on THETA_GRID along the last axis. A mixture likelihood ratio is an e-process under each θ, so by Ville's
    inequality the set holds θ at all looks together with probability 1 - alpha. An end beyond the grid is infinite.
    """
    flat = curves.reshape(-1, THETA_GRID.size)
    height = log_sum_exp(flat + _NORMAL_PRIOR) - math.log(1.0 / alpha)
    inside = flat > height[:, None]
    low = _crossings(flat, height, np.argmax(inside, axis=1), -1)
    high = _crossings(flat, height, THETA_GRID.size - 1 - np.argmax(inside[:, ::-1], axis=1), 1)
    shape = curves.shape[:-1]
    return low.reshape(shape), _peaks(flat).reshape(shape), high.reshape(shape)


def _peaks(curves: FloatArray) -> FloatArray:
    """The most likely values between grid points: vertices of the parabolas through the highest points' neighbours."""
    top = np.argmax(curves, axis=1)
    at = np.clip(top, 1, THETA_GRID.size - 2)
    left, middle, right = (np.take_along_axis(curves, (at + k)[:, None], axis=1)[:, 0] for k in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    bent = (bend < 0.0) & (at == top)
    offset = np.where(bent, 0.5 * (left - right) / np.where(bent, bend, 1.0), 0.0)
    result: FloatArray = THETA_GRID[top] + offset * (THETA_GRID[1] - THETA_GRID[0])
    return result


def _crossings(curves: FloatArray, height: FloatArray, inside: IntArray, step: int) -> FloatArray:
    """Where curves meet a height between the last grid point inside and its neighbour, linearly; infinite off the grid.

    step: 1 for the upper end, -1 for the lower.
    """
    outside = inside + step
    beyond_grid = (outside < 0) | (outside >= THETA_GRID.size)
    outside = np.clip(outside, 0, THETA_GRID.size - 1)
    here = np.take_along_axis(curves, inside[:, None], axis=1)[:, 0]
    there = np.take_along_axis(curves, outside[:, None], axis=1)[:, 0]
    rise = np.where(beyond_grid, 1.0, here - there)
    share = (height - there) / rise
    met = THETA_GRID[outside] + share * (THETA_GRID[inside] - THETA_GRID[outside])
    return np.where(beyond_grid, step * math.inf, met)


def _rising(a: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Γ(a + x) / Γ(a) as exp(first) · second, a of shape (n, thetas), x of shape (n,); small whole x by a product."""
    small = (x <= _MOST_FACTORS) & (x == np.floor(x))
    ln_part, factor = np.zeros(a.shape), np.ones(a.shape)
    if not small.all():
        rest = a[~small]
        ln_part[~small], factor[~small] = ln_gamma_step(rest, x[~small, None])
    place = np.flatnonzero(small)
    place = place[np.argsort(x[place], kind="stable")]
    counts, base = x[place], a[place]
    product = np.ones(base.shape)
    factors = np.arange(int(counts[-1]) if counts.size else 0)
    for number, since in enumerate(np.searchsorted(counts, factors, side="right").tolist()):
        product[since:] *= base[since:] + number
    factor[place] = product
    return ln_part, factor
