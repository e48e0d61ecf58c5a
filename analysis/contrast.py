"""The pod contrast: do the contender's pods differ from the incumbents' by more than healthy pods do?

Pods are the units, not requests: one noisy pod among few is not mistaken for a version. Everything here works on many
releases side by side (axis 0), so that replays of history cost little; a single release is a batch of one.

A span is a run of windows [begin, end): from a start of the evidence to a look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analysis.assumptions import POD_QUANTILE
from analysis.learned import Noise
from analysis.samples import BoolArray
from analysis.special import FloatArray, normal_cdf

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Releases:
    """Counts of releases of one shape: exposure and events, shape (releases, rows, windows), zero where void.

    contender: (rows,), which rows are the contender's; a row is a pod, or a pod's time on one side. window: seconds.
    Windows in which one side served nothing count for no one: they must hold zeros on both sides.
    """

    contender: BoolArray
    exposure: FloatArray
    events: FloatArray
    window: float

    def some(self, which: slice) -> Releases:
        """A slice of the releases."""
        return Releases(self.contender, self.exposure[which], self.events[which], self.window)


@dataclass(frozen=True, slots=True)
class Sums:
    """Running sums over windows, with a zero in front, and the sides' totals per window.

    rows: (5, releases, rows, windows + 1), the first `contenders` rows being the contender's: events; events expected
    at the incumbents' rate; squares of these without their chance, which tell how unevenly windows weigh; windows
    served; exposure. ours, theirs, odds, requests: events per side, contender over incumbent exposure, and incumbent
    exposure, each of shape (releases, windows); odds are 0 where nothing was served.
    """

    rows: FloatArray
    contenders: int
    ours: FloatArray
    theirs: FloatArray
    odds: FloatArray
    requests: FloatArray

    @classmethod
    def of(cls, batch: Releases) -> Sums:
        n, x, k = batch.exposure, batch.events, int(batch.contender.sum())
        if not batch.contender[:k].all():
            order = np.argsort(~batch.contender, kind="stable")
            n, x = n[:, order], x[:, order]
        n_ours, n_theirs = n[:, :k].sum(axis=1), n[:, k:].sum(axis=1)
        ours, theirs = x[:, :k].sum(axis=1), x[:, k:].sum(axis=1)
        served = n_theirs > 0.0
        safe = np.where(served, n_theirs, 1.0)
        rate = np.where(served, theirs / safe, 0.0)[:, None, :]
        # X (X - 1) / N² has the mean of the squared rate; X² / N² would count its chance as well.
        squared = np.where(served, np.maximum(theirs * (theirs - 1.0), 0.0) / safe**2, 0.0)[:, None, :]
        rows = np.zeros((5, *n.shape[:-1], n.shape[-1] + 1))
        each = rows[..., 1:]
        each[0], each[3], each[4] = x, n > 0.0, n
        np.multiply(n, rate, out=each[1])
        np.multiply(n**2, squared, out=each[2])
        return cls(np.cumsum(rows, axis=-1, out=rows), k, ours, theirs, np.where(served, n_ours / safe, 0.0), n_theirs)

    @property
    def sides(self) -> tuple[slice, slice]:
        """The contender's rows, and the incumbents'."""
        return slice(0, self.contenders), slice(self.contenders, None)

    @property
    def contender_expected(self) -> FloatArray:
        """Running sums of the events expected of the contender; (releases, windows + 1)."""
        total: FloatArray = self.rows[1, :, : self.contenders].sum(axis=1)
        return total

    @property
    def contender_requests(self) -> FloatArray:
        """Running sums of the contender's exposure; (releases, windows + 1)."""
        total: FloatArray = self.rows[4, :, : self.contenders].sum(axis=1)
        return total


def running(values: FloatArray) -> FloatArray:
    """Sums over the first 0, 1, 2, ... entries of the last axis."""
    out = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=out[..., 1:])
    return out


def between(sums: FloatArray, begin: IntArray, end: IntArray) -> FloatArray:
    """Totals over spans from running sums; the last axis becomes the spans."""
    result: FloatArray = sums[..., end] - sums[..., begin]
    return result


@dataclass(frozen=True, slots=True)
class Noises:
    """The noise of releases side by side: one for all of them, or one each.

    spread: (1 or releases, 1, 1). prior_sd: (1 or releases, 1). windows: how many there are at most.
    """

    many: tuple[Noise, ...]
    windows: int
    spread: FloatArray
    prior_sd: FloatArray

    @classmethod
    def of(cls, many: Sequence[Noise], windows: int) -> Noises:
        return cls(
            tuple(many),
            windows,
            np.array([one.spread for one in many])[:, None, None],
            np.array([one.prior_sd for one in many])[:, None],
        )

    def table(self, *, slow: bool = False) -> FloatArray:
        """`log_variances` of each, shape (1 or releases, windows + 1)."""
        return np.stack([log_variances(one, self.windows + 1, slow) for one in self.many])


