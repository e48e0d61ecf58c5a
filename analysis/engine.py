"""The evidence grid for counts: how strongly windows so far speak against "no change" and against "inside the margin".

Two statistics look at the same windows. The pod contrast G compares pods' mean log rates, so that one noisy pod among
few is not mistaken for a version. The other compares the sides' counts and is quick when incumbents show hardly any
events: the share test B asks whether the contender's share of all events in a window exceeds its share of traffic; for
a margin in points, A asks whether its rate exceeds the incumbents' rate plus the points. All are mixtures over starts:
the whole release (weight one half) and a fresh start every five minutes, so that a late regression is not diluted.

Notation: contender/incumbent counts x, X of m = x + X events and r = contender/incumbent exposure in a window; θ is the
log ratio of event rates; δ is the log margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.assumptions import (
    POD_NOISE_SD,
    POD_QUANTILE,
    RESTART_SECONDS,
    RESTARTS,
    WINDOW_MEMORY,
    WINDOW_NOISE_SD,
    WINDOW_RHO,
)
from analysis.points import contender_gain, points_evidence
from analysis.samples import BoolArray, Tally
from analysis.shares import THETA_GRID, share_evidence, share_interval, share_log_likelihood
from analysis.special import FloatArray, log_sum_exp, normal_cdf

IntArray = npt.NDArray[np.int64]

_RESTART_LN_WEIGHTS: FloatArray = np.log(0.5 / np.arange(5, 5 + RESTARTS) / np.sum(1.0 / np.arange(5, 5 + RESTARTS)))


@dataclass(frozen=True, slots=True)
class Margin:
    """The largest change that is tolerated: a ratio of rates, or extra points (a share of requests), not both."""

    ratio: float = 1.0
    points: float = 0.0


@dataclass(frozen=True, slots=True)
class Noise:
    """Assumed variation that is not chance, between pods and between windows, and the spread of one event.

    pod_sd: sd of a pod's own log rate, for as long as it lives. window_sd: sd of its log rate from window to window,
    remembered as AR(1). rho: what window noise makes of the contender's share of events (beta-binomial).
    spread: variance of one count over its mean; 1 for rare events, 1 - p for a share p of requests.
    prior_sd: scale of the half-normal prior over log ratios beyond the null value.
    """

    pod_sd: float = POD_NOISE_SD
    window_sd: float = WINDOW_NOISE_SD
    rho: float = WINDOW_RHO
    spread: float = 1.0
    prior_sd: float = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at all windows so far gives; evidence in natural logs, ratios not in logs.

    ln_pods: G_0, the pods against no change. ln_pods_margin: G_δ, the pods against the margin. ln_counts: the events
    of the sides against the margin, B (share of events) for a ratio and A (above the points) for points. high is inf
    when the data does not bound the ratio from above. likely: the most likely log ratio. sampling_half_width: the upper
    half of the interval before pod noise widens it; pod_half_width: what pod noise alone would give; both on the log
    scale.
    """

    ln_pods: float
    ln_pods_margin: float
    ln_counts: float
    ratio: float | None
    low: float
    high: float
    likely: float
    sampling_half_width: float
    pod_half_width: float

    @property
    def ln_change(self) -> float:
        """Evidence against no change: ln of the mean of G_0 and B or A. The mean of two e-values is an e-value.

        What speaks against a change inside the margin speaks against no change.
        """
        return _ln_mean(self.ln_pods, self.ln_counts)

    @property
    def ln_margin(self) -> float:
        """Evidence against a change inside the margin: ln of the mean of G_δ and B or A.

        The sides' counts speak here too because the mean log rate of several pods hardly moves when one of them is bad.
        """
        return _ln_mean(self.ln_pods_margin, self.ln_counts)


def look(tally: Tally, margin: Margin, noise: Noise) -> Look:
    """Evidence over all shared windows of a tally; without events there is none."""
    return look_path(tally, margin, noise, [tally.ends.size])[0]


