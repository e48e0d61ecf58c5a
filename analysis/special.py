"""The special functions that numpy lacks, vectorised, checked against scipy in the tests."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def ln_gamma(x: FloatArray) -> FloatArray:
    """ln Γ(x) for 1e-6 <= x <= 1e6, error below 1e-11 of max(1, |ln Γ(x)|).

    Stirling's series (Abramowitz and Stegun 6.1.41) at x + 6, brought back by Γ(x + 1) = x Γ(x).
    """
    y = x + 6.0
    result: FloatArray = (y - 0.5) * np.log(y) - y + _HALF_LOG_TWO_PI + _stirling(y) - np.log(_six_factors(x))
    return result


def ln_gamma_step(x: FloatArray, step: FloatArray) -> FloatArray:
    """ln Γ(x + step) - ln Γ(x), 1e-6 <= x <= 1e6 and 0 <= step; error below 1e-8.

    Stirling's series as in `ln_gamma`, shorter by two terms; one logarithm brings both ends back, if any is needed.
    """
    out: FloatArray
    if x.min(initial=6.0) < 6.0:
        low, high = x + 6.0, x + step
        out = _six_factors(x)
        out /= _six_factors(high)
        np.log(out, out=out)
        high += 6.0
    else:
        low, high = x, x + step
        out = np.zeros(high.shape)
    for add, y in ((np.add, high), (np.subtract, low)):
        part = np.log(y)
        part *= y - 0.5
        part += _stirling(y, (1 / 1260, -1 / 360))
        add(out, part, out=out)
    out -= step
    return out


def _six_factors(x: FloatArray) -> FloatArray:
    """x (x + 1) ... (x + 5); pairing k with 5 - k needs three products, not six: (x+k)(x+5-k) = x(x+5) + k(5-k)."""
    base = x + 5.0
    base *= x
    out = base + 4.0
    out *= base
    base += 6.0
    out *= base
    return out


def _stirling(y: FloatArray, terms: tuple[float, ...] = (1 / 1188, -1 / 1680, 1 / 1260, -1 / 360)) -> FloatArray:
    """The sum of Stirling's series beyond (y - 1/2) ln y - y + ln √(2π), y >= 6; terms: the last of them first."""
    inverse = 1.0 / y
    square = inverse * inverse
    out = square * terms[0]
    for term in terms[1:]:
        out += term
        out *= square
    out += 1 / 12
    out *= inverse
    return out


def log_sum_exp(values: FloatArray, axis: int = -1) -> FloatArray:
    """ln Σ exp(values) along an axis without overflow; an axis of nothing but -inf gives -inf."""
    top = np.max(values, axis=axis, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: FloatArray = np.log(np.sum(np.exp(values - safe), axis=axis)) + np.squeeze(safe, axis=axis)
    return total


def normal_cdf(z: FloatArray) -> FloatArray:
    """Φ(z), element by element."""
    result: FloatArray = 0.5 * np.asarray(_erfc(-z / math.sqrt(2.0)), dtype=np.float64)
    return result