def contrast(
    sums: Sums, begin: IntArray, end: IntArray, noises: Noises, points: float = 0.0, *, decreases: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Difference of the sides' mean log rates and its standard error over spans, each of shape (releases, spans).

    Per row h = ln((X + 1)/(E + 1)) with E its exposure times the incumbents' pooled rate of the same windows, weighted
    by 1 / (ln(1 + v(L)) + spread/(bE + 1)), v(L) being the noise left in a mean over L windows. L is how many even
    windows would tell as much, (Σ E)² / Σ E²: in an outage of all pods a few windows hold nearly all events. A side
    without pods knows nothing. `points` are added to the contender's expected rate (absolute margin). The contender's
    second pass takes b = exp(2/3 d): more events than expected also mean less chance in their log. decreases: fewer
    events mean more chance as well, down to d = -3.5; only evidence of a decrease asks for that.
    """
    mine, other = sums.sides
    events, expected, squares, served = between(sums.rows[:4], begin, end)
    steady = _at(noises.table(), even_windows(expected, squares, served))
    if points:
        expected[:, mine] += points * between(sums.rows[4, :, mine], begin, end)
    h = np.log((events + 1.0) / (expected + 1.0))
    there = (served > 0.0).astype(np.float64)
    precision = there / (steady + noises.spread / (expected + 1.0))
    theirs, v_theirs = _mean(precision[:, other], h[:, other])
    ours, _ = _mean(precision[:, mine], h[:, mine])
    b = np.exp(np.clip(ours - theirs, -3.5 if decreases else 0.0, 3.5) * (2.0 / 3.0))
    known = b[:, None, :] * expected[:, mine] + 1.0
    ours, v_ours = _mean(there[:, mine] / (steady[:, mine] + noises.spread / known), h[:, mine])
    return ours - theirs, np.sqrt(v_ours + v_theirs)


def ln_half_normal_ratio(
    d: FloatArray, se: FloatArray, delta: float | FloatArray, prior_sd: float | FloatArray
) -> FloatArray:
    """ln of the likelihood ratio of d ~ N(θ, se²) with θ - δ half-normal of scale τ, against θ = δ.

    With z = (d - δ)/se and k² = τ²/(τ² + se²), completing the square in
    ∫₀^∞ (2/τ) φ(t/τ) exp(t z/se - t²/(2 se²)) dt gives 2 Φ(k z) (1 + τ²/se²)^(-1/2) exp(k² z²/2).
    """
    z = (d - delta) / se
    k2 = prior_sd**2 / (prior_sd**2 + se**2)
    tail = np.maximum(normal_cdf(z * np.sqrt(k2)), 1e-300)
    value = np.log(2.0 * tail) - 0.5 * np.log1p(prior_sd**2 / se**2) + 0.5 * k2 * z**2
    result: FloatArray = np.where(z <= 0.0, np.minimum(value, 0.0), value)
    return result


def noise_between_sides(sums: Sums, begin: IntArray, end: IntArray, noise: Noise, *, slow: bool = False) -> FloatArray:
    """Standard deviation of the log ratio of the sides' pooled rates, without chance; shape (releases, spans).

    The pods of a side weigh by their exposure. slow: only what pods keep for longer than a few windows, which the
    window-by-window likelihood of shares does not know of.
    """
    return noises_between_sides(sums, begin, end, Noises.of([noise], sums.ours.shape[-1]), slow=slow)


def noises_between_sides(
    sums: Sums, begin: IntArray, end: IntArray, noises: Noises, *, slow: bool = False
) -> FloatArray:
    """`noise_between_sides` of releases with a noise each."""
    known = noises.table(slow=slow)
    served, exposure = between(sums.rows[3:], begin, end)
    weighed = exposure**2 * _at(known, served.astype(np.int64))
    total = np.zeros((sums.ours.shape[0], begin.size))
    for side in sums.sides:
        load = exposure[:, side].sum(axis=1)
        # A side that served nothing is as uncertain as one pod.
        total += np.where(load > 0.0, weighed[:, side].sum(axis=1) / np.maximum(load, 1e-12) ** 2, known[:, 1:2])
    result: FloatArray = np.sqrt(total)
    return result


def widening(sums: Sums, looks: IntArray, noises: Noises) -> FloatArray:
    """Half width, on the log scale, that pod noise adds to the interval of the ratio at looks; (releases, looks)."""
    result: FloatArray = POD_QUANTILE * noises_between_sides(sums, np.zeros_like(looks), looks, noises, slow=True)
    return result


@lru_cache(maxsize=64)
def log_variances(noise: Noise, windows: int, slow: bool = False) -> FloatArray:
    """ln(1 + v(L)) for L = 0 .. windows - 1: the variance of a log rate whose relative variance is v.

    Kept, as every look of a release asks for the same few tables again; not to be written to.
    """
    lengths = np.arange(windows, dtype=np.float64)
    variation = noise.variation.slow() if slow else noise.variation
    result: FloatArray = np.log1p(variation.of(lengths))
    result.flags.writeable = False
    return result


def _at(table: FloatArray, windows: IntArray) -> FloatArray:
    """A table of one row for all releases, or of one row each, at numbers of windows (releases, rows, spans)."""
    release = np.arange(table.shape[0])[:, None, None]
    result: FloatArray = table[0][windows] if table.shape[0] == 1 else table[release, windows]
    return result


def even_windows(expected: FloatArray, squares: FloatArray, served: FloatArray) -> IntArray:
    """How many windows of even weight tell as much: (Σ E)² / Σ E², at most those served, all of them without events."""
    uneven = squares > 0.0
    windows = np.where(uneven, expected**2 / np.where(uneven, squares, 1.0), served)
    result: IntArray = np.rint(np.minimum(np.maximum(windows, 1.0), served)).astype(np.int64)
    return result


def _mean(precision: FloatArray, h: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Precision-weighted mean of h over rows, and its variance."""
    total = np.maximum(precision.sum(axis=1), 1e-12)
    return (precision * h).sum(axis=1) / total, 1.0 / total
