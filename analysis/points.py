"""How far the contender's rate lies above the incumbents' rate plus tolerated points, on the scale of the rates.

A ratio is the wrong scale for a margin in points where incumbents have hardly any errors: what is tolerated is then ten
or a hundred times their rate, the share of all events is nearly one at the margin as well as in a disaster, and the
chance in the log of a handful of incumbent events drowns a difference that is plain in points.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.special import FloatArray, log_sum_exp

STAKES: FloatArray = 1.0 / (1.0 + np.exp(-np.linspace(-5.0, 4.0, 19)))
"""λ: what part of the evidence an incumbent event takes away, from 0.7 % to 98 %."""


def ln_above_points(
    ours: FloatArray,
    theirs: FloatArray,
    requests: FloatArray,
    odds: FloatArray,
    points: float,
    spans: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    noise: FloatArray,
) -> FloatArray:
    """ln evidence per span against: the contender's rate is at most (the incumbents' rate + points) e^κ.

    ours, theirs: events per window; requests: the incumbents'; odds: contender over incumbent requests c; all of shape
    (windows,). spans: first and last window of each sum. noise: κ >= 0, of the spans' shape, as is the result.

    In a window with N incumbent requests a contender event multiplies the evidence by 1 + λ/c, an incumbent event by
    1 - λe^κ, and every incumbent request by exp(-λe^κ points). For independent counts, binomial or Poisson,
    E a^x <= exp(mean (a - 1)), so with rates r and p the factor's mean is at most
    exp(λN [p - r e^κ - points e^κ]): at most 1 while p <= (r + points) e^κ, whatever r is and however it moves from
    window to window. The incumbents' rate is never estimated, so its uncertainty is paid for. The product over windows
    is a test supermartingale and its mixture over λ (equal weights; stakes with λe^κ >= 1 stay unspent) an e-process:
    Ville 1939; the bets are those of Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
    betting", the counts those of Robbins 1970.
    """
    starts, ends = spans
    ours_up = _between(ours * np.log1p(STAKES[:, None] / odds), starts, ends)
    theirs_sum, requests_sum = _between(np.stack([theirs, requests]), starts, ends)
    stakes = STAKES.reshape(-1, *([1] * starts.ndim)) * np.exp(noise)
    with np.errstate(divide="ignore"):
        down = np.log1p(-np.minimum(stakes, 1.0))
    spent = stakes < 1.0
    each = ours_up + np.where(spent, theirs_sum * np.where(spent, down, 0.0) - stakes * points * requests_sum, -np.inf)
    result: FloatArray = log_sum_exp(each, axis=0) - np.log(STAKES.size)
    return result


def _between(values: FloatArray, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> FloatArray:
    """Sums over the last axis from start to end; shape (rows, *starts.shape)."""
    before = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
    result: FloatArray = before[:, ends] - before[:, starts]
    return result