def look_path(tally: Tally, margin: Margin, noise: Noise, looks: list[int]) -> list[Look]:
    """What was seen at each of several looks, a look being the number of windows it could see; as `look` at each."""
    sides = _Sides.of(tally)
    starts, ends, ln_weights = _starts_by_look(looks, tally.window)
    plain = _contrast(sides, starts, ends, 0.0, noise)
    beyond = plain if margin.points == 0.0 else _contrast(sides, starts, ends, margin.points, noise)
    ln_pods = log_sum_exp(ln_half_normal_ratio(*plain, 0.0, noise.prior_sd) + ln_weights)
    ln_beyond = log_sum_exp(ln_half_normal_ratio(*beyond, math.log(margin.ratio), noise.prior_sd) + ln_weights)
    delta = math.log(margin.ratio)
    thetas = np.append(THETA_GRID, delta)
    curve = share_log_likelihood(sides.ours, sides.theirs, sides.odds, thetas, noise.rho).T
    if margin.points:
        gained = _between(contender_gain(sides.ours, sides.odds), starts, ends)
        theirs, requests = _between(np.stack([sides.theirs, sides.requests]), starts, ends)
        room = POD_QUANTILE * _noise_between_sides(sides, starts, ends, noise)
        counts = points_evidence(gained, theirs, requests, margin.points, room)
    else:
        counts = share_evidence(_between(curve, starts, ends), delta)
    ln_counts = log_sum_exp(counts + ln_weights)
    whole = _between(curve, np.zeros_like(ends[:, 0]), ends[:, 0])[:-1].T
    out = []
    for place, end in enumerate(looks):
        low, likely, high = share_interval(whole[place])
        pods = POD_QUANTILE * noise.pod_sd * math.sqrt(sides.pod_variance(end))
        out.append(
            Look(
                ln_pods=float(ln_pods[place]),
                ln_pods_margin=float(ln_beyond[place]),
                ln_counts=float(ln_counts[place]),
                ratio=sides.ratio(end),
                low=math.exp(likely - math.hypot(likely - low, pods)) if math.isfinite(low) else 0.0,
                high=math.exp(likely + math.hypot(high - likely, pods)) if math.isfinite(high) else math.inf,
                likely=likely,
                sampling_half_width=high - likely,
                pod_half_width=pods,
            )
        )
    return out


def planned_starts(windows: int, window: float) -> tuple[list[int], FloatArray]:
    """Starts that have begun after `windows` shared windows, and their log weights, both fixed before the release.

    Start 0 weighs one half; restart k = 1..48 weighs proportionally to 1/(k + 4) of the other half. Weights of
    restarts still to come stay unspent, so the mixture never exceeds an e-value.
    """
    every = max(1, math.ceil(RESTART_SECONDS / window))
    restarts = list(range(every, windows, every))[:RESTARTS]
    return [0, *restarts], np.concatenate([[math.log(0.5)], _RESTART_LN_WEIGHTS[: len(restarts)]])


def _starts_by_look(looks: list[int], window: float) -> tuple[IntArray, IntArray, FloatArray]:
    """First and last window of each start at each look, and log weights; shape (looks, starts).

    A start that has not begun at a look gets no weight there.
    """
    starts, ln_weights = planned_starts(max(looks), window)
    begin, end = np.broadcast_arrays(np.array(starts)[None, :], np.array(looks)[:, None])
    begun = (begin < end) | (begin == 0)
    return np.where(begun, begin, end), end, np.where(begun, ln_weights[None, :], -np.inf)


def ln_half_normal_ratio(d: FloatArray, se: FloatArray, delta: float, prior_sd: float) -> FloatArray:
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


def averaging(windows: FloatArray, memory: float) -> FloatArray:
    """Variance of the mean of L values of a stationary AR(1) with unit variance, L >= 1; 1 below that.

    [(1 + φ)/(1 - φ) - 2 φ (1 - φ^L) / (L (1 - φ)²)] / L, from summing the autocovariances φ^|i - j|.
    """
    n = np.maximum(windows, 1.0)
    left = 2.0 * memory * (1.0 - memory**n) / (n * (1.0 - memory) ** 2)
    result: FloatArray = ((1.0 + memory) / (1.0 - memory) - left) / n
    return result


