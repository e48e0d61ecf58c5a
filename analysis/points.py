"""How far the contender's rate lies above the incumbents' rate plus tolerated points, on the scale of the rates.

A ratio is the wrong scale for a margin in points where incumbents have hardly any errors: what is tolerated is then ten
or a hundred times their rate, the share of all events is nearly one at the margin as well as in a disaster, and the
chance in the log of a handful of incumbent events drowns a difference that is plain in points.

Here the two sides bet against each other, window by window. With N incumbent requests, c contender requests for each of
them and a stake λ in (0, 1), a contender event multiplies the evidence by 1 + λ/c, an incumbent event by 1 - λe^κ, and
each incumbent request by exp(-λe^κ points). For independent counts, binomial or Poisson, E a^x <= exp((a - 1) E x), so
at rates p and r the factor of a window has mean at most exp(λN [p - (r + points) e^κ]). That is at most 1 while
p <= (r + points) e^κ, whatever r is and however it moves from window to window: the incumbents' rate is never
estimated, and its uncertainty is paid for in full. κ is what pod noise may add to the contender's rate, as a log ratio.

The product over windows is a test supermartingale, its mixture over λ an e-process (Ville 1939; the bets are those of
Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"). It falls as κ grows, so that
over looks at which κ differs it holds for pods that never differ by more than the smallest.
"""

from __future__ import annotations

import numpy as np

from analysis.special import FloatArray, log_sum_exp

STAKES: FloatArray = 1.0 / (1.0 + np.exp(-np.linspace(-5.0, 4.0, 19)))
"""λ: what part of the evidence an incumbent event takes away, from 0.7 % to 98 %."""


def contender_gain(ours: FloatArray, odds: FloatArray) -> FloatArray:
    """ln of what contender events of each window multiply the evidence by, x ln(1 + λ/c); shape (stakes, *windows).

    ours: contender events x, odds: contender over incumbent requests c > 0, both of one shape.
    """
    gain: FloatArray = ours * np.log1p(STAKES.reshape(-1, *([1] * ours.ndim)) / odds)
    return gain


def points_evidence(
    gained: FloatArray, theirs: FloatArray, requests: FloatArray, points: float, noise: FloatArray
) -> FloatArray:
    """ln of the mixture over stakes against p <= (r + points) e^κ, equal weights, over spans of windows.

    gained: `contender_gain` summed over each span, shape (stakes, ...). theirs, requests: incumbent events and requests
    summed over it, and noise its κ >= 0, all of shape (...), as is the result. A stake with λe^κ >= 1 stays unspent.
    """
    stakes = STAKES.reshape(-1, *([1] * noise.ndim)) * np.exp(noise)
    spent = stakes < 1.0
    kept = np.where(spent, 1.0 - stakes, 1.0)
    each = np.where(spent, gained + theirs * np.log(kept) - stakes * points * requests, -np.inf)
    result: FloatArray = log_sum_exp(each, axis=0) - np.log(STAKES.size)
    return result
