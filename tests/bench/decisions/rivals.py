"""How other tools decide, expressed so that their rules run on the releases that our gates see.

Flagger and Argo Rollouts are state machines over single checks; Kayenta and PipeCD compare two lists of points;
Fisher's test and mean + 3 sd are what people write by hand. Only the part that ends a release is here: all rules see
the same plan of batches. What each rule turns its evidence into is one number per check, larger being worse, so that
each can also be run with the threshold at which it would raise as many false alarms as we do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy import special, stats

from analysis.special import FloatArray

NEVER = 0
"""The look of a release that was not rolled back."""


class End(StrEnum):
    """How a release ended under a rule."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Fate:
    """How it ended, and at which tick or measurement, counted from the start of the release."""

    end: End
    tick: int = NEVER


def flagger(checks: Iterable[bool], threshold: int, steps: int | None = None) -> Fate:
    """Flagger's canary: checks[k] says whether tick k + 1 passed (tick 0 has no metrics). No data is a failed check.

    The rollback is decided at the start of a tick, from the failures before it; failures are never forgotten. A failed
    check does not raise the weight. steps: passed checks until promotion, None for a release that goes on.
    """
    failed = passed = 0
    tick = 0
    limit = threshold if threshold > 0 else 1
    for ok in checks:
        tick += 1
        if failed >= limit:
            return Fate(End.ROLLED_BACK, tick)
        if not ok:
            failed += 1
            continue
        passed += 1
        if steps is not None and passed >= steps:
            return Fate(End.PROMOTED, tick)
    return Fate(End.ROLLED_BACK, tick + 1) if failed >= limit else Fate(End.RUNNING)


class Measurement(StrEnum):
    """What one measurement of an AnalysisRun came to."""

    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


def argo_measurement(value: float | None, *, success_below: float | None, failure_above: float | None) -> Measurement:
    """One measurement with the conditions `result <= success_below` and `result > failure_above`; None is an error.

    NaN makes every comparison false: with only a success condition it fails, with only a failure condition it passes.
    """
    if value is None:
        return Measurement.ERROR
    success = success_below is not None and value <= success_below
    failure = failure_above is not None and value > failure_above
    if success_below is None and failure_above is None:
        return Measurement.SUCCESSFUL
    if failure_above is None:
        failure = not success
    elif success_below is None:
        success = not failure
    if failure:
        return Measurement.FAILED
    return Measurement.SUCCESSFUL if success else Measurement.INCONCLUSIVE


def argo(
    measured: Iterable[Measurement],
    failure_limit: int = 0,
    *,
    count: int | None = None,
    inconclusive_limit: int = 0,
    consecutive_error_limit: int = 4,
) -> Fate:
    """Argo's AnalysisRun over one metric: failed or in error ends the rollout, inconclusive pauses it.

    A limit is passed by one more than it says. count: measurements until success, None for an open-ended run; a
    measurement in error does not count.
    """
    failed = inconclusive = errors = done = 0
    for tick, one in enumerate(measured, start=1):
        errors = errors + 1 if one is Measurement.ERROR else 0
        done += one is not Measurement.ERROR
        failed += one is Measurement.FAILED
        inconclusive += one is Measurement.INCONCLUSIVE
        # Where several limits are passed the later line wins.
        if errors > consecutive_error_limit:
            return Fate(End.ROLLED_BACK, tick)
        if inconclusive > inconclusive_limit:
            return Fate(End.INCONCLUSIVE, tick)
        if failed > failure_limit:
            return Fate(End.ROLLED_BACK, tick)
        if count is not None and done >= count:
            return Fate(End.PROMOTED, tick)
    return Fate(End.RUNNING)


@dataclass(frozen=True, slots=True)
class Shift:
    """Kayenta's comparison of two lists: the Hodges-Lehmann shift, its interval, and the ratio of the means."""

    estimate: float
    low: float
    high: float
    ratio: float