@dataclass(frozen=True, slots=True)
class _Sides:
    """A tally summed the two ways that the statistics need."""

    tally: Tally
    expected: FloatArray
    ours: FloatArray
    theirs: FloatArray
    requests: FloatArray
    odds: FloatArray

    @classmethod
    def of(cls, tally: Tally) -> _Sides:
        t, mine = tally, tally.contender
        n, n_other = t.exposure[mine].sum(axis=0), t.exposure[~mine].sum(axis=0)
        x, x_other = t.events[mine].sum(axis=0), t.events[~mine].sum(axis=0)
        if t.ends.size and not (n_other > 0.0).all():
            raise ValueError("the evidence needs windows in which both sides served: pass tally.shared()")
        return cls(t, t.exposure * (x_other / n_other), x, x_other, n_other, n / n_other)

    def ratio(self, end: int) -> float | None:
        """Contender events over those expected at the incumbents' rate, in the first `end` windows."""
        expected = float(self.expected[self.tally.contender, :end].sum())
        return float(self.ours[:end].sum()) / expected if expected > 0.0 else None

    def pod_variance(self, end: int) -> float:
        """1/k + 1/k' in effective pods, weighted by exposure: the variance of the contrast per unit of pod variance."""
        total = 0.0
        for side in (self.tally.contender, ~self.tally.contender):
            load = self.tally.exposure[side, :end].sum(axis=1)
            total += float((load**2).sum() / load.sum() ** 2) if load.sum() > 0.0 else 1.0
        return total


def _contrast(
    sides: _Sides, starts: IntArray, ends: IntArray, points: float, noise: Noise
) -> tuple[FloatArray, FloatArray]:
    """Difference of the sides' mean log rates and its standard error from each start to its end, shape of `starts`.

    Per pod h = ln((X + 1)/(E + 1)) with E its exposure times the incumbents' pooled rate of the same windows, weighted
    by 1 / (v(L) + spread/(bE + 1)), v(L) being the noise left in a mean over its L windows. A side without pods knows
    nothing. `points` are added to the contender's expected rate (absolute margin). The contender's second pass takes
    b = exp(2/3 d): more events than expected also mean less chance in their log.
    """
    t = sides.tally
    mine = t.contender
    events = _between(t.events, starts, ends)
    expected = _between(sides.expected, starts, ends)
    exposure = _between(t.exposure, starts, ends)
    if points:
        expected[mine] += points * exposure[mine]
    served = _between((t.exposure > 0.0).astype(np.float64), starts, ends)
    h = np.log((events + 1.0) / (expected + 1.0))
    steady = noise.pod_sd**2 + noise.window_sd**2 * averaging(served, WINDOW_MEMORY)

    def mean_log(side: BoolArray, b: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        precision = (served[side] > 0.0) / (steady[side] + noise.spread / (b * expected[side] + 1.0))
        total = np.maximum(precision.sum(axis=0), 1e-12)
        return (precision * h[side]).sum(axis=0) / total, 1.0 / total

    theirs, v_theirs = mean_log(~mine, 1.0)
    ours, _ = mean_log(mine, 1.0)
    ours, v_ours = mean_log(mine, np.exp(np.clip(ours - theirs, 0.0, 3.5) * 2.0 / 3.0))
    return ours - theirs, np.sqrt(v_ours + v_theirs)


def _noise_between_sides(sides: _Sides, starts: IntArray, ends: IntArray, noise: Noise) -> FloatArray:
    """Assumed standard deviation of the log ratio of the sides' pooled rates, without chance; shape of `starts`.

    A pod keeps pod_sd for good and of the window noise what is left in a mean over its windows; the pods of a side
    weigh by their requests.
    """
    t = sides.tally
    exposure = _between(t.exposure, starts, ends)
    served = _between((t.exposure > 0.0).astype(np.float64), starts, ends)
    steady = noise.pod_sd**2 + noise.window_sd**2 * averaging(served, WINDOW_MEMORY)
    variance = np.zeros(starts.shape)
    for side in (t.contender, ~t.contender):
        total = np.maximum(exposure[side].sum(axis=0), 1.0)
        variance += (exposure[side] ** 2 * steady[side]).sum(axis=0) / total**2
    return np.sqrt(variance)


def _ln_mean(one: float, other: float) -> float:
    return float(np.logaddexp(one, other)) - math.log(2.0)


def _between(values: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Sums over the last axis from start to end; shape (rows, *starts.shape)."""
    before = np.concatenate([np.zeros((values.shape[0], 1)), np.cumsum(values, axis=1)], axis=1)
    result: FloatArray = before[:, ends] - before[:, starts]
    return result
