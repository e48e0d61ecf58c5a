"""Fits the forecast of a band and the size of its errors: ridge regressions in closed form, one per horizon."""

from __future__ import annotations

import numpy as np

from analysis.assumptions import (
    BAND_CLIP,
    BAND_HORIZON,
    BAND_HUBER,
    BAND_QUANTILE,
    BAND_RIDGE,
    BAND_SCALE_RIDGE,
)
from analysis.band_model import CLOCKS, Model, Season
from analysis.band_terms import BLOCKS, Rows, Sums, ahead, standardised, terms_at
from analysis.learning.band_season import weighted_quantile
from analysis.special import FloatArray

_SMALLEST = 1e-4
"""An error in z below this is not worth telling from none: a hundredth of a percent."""


def fitted_model(z: FloatArray, ticks: Rows, season: Season, rows: Rows, weights: FloatArray) -> Model:
    """The model of the origins `rows`, all of which know their last hour and the hour to come; weights: (rows,).

    Every half hour of the day still counts alike: that is learned from the errors of other days.
    """
    residual = z - season.of(ticks)
    grain = _grain(residual)
    terms = terms_at(residual, ticks, rows, grain)
    target = ahead(Sums(residual), terms.base, rows)
    centre, width = spread_of(terms.common)
    day_centre, day_width = spread_of(terms.yesterday)
    common = standardised(terms.common, centre, width, BAND_CLIP)
    yesterday = standardised(terms.yesterday, day_centre, day_width, BAND_CLIP)
    one = np.ones((rows.size, 1))
    mean, error = [], np.empty(target.shape)
    for h in range(BAND_HORIZON):
        design = np.column_stack([common, yesterday[:, h], one])
        coefficients = robust_ridge(design, target[:, h], weights)
        mean.append(coefficients)
        error[:, h] = target[:, h] - design @ coefficients
    volatility_centre, volatility_width = spread_of(terms.volatility)
    # The blocks are 0 or 1 as they are.
    volatility_centre[-BLOCKS:], volatility_width[-BLOCKS:] = 0.0, 1.0
    moving = np.column_stack([standardised(terms.volatility, volatility_centre, volatility_width, BAND_CLIP), one])
    size = ridge(moving, log_size(error), weights, BAND_SCALE_RIDGE).T
    ratio = error / np.exp(moving @ size.T)
    return Model(
        season=season,
        grain=grain,
        centre=centre,
        width=width,
        day_centre=day_centre,
        day_width=day_width,
        mean=np.array(mean),
        volatility_centre=volatility_centre,
        volatility_width=volatility_width,
        size=size,
        upper=np.maximum(weighted_quantile(ratio, weights, BAND_QUANTILE), _SMALLEST),
        lower=np.maximum(weighted_quantile(-ratio, weights, BAND_QUANTILE), _SMALLEST),
        upper_clock=np.ones(CLOCKS),
        lower_clock=np.ones(CLOCKS),
    )


def ridge(design: FloatArray, target: FloatArray, weights: FloatArray, penalty: float) -> FloatArray:
    """argmin_b Σ w (y - X b)² + penalty Σw |b|², the last column (the intercept) not penalised.

    design: (n, p), target: (n,) or (n, k); the result has shape (p,) or (p, k). Hoerl and Kennard 1970.
    """
    weighted = design * weights[:, None]
    gram = _products(weighted, design)
    mass = float(weights.sum())
    extra = np.full(gram.shape[0], penalty * mass)
    extra[-1] = 1e-9 * mass
    return np.asarray(np.linalg.solve(gram + np.diag(extra), _products(weighted, target)), dtype=np.float64)


def _products(left: FloatArray, right: FloatArray) -> FloatArray:
    """left.T @ right, a thousand rows at a time."""
    # BLAS gives larger products to threads, which here spin for one another longer than they compute.
    pieces = [left[i : i + 1024].T @ right[i : i + 1024] for i in range(0, left.shape[0], 1024)]
    total: FloatArray = np.sum(pieces, axis=0)
    return total


def robust_ridge(design: FloatArray, target: FloatArray, weights: FloatArray) -> FloatArray:
    """Ridge, then once more with rows of large error weighted down: min(1, 1.345 s/|e|), s from the median |e|."""
    error = target - design @ ridge(design, target, weights, BAND_RIDGE)
    size = np.abs(error)
    bound = BAND_HUBER * 1.4826 * float(np.median(size))
    kept = np.minimum(1.0, (bound + _SMALLEST) / np.maximum(size, _SMALLEST))
    return ridge(design, target, weights * kept, BAND_RIDGE)


def log_size(error: FloatArray) -> FloatArray:
    """ln |error|, with a twentieth of the median added, because an error may happen to be 0; column by column."""
    size = np.abs(error)
    result: FloatArray = np.log(size + 0.05 * np.median(size, axis=0) + _SMALLEST)
    return result


def spread_of(terms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each column, unknown values left out; 0 and 1 for a column that says nothing."""
    known = np.isfinite(terms)
    n = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, terms, 0.0).sum(axis=0) / n
    variance: FloatArray = (np.where(known, terms - centre, 0.0) ** 2).sum(axis=0) / n
    width = np.sqrt(variance)
    return centre, np.where(width > 1e-9, width, 1.0)


def _grain(residual: FloatArray) -> float:
    moves = np.abs(np.diff(residual))
    known = moves[np.isfinite(moves)]
    return float(f"{0.05 * float(np.median(known)) + _SMALLEST:.4g}")