def hodges_lehmann(experiment: FloatArray, control: FloatArray, level: float = 0.98) -> Shift | None:
    """Median of all pairwise differences, and the shifts that a Mann-Whitney test does not refuse.

    The ends are order statistics of the differences at the normal quantile with continuity correction, as R's
    wilcox.test without `exact`. NaN are dropped; None without points on a side.
    """
    x, y = experiment[np.isfinite(experiment)], control[np.isfinite(control)]
    if x.size == 0 or y.size == 0:
        return None
    mean = float(y.mean())
    ratio = float(x.mean()) / mean if mean > 0.0 else (math.inf if float(x.mean()) > 0.0 else 1.0)
    if (x == x[0]).all() and (y == y[0]).all() and x[0] == y[0]:
        return Shift(0.0, 0.0, 0.0, 1.0)
    apart = np.sort((x[:, None] - y[None, :]).ravel())
    pairs = apart.size
    z = float(stats.norm.isf((1.0 - level) / 2.0))
    rank = math.floor(pairs / 2.0 - 0.5 - z * math.sqrt(pairs * (x.size + y.size + 1) / 12.0))
    middle = float(np.median(apart))
    if rank < 0:
        return Shift(middle, -math.inf, math.inf, ratio)
    return Shift(middle, float(apart[rank]), float(apart[pairs - 1 - rank]), ratio)


def kayenta_high(shift: Shift | None, tolerance: float = 0.25, allowed: float = 1.0) -> bool:
    """Whether Kayenta calls the metric High: beyond the tolerance and at least `allowed` times the control's mean."""
    if shift is None:
        return False
    return shift.low > tolerance * abs(shift.estimate) and shift.ratio >= allowed


def rank_test(experiment: FloatArray, control: FloatArray) -> float:
    """PipeCD's Mann-Whitney test: the two-sided p; 1 where both sides are empty or equal, 0 where one is empty."""
    x, y = experiment[np.isfinite(experiment)], control[np.isfinite(control)]
    if x.size == 0 or y.size == 0:
        return 1.0 if x.size == y.size else 0.0
    if np.unique(np.concatenate([x, y])).size == 1:
        return 1.0
    return float(stats.mannwhitneyu(x, y, alternative="two-sided").pvalue)


def fisher(ours: FloatArray, requests: FloatArray, theirs: FloatArray, their_requests: FloatArray) -> FloatArray:
    """Fisher's exact p that the contender's share of failures is this high or higher, element by element.

    Where the share is not above the expected one the answer is 1: nobody would act on it, and the sum is long there.
    """
    total, failed = requests + their_requests, ours + theirs
    worse = (total > 0.0) & (ours * total > failed * requests)
    x, n, k, m = ours[worse], requests[worse], failed[worse], total[worse]
    g = special.gammaln
    ln_first = g(k + 1.0) - g(x + 1.0) - g(k - x + 1.0) + g(m - k + 1.0) - g(n - x + 1.0)
    ln_first += g(n + 1.0) + g(m - n + 1.0) - g(m + 1.0) - g(m - k - n + x + 1.0)
    term = np.exp(ln_first)
    tail = term.copy()
    while term.size and bool((term > 1e-12 * tail).any()):
        term = term * (k - x) * (n - x) / ((x + 1.0) * (m - k - n + x + 1.0))
        tail += term
        x = x + 1.0
    p = np.ones(ours.shape)
    p[worse] = np.minimum(tail, 1.0)
    return p


@dataclass(frozen=True, slots=True)
class Rule:
    """A rival: what it is called, its usual threshold, how many checks above it end a release, and when it checks.

    every: looks between checks. needed: checks above the threshold that end the release. lag: checks until it acts.
    """

    name: str
    threshold: float
    every: int
    needed: int = 1
    lag: int = 0

    def alarms(self, scores: FloatArray, threshold: float | None = None) -> FloatArray:
        """The look of the rollback of each release, NEVER without one; scores (releases, checks), larger is worse."""
        bar = self.threshold if threshold is None else threshold
        over = np.cumsum(scores > bar, axis=1) >= self.needed
        first = np.argmax(over, axis=1) + 1 + self.lag
        result: FloatArray = np.where(over.any(axis=1) & (first <= scores.shape[1]), first * self.every, NEVER)
        return result

    def worst(self, scores: FloatArray) -> FloatArray:
        """The largest threshold at which each release would still be rolled back (not reached itself)."""
        usable = scores[:, : scores.shape[1] - self.lag]
        result: FloatArray = np.sort(usable, axis=1)[:, -self.needed]
        return result

    def threshold_for(self, healthy: FloatArray, rate: float) -> float:
        """The threshold at which this rule rolls back at most this share of these healthy releases."""
        ordered = np.sort(self.worst(healthy))[::-1]
        return float(ordered[min(int(rate * ordered.size), ordered.size - 1)])


