"""A smooth function read anywhere in an interval from its values at a few points, by the polynomial through them.

At Chebyshev points the polynomial of a function that is analytic around the interval misses it by a part that falls
geometrically with the number of points (Trefethen, Approximation Theory and Practice, theorem 8.2), and reading it is
linear: sums of functions can be read instead of the functions.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.special import FloatArray


def chebyshev_points(low: float, high: float, number: int) -> FloatArray:
    """Where to know a function on [low, high]; shape (number,), descending."""
    angle = (2.0 * np.arange(number) + 1.0) * (math.pi / (2 * number))
    points: FloatArray = low + 0.5 * (high - low) * (np.cos(angle) + 1.0)
    return points


def reading(points: FloatArray, at: FloatArray) -> FloatArray:
    """What multiplies the values at `chebyshev_points` to read the polynomial through them; shape (*at.shape, points).

    The barycentric formula (Berrut and Trefethen 2004, section 5): weights (-1)^k sin((2k + 1)π / 2n).
    """
    k = np.arange(points.size)
    weights = (-1.0) ** k * np.sin((2 * k + 1) * (math.pi / (2 * points.size)))
    away = at[..., None] - points
    met = np.abs(away) < 1e-13
    parts = weights / np.where(met, 1.0, away)
    plain = parts / parts.sum(axis=-1, keepdims=True)
    result: FloatArray = np.where(met.any(axis=-1, keepdims=True), met.astype(np.float64), plain)
    return result
