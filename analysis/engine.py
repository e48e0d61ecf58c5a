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
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analysis.assumptions import (
    POD_NOISE_SD,
    POD_QUANTILE,
    RESTART_SECONDS,
    RESTARTS,
    WINDOW_MEMORY,
    WINDOW_NOISE_SD,
    WINDOW_RHO,
)
from analysis.contrast import (
    IntArray,
    Noises,
    Releases,
    Sums,
    between,
    contrast,
    ln_half_normal_ratio,
    noises_between_sides,
    running,
    widening,
)
from analysis.learned import Noise, Variation
from analysis.points import contender_gain, points_evidence
from analysis.samples import Tally
from analysis.shares import (
    SHARE_POINTS,
    at_grid,
    points_beyond,
    share_evidence,
    share_evidences,
    share_intervals,
    share_log_likelihood,
)
from analysis.special import FloatArray, log_sum_exp
from analysis.spread import normal_intervals

ASSUMED_NOISE = Noise(
    Variation((math.inf, -1.0 / math.log(WINDOW_MEMORY)), (POD_NOISE_SD**2, WINDOW_NOISE_SD**2)), WINDOW_RHO
)
"""What a gate takes for granted until history has taught it how much healthy pods differ."""

_RESTART_LN_WEIGHTS: FloatArray = np.log(0.5 / np.arange(5, 5 + RESTARTS) / np.sum(1.0 / np.arange(5, 5 + RESTARTS)))
_CHUNK = 64
"""Releases worked on at a time: what fits a processor's cache."""


class Worse(StrEnum):
    """Which direction of a change is harm."""

    HIGHER = "higher"
    LOWER = "lower"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Margin:
    """The largest change that is tolerated: a ratio of rates, or extra points (a share of requests), not both."""

    ratio: float = 1.0
    points: float = 0.0


@dataclass(frozen=True, slots=True)
class Traces:
    """Evidence of many releases over looks, in natural logs, each of shape (releases, looks); see `Look`."""

    ln_pods: FloatArray
    ln_pods_margin: FloatArray
    ln_counts: FloatArray
    temper: float = 1.0

    @property
    def ln_margin(self) -> FloatArray:
        """Evidence against a change inside the margin, as `Look.ln_margin`."""
        mean: FloatArray = np.logaddexp(self.ln_pods_margin, self.ln_counts / self.temper) - math.log(2.0)
        return mean


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at all windows so far gives; evidence in natural logs, ratios not in logs.

    ln_pods: G_0, the pods against no change. ln_pods_margin: G_δ, the pods against the margin. ln_counts: the events
    of the sides against the margin, B (share of events) for a ratio and A (above the points) for points. high is inf
    when the data does not bound the ratio from above. likely: the most likely log ratio. sampling_half_width: the upper
    half of the interval before pod noise widens it; pod_half_width: what pod noise alone would give; both on the log
    scale. temper: as in `Noise`.
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
    temper: float = 1.0

    @property
    def ln_change(self) -> float:
        """Evidence against no change: ln of the mean of G_0 and B or A. The mean of two e-values is an e-value.

        What speaks against a change inside the margin speaks against no change.
        """
        return _ln_mean(self.ln_pods, self.ln_counts)

    @property
    def ln_margin(self) -> float:
        """Evidence against a change inside the margin: ln of the mean of G_δ and B or A, the latter tempered.

        The sides' counts speak here too because the mean log rate of several pods hardly moves when one of them is bad.
        A root of an e-value is at most one on average, too.
        """
        return _ln_mean(self.ln_pods_margin, self.ln_counts / self.temper)


def look(tally: Tally, margin: Margin, noise: Noise, worse: Worse = Worse.HIGHER) -> Look:
    """Evidence over all shared windows of a tally; without events there is none."""
    return look_path(tally, margin, noise, [tally.ends.size], worse)[0]


def look_at_rates(tally: Tally, margin: Margin, noise: Noise, worse: Worse) -> Look:
    """The same for counts that are large, with the interval of `normal_intervals`."""
    return _looks([tally], [margin], [noise], [tally.ends.size], worse, large=True)[0][0]


def look_path(tally: Tally, margin: Margin, noise: Noise, looks: list[int], worse: Worse = Worse.HIGHER) -> list[Look]:
    """What was seen at each of several looks, a look being the number of windows it could see; as `look` at each."""
    return _looks([tally], [margin], [noise], looks, worse)[0]


def look_each(tallies: Sequence[Tally], margins: Sequence[Margin], noises: Sequence[Noise]) -> list[Look]:
    """A look for an increase at each of several tallies of the same pods and windows, in one pass.

    Margins are ratios: only a single tally may have one in points.
    """
    return [of_one[0] for of_one in _looks(tallies, margins, noises, [tallies[0].ends.size], Worse.HIGHER)]


