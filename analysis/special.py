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


def ln_gamma_step(x: FloatArray, step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Γ(x + step) / Γ(x) as exp(first) · second, for arguments as in `ln_gamma`; the second lies in [1e-42, 1].

    The series of `ln_gamma` at both ends with their products divided, which saves a logarithm.
    """
    low, high = x + 6.0, x + step
    factor = _six_factors(x)
    factor /= _six_factors(high)
    high += 6.0
    ln_part = np.log(high)
    ln_part *= high - 0.5
    ln_part += _stirling(high)
    other = np.log(low)
    other *= low - 0.5
    other += _stirling(low)
    ln_part -= other
    ln_part -= step
    return ln_part, factor


def _six_factors(x: FloatArray) -> FloatArray:
    """x (x + 1) ... (x + 5); pairing k with 5 - k needs three products, not six: (x+k)(x+5-k) = x(x+5) + k(5-k)."""
    base = x + 5.0
    base *= x
    out = base + 4.0
    out *= base
    base += 6.0
    out *= base
    return out


def _stirling(y: FloatArray) -> FloatArray:
    """The sum of Stirling's series beyond (y - 1/2) ln y - y + ln √(2π), y >= 6."""
    inverse = 1.0 / y
    square = inverse * inverse
    out = square * (1 / 1188)
    for term in (-1 / 1680, 1 / 1260, -1 / 360):
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
