"""Bounds on one side's own rate, without a control: the hard limit, and how large a rate could still hide."""

from __future__ import annotations

import math

import numpy as np

from analysis.assumptions import QUIET_REQUESTS
from analysis.engine import planned_starts
from analysis.special import FloatArray, log_sum_exp

_LOG_ODDS_ABOVE: FloatArray = np.linspace(0.1, 4.0, 27)


def ln_above_limit(events: FloatArray, requests: FloatArray, limit: float, window: float) -> float:
    """ln evidence that a share of requests lies above `limit`, valid at every look and from every planned start.

    events, requests: per window, all of one side. Mixture over alternatives p > limit of the binomial likelihood
    ratio (p/limit)^x ((1-p)/(1-limit))^(n-x), equal weights on 27 points of the log odds. Each factor has mean at most
    1 while the true share of its window is at most the limit, whatever it did before, so the mixture is an
    e-process (Ville 1939; Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference").
    """
    if requests.size == 0:
        return -math.inf
    starts, ln_weights = planned_starts(requests.size, window)
    failed = np.minimum(events, requests)
    x = failed.sum() - np.concatenate([[0.0], np.cumsum(failed)])[starts]
    n = requests.sum() - np.concatenate([[0.0], np.cumsum(requests)])[starts]
    odds = limit / (1.0 - limit) * np.exp(_LOG_ODDS_ABOVE)
    p = odds / (1.0 + odds)
    up, down = np.log(p / limit), np.log1p(-p) - math.log1p(-limit)
    each = x[:, None] * up + (n - x)[:, None] * down - math.log(p.size)
    return float(log_sum_exp(log_sum_exp(each) + ln_weights))


def rate_upper_bound(events: float, requests: float, alpha: float, quiet: float = QUIET_REQUESTS) -> float:
    """Largest event rate per request that `events` in `requests` still allow at every look, at level 1 - alpha.

    Poisson likelihood ratio mixed over Gamma(1/2, n0) with n0 = quiet (Robbins 1970): the root above x/n of
    n λ - x ln λ + ½ ln n0 - (½ + x) ln(n0 + n) + ln Γ(½ + x) - ln Γ(½) = ln(1/alpha);
    for no events this is [ln(1/alpha) + ½ ln(1 + n/n0)] / n. inf without requests.
    """
    if requests <= 0.0:
        return math.inf
    target = (
        math.log(1.0 / alpha)
        - 0.5 * math.log(quiet)
        + (0.5 + events) * math.log(quiet + requests)
        - math.lgamma(0.5 + events)
        + math.lgamma(0.5)
    )
    if events == 0.0:
        return target / requests

    def excess(rate: float) -> float:
        return requests * rate - events * math.log(rate) - target

    low = events / requests
    high = 2.0 * low + 20.0 / requests
    while excess(high) < 0.0:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0.0 else (low, middle)
    return high