def _looks(
    tallies: Sequence[Tally],
    margins: Sequence[Margin],
    noises: Sequence[Noise],
    looks: list[int],
    worse: Worse,
    *,
    large: bool = False,
) -> list[list[Look]]:
    """Looks at each of several tallies of one shape. large: whether counts are too large for a share's interval."""
    batch = Releases(
        tallies[0].contender,
        np.stack([one.exposure for one in tallies]),
        np.stack([one.events for one in tallies]),
        tallies[0].window,
    )
    at = np.array(looks, dtype=np.int64)
    sums = Sums.of(batch)
    if tallies[0].ends.size and not (sums.requests > 0.0).all():
        raise ValueError("the evidence needs windows in which both sides served: pass tally.shared()")
    allowed = Noises.of(noises, batch.events.shape[2])
    curve = None
    if large:
        widths = normal_intervals(sums, at, allowed)
    else:
        # One likelihood serves the interval and, for the usual direction, the evidence.
        rho = np.array([one.rho for one in noises])
        curve = running(share_log_likelihood(sums.ours, sums.theirs, sums.odds, SHARE_POINTS, rho[:, None]))
        widths = (*share_intervals(at_grid(curve[..., at])), widening(sums, at, allowed))
    found = _traces(sums, batch.window, at, margins, allowed, worse, curve=curve if worse is Worse.HIGHER else None)
    expected = sums.contender_expected[:, at]
    seen = running(sums.ours)[:, at]
    return [
        [
            Look(
                ln_pods=float(found.ln_pods[one, place]),
                ln_pods_margin=float(found.ln_pods_margin[one, place]),
                ln_counts=float(found.ln_counts[one, place]),
                ratio=float(seen[one, place] / expected[one, place]) if expected[one, place] > 0.0 else None,
                low=math.exp(likely - math.hypot(likely - low, half)) if math.isfinite(low) else 0.0,
                high=math.exp(likely + math.hypot(high - likely, half)) if math.isfinite(high) else math.inf,
                likely=likely,
                sampling_half_width=high - likely,
                pod_half_width=half,
                temper=noises[one].temper,
            )
            for place, (low, likely, high, half) in enumerate(
                zip(*(ends[one].tolist() for ends in widths), strict=True)
            )
        ]
        for one in range(len(tallies))
    ]


def traces(
    batch: Releases, margin: Margin, noise: Noise, worse: Worse = Worse.HIGHER, *, only_pods: bool = False
) -> Traces:
    """The evidence of many releases at every look 1 .. windows. only_pods leaves ln_counts at -inf, and is cheaper."""
    looks = np.arange(1, batch.events.shape[2] + 1)
    allowed = Noises.of([noise], batch.events.shape[2])
    parts = [
        _traces(Sums.of(batch.some(slice(at, at + _CHUNK))), batch.window, looks, [margin], allowed, worse, only_pods)
        for at in _chunks(batch)
    ]
    return Traces(
        np.concatenate([one.ln_pods for one in parts]),
        np.concatenate([one.ln_pods_margin for one in parts]),
        np.concatenate([one.ln_counts for one in parts]),
        noise.temper,
    )


@dataclass(frozen=True, slots=True)
class Intervals:
    """Ends of the interval of the log ratio, and the most likely value, each of shape (releases, looks)."""

    low: FloatArray
    likely: FloatArray
    high: FloatArray


def intervals(batch: Releases, noise: Noise) -> Intervals:
    """The interval of the ratio at every look 1 .. windows, widened by pod noise; infinite where nothing bounds it."""
    looks = np.arange(1, batch.events.shape[2] + 1)
    parts = [_intervals(Sums.of(batch.some(slice(at, at + _CHUNK))), looks, noise) for at in _chunks(batch)]
    return Intervals(*(np.concatenate([getattr(one, end) for one in parts]) for end in ("low", "likely", "high")))


def _intervals(sums: Sums, looks: IntArray, noise: Noise) -> Intervals:
    curve = running(share_log_likelihood(sums.ours, sums.theirs, sums.odds, SHARE_POINTS, noise.rho))
    low, likely, high = share_intervals(at_grid(curve[..., looks]))
    pods = widening(sums, looks, Noises.of([noise], sums.ours.shape[1]))
    return Intervals(likely - np.hypot(likely - low, pods), likely, likely + np.hypot(high - likely, pods))


def _chunks(batch: Releases) -> range:
    return range(0, batch.events.shape[0], _CHUNK)


