"""How much healthy pods differ: v(L), the relative variance of a pod's mean rate over L windows, fitted to history.

In a block of L windows pod i has X_i events where E_i were expected at the rate of all pods in the same windows; with f
its part of all the expected events, chance alone gives (X - E)² the mean spread · E (1 - f), and pods that differ with
relative variance v add v E² [(1 - f)² + Σ f² - f²]. Both are summed over pods and blocks of distinct segments, and v is
their ratio, for several L. The curve is a sum of AR(1) processes of fixed memories with variances >= 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.assumptions import RHO_RANGE, VARIATION_LENGTHS, VARIATION_TIMES
from analysis.learned import Noise, Variation, averaging, memory_of
from analysis.samples import Tally
from analysis.special import FloatArray


def fit_noise(segments: Sequence[Tally], *, spread: float, floor: float, prior_sd: float, latest: int = 0) -> Noise:
    """All that the engine needs to know about the noise of these counts; spread as in `Noise`.

    latest: the noise is at least that of so many of the last segments; 0 for all segments alike.
    """
    noise = Noise(fit_variation(segments, spread=spread, floor=floor), fit_rho(segments, spread), spread, prior_sd)
    if not 0 < latest < len(segments):
        return noise
    return noisier(noise, fit_noise(segments[-latest:], spread=spread, floor=floor, prior_sd=prior_sd))


def noisier(noise: Noise, other: Noise) -> Noise:
    """Noise of which neither is an understatement: the larger of each part."""
    parts = tuple(max(pair) for pair in zip(noise.variation.variances, other.variation.variances, strict=True))
    return replace(noise, variation=replace(noise.variation, variances=parts), rho=max(noise.rho, other.rho))


def fit_variation(segments: Sequence[Tally], *, spread: float, floor: float) -> Variation:
    """v(L) by non-negative least squares on relative errors; the part that stays for good is at least `floor`."""
    lengths, measured = measured_variation(segments, spread)
    times = (math.inf, *VARIATION_TIMES)
    if not lengths.size:
        return Variation(times, (floor, *(0.0 for _ in VARIATION_TIMES)))
    weights = 1.0 / (np.maximum(measured, 0.02 * max(float(measured.max()), 0.0)) + 1e-4)
    design = np.stack([averaging(lengths, memory_of(time)) for time in times], axis=1)
    found = nnls(design * weights[:, None], measured * weights)
    found[0] = max(float(found[0]), floor)
    return Variation(times, tuple(float(value) for value in found))


def measured_variation(segments: Sequence[Tally], spread: float) -> tuple[FloatArray, FloatArray]:
    """Block lengths that history could measure, and V(L) for each; V may be negative where chance exceeds noise.

    A length is what even windows would tell as much as the block's, as in `contrast`; blocks weigh by their events.
    """
    over, under, total, squares = np.zeros((4, len(VARIATION_LENGTHS)))
    for tally in segments:
        served = (tally.exposure > 0.0).astype(np.float64)
        n = tally.exposure.sum(axis=0)
        m = tally.events.sum(axis=0)
        expected: FloatArray = tally.exposure * (m / np.where(n > 0.0, n, 1.0))
        squared: FloatArray = tally.exposure**2 * (np.maximum(m * (m - 1.0), 0.0) / np.where(n > 0.0, n, 1.0) ** 2)
        for place, length in enumerate(VARIATION_LENGTHS):
            blocks = tally.ends.size // length
            if not blocks:
                continue
            x, e, there = (_blocks(values, blocks, length) for values in (tally.events, expected, served))
            whole = there >= 0.8 * length
            share = e / np.maximum(e.sum(axis=0), 1e-300)
            others = (share**2).sum(axis=0) - share**2
            over[place] += ((x - e) ** 2 - spread * e * (1.0 - share))[whole].sum()
            under[place] += (e**2 * ((1.0 - share) ** 2 + others))[whole].sum()
            total[place] += (e**2)[whole].sum()
            squares[place] += _blocks(squared, blocks, length)[whole].sum()
    known = under > 0.0
    lengths = np.clip(total[known] / np.maximum(squares[known], 1e-300), 1.0, np.array(VARIATION_LENGTHS)[known])
    return lengths, over[known] / under[known]


def fit_rho(segments: Sequence[Tally], spread: float) -> float:
    """Intraclass correlation of one pod's share of the events of a window, by moments.

    Given m events, the count of a pod with share f of the exposure has variance m f (1 - f) (1 + (m - 1) ρ) if it is
    beta-binomial. Noise of relative variance v makes ρ about v over the number of pods, however many pods are on trial.
    """
    over = under = 0.0
    for tally in segments:
        n, m = tally.exposure.sum(axis=0), tally.events.sum(axis=0)
        share = tally.exposure / np.where(n > 0.0, n, 1.0)
        chance = m * share * (1.0 - share)
        # Counts of a common kind of request vary by less than Poisson counts: spread < 1.
        over += float(((tally.events - m * share) ** 2 - spread * chance).sum())
        under += float((np.maximum(m - 1.0, 0.0) * chance).sum())
    low, high = RHO_RANGE
    return min(max(over / under, low), high) if under > 0.0 else low


def nnls(design: FloatArray, target: FloatArray) -> FloatArray:
    """The x >= 0 that minimises |design x - target|, by active sets (Lawson and Hanson 1974, chapter 23)."""
    columns = design.shape[1]
    scale = np.maximum(np.sqrt((design**2).sum(axis=0)), 1e-300)
    a = design / scale
    x, free = np.zeros(columns), np.zeros(columns, dtype=np.bool_)
    tolerance = 1e-10 * max(float(np.abs(a.T @ target).max()), 1e-300)
    for _ in range(6 * columns):
        pull = a.T @ (target - a @ x)
        pull[free] = -np.inf
        if free.all() or pull.max() <= tolerance:
            break
        free[int(np.argmax(pull))] = True
        for _ in range(columns):
            wanted = np.zeros(columns)
            wanted[free] = np.linalg.lstsq(a[:, free], target, rcond=None)[0]
            if (wanted[free] > 0.0).all():
                break
            held = free & (wanted <= 0.0)
            step = float(np.min(x[held] / np.maximum(x[held] - wanted[held], 1e-300)))
            x = x + step * (wanted - x)
            free &= x > 1e-14
            x[~free] = 0.0
        x = np.where(free, wanted, 0.0)
    result: FloatArray = x / scale
    return result


def _blocks(values: FloatArray, blocks: int, length: int) -> FloatArray:
    """Sums over whole blocks of windows, shape (pods, blocks)."""
    result: FloatArray = values[:, : blocks * length].reshape(values.shape[0], blocks, length).sum(axis=2)
    return result