FLAGGER_1 = Rule("Flagger, 1 failed check", 0.01, 2, needed=1, lag=1)
FLAGGER_5 = Rule("Flagger, 5 failed checks", 0.01, 2, needed=5, lag=1)
ARGO_0 = Rule("Argo, failureLimit 0", 0.01, 2, needed=1)
ARGO_3 = Rule("Argo, failureLimit 3", 0.01, 2, needed=4)
KAYENTA = Rule("Kayenta", 1.0, 10)
PIPECD = Rule("Mann-Whitney (PipeCD)", -0.05, 10)
FISHER = Rule("Fisher per look", math.log(100.0), 1)
THREE_SD = Rule("mean + 3 sd", 3.0, 2)
RULES = (FLAGGER_1, FLAGGER_5, ARGO_0, ARGO_3, KAYENTA, PIPECD, FISHER, THREE_SD)
SECONDS_LIMIT = 0.5
"""For latency the static rules look at the 95th percentile and allow 500 ms."""

STATIC = (FLAGGER_1, FLAGGER_5, ARGO_0, ARGO_3)
LATENCY_RULES = tuple(replace(rule, threshold=SECONDS_LIMIT) if rule in STATIC else rule for rule in RULES)
"""The same rules over latency."""


def by_minute(values: FloatArray) -> FloatArray:
    """Sums over each minute (two windows) of the last axis."""
    result: FloatArray = values.reshape(*values.shape[:-1], -1, 2).sum(axis=-1)
    return result


def flagger_scores(ours: FloatArray) -> FloatArray:
    """A metric of the contender per minute, NaN without data; a minute without data is a failed check."""
    return np.where(np.isfinite(ours), ours, np.inf)


def argo_scores(ours: FloatArray, errors: int = 5) -> FloatArray:
    """The same for Argo: a minute without data is an error, which counts for nothing but as the fifth in a row.

    That ends the release: it scores inf from there on. (A rule that needs several checks then takes as many more.)
    """
    absent = ~np.isfinite(ours)
    in_a_row = np.stack(
        [absent[:, max(end - errors, 0) : end].sum(axis=1) for end in range(1, ours.shape[1] + 1)], axis=1
    )
    ended = np.maximum.accumulate(in_a_row >= errors, axis=1)
    return np.where(ended, np.inf, np.where(absent, -np.inf, ours))


def kayenta_scores(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Per five minutes over all points so far: the ratio of means where the shift is beyond the tolerance, else 0.

    ours, theirs: (releases, minutes). The threshold on it is allowedIncrease (reached counts as passed).
    """
    checks = range(5, ours.shape[1] + 1, 5)
    out = np.zeros((ours.shape[0], len(checks)))
    for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        for place, end in enumerate(checks):
            shift = hodges_lehmann(one[:end], other[:end])
            if shift is not None and kayenta_high(shift):
                out[row, place] = np.nextafter(shift.ratio, np.inf)
    return out


def pipecd_scores(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Per five minutes, over those five alone: minus p where the contender's mean is higher, else -1."""
    checks = range(5, ours.shape[1] + 1, 5)
    out = np.full((ours.shape[0], len(checks)), -1.0)
    for place, end in enumerate(checks):
        x, y = ours[:, end - 5 : end], theirs[:, end - 5 : end]
        whole = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
        apart = (np.ptp(np.concatenate([x, y], axis=1), axis=1) > 0.0) & whole
        if apart.any():
            p = stats.mannwhitneyu(x[apart], y[apart], axis=1, alternative="two-sided").pvalue
            worse = x[apart].mean(axis=1) > y[apart].mean(axis=1)
            # Reached counts as failed: p <= 0.05.
            out[apart, place] = np.where(worse, np.nextafter(-p, np.inf), -1.0)
        for row in np.flatnonzero(~whole):
            p = rank_test(x[row], y[row])
            if p == 0.0 or np.nanmean(x[row]) > np.nanmean(y[row]):
                out[row, place] = np.nextafter(-p, np.inf)
    return out


def fisher_scores(ours: Sequence[FloatArray], theirs: Sequence[FloatArray]) -> FloatArray:
    """-ln of Fisher's p of the counts so far at each look; each side is (requests, events) of (releases, looks)."""
    n, x = (np.cumsum(values, axis=1) for values in ours)
    m, y = (np.cumsum(values, axis=1) for values in theirs)
    return -np.log(np.maximum(fisher(x, n, y, m), 1e-300))


def deviations(ours: FloatArray, history: FloatArray) -> FloatArray:
    """By how many standard deviations of history the contender's metric of each minute lies above its mean."""
    usual = history[np.isfinite(history)]
    spread = max(float(usual.std()), 1e-12)
    return np.where(np.isfinite(ours), (ours - float(usual.mean())) / spread, 0.0)