def _traces(
    sums: Sums,
    window: float,
    looks: IntArray,
    margins: Sequence[Margin],
    noises: Noises,
    worse: Worse,
    only_pods: bool = False,
    curve: FloatArray | None = None,
) -> Traces:
    """`traces` of a batch that is small enough; margins and noises: one for all releases, or one each.

    curve: running log likelihood of the share at SHARE_POINTS (first axis), if at hand.
    """
    spans = _Spans.of(looks, window)
    points = margins[0].points
    if points and worse is not Worse.HIGHER:
        raise ValueError("a margin in points is for increases only")
    if points and len(margins) > 1:
        raise ValueError("a margin in points is for one release at a time")
    deltas = tuple(math.log(one.ratio) for one in margins)
    up = contrast(sums, spans.begin, spans.end, noises) if worse is not Worse.LOWER else None
    down = contrast(sums, spans.begin, spans.end, noises, decreases=True) if worse is not Worse.HIGHER else None
    pods = _directed(up, down, 0.0, noises.prior_sd)
    if points:
        up = contrast(sums, spans.begin, spans.end, noises, points)
    further = _directed(up, down, np.array(deltas)[:, None], noises.prior_sd)
    if only_pods:
        counts = np.full_like(pods, -np.inf)
    elif points:
        counts = _ln_points(sums, spans, points, noises)
    elif curve is not None:
        counts = share_evidences(between(curve, spans.begin, spans.end), deltas)
    else:
        counts = ln_share(sums, spans.begin, spans.end, deltas[0], noises.many[0].rho, worse)
    mixed = spans.mixed(np.concatenate([pods, further, counts]))
    pods, further, counts = np.split(mixed, 3)
    return Traces(pods, further, counts, noises.many[0].temper)


def _directed(
    up: tuple[FloatArray, FloatArray] | None,
    down: tuple[FloatArray, FloatArray] | None,
    delta: float | FloatArray,
    prior_sd: FloatArray,
) -> FloatArray:
    """G for the directions in which harm lies, of their contrasts; for both, the mean of two, which costs ln 2."""
    found = []
    if up is not None:
        found.append(ln_half_normal_ratio(*up, delta, prior_sd))
    if down is not None:
        d, se = down
        found.append(ln_half_normal_ratio(-d, se, delta, prior_sd))
    return found[0] if len(found) == 1 else np.logaddexp(*found) - math.log(2.0)


def ln_share(sums: Sums, begin: IntArray, end: IntArray, delta: float, rho: float, worse: Worse) -> FloatArray:
    """B over spans of windows [begin, end), shape (releases, spans).

    A decrease is an increase with the sides exchanged: θ changes its sign.
    """

    def one(sign: float) -> FloatArray:
        values = share_log_likelihood(sums.ours, sums.theirs, sums.odds, sign * points_beyond(delta), rho)
        return share_evidence(between(running(values), begin, end), delta)

    if worse is Worse.HIGHER:
        return one(1.0)
    if worse is Worse.LOWER:
        return one(-1.0)
    return np.logaddexp(one(1.0), one(-1.0)) - math.log(2.0)


def _ln_points(sums: Sums, spans: _Spans, points: float, noises: Noises) -> FloatArray:
    """A over spans, shape (releases, spans)."""
    served = sums.odds > 0.0
    gain = np.where(served, contender_gain(sums.ours, np.where(served, sums.odds, 1.0)), 0.0)
    begin, end = spans.begin, spans.end
    gained = between(running(gain), begin, end)
    theirs = between(running(sums.theirs), begin, end)
    requests = between(running(sums.requests), begin, end)
    room = POD_QUANTILE * noises_between_sides(sums, begin, end, noises)
    return points_evidence(gained, theirs, requests, points, room)


@dataclass(frozen=True, slots=True)
class _Spans:
    """All (start, look) pairs in which the start has begun, as flat lists, and the weights that mix them again."""

    begin: IntArray
    end: IntArray
    row: IntArray
    start: IntArray
    looks: int
    ln_weights: FloatArray

    @classmethod
    def of(cls, looks: IntArray, window: float) -> _Spans:
        starts, ln_weights = planned_starts(int(looks.max()), window)
        at = np.array(starts, dtype=np.int64)
        begun = (at[None, :] < looks[:, None]) | (at[None, :] == 0)
        row, start = np.nonzero(begun)
        return cls(at[start], looks[row], row, start, looks.size, ln_weights)

    def mixed(self, values: FloatArray) -> FloatArray:
        """ln of the weighted mean over the starts of each look; values of shape (releases, spans)."""
        out = np.full((values.shape[0], self.looks, self.ln_weights.size), -np.inf)
        out[:, self.row, self.start] = values + self.ln_weights[self.start]
        return log_sum_exp(out)


def planned_starts(windows: int, window: float) -> tuple[list[int], FloatArray]:
    """Starts that have begun after `windows` shared windows, and their log weights, both fixed before the release.

    Start 0 weighs one half; restart k = 1..48 weighs proportionally to 1/(k + 4) of the other half. Weights of
    restarts still to come stay unspent, so the mixture never exceeds an e-value.
    """
    every = max(1, math.ceil(RESTART_SECONDS / window))
    restarts = list(range(every, windows, every))[:RESTARTS]
    return [0, *restarts], np.concatenate([[math.log(0.5)], _RESTART_LN_WEIGHTS[: len(restarts)]])


def _ln_mean(one: float, other: float) -> float:
    return float(np.logaddexp(one, other)) - math.log(2.0)
