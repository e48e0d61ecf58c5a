"""The exact rule: which of all ways to call k of P pods the contender makes them look worst?

Under no change, and if pods were put on trial by no property of theirs, every choice of k pods is as likely as the real
one. If the real choice is among the r most extreme of C(P, k), the chance of that was at most r / C(P, k), whatever the
noise of pods is. It needs no history, but many pods on either side: with 5 of 10, the most extreme of 252 at two fixed
looks makes 0.8 %. One pod of ten can never be rarer than one in ten.

The looks are fixed in windows since the batch began, so that looking more often changes nothing.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import EXACT_ASSIGNMENTS, EXACT_LOOKS, EXACT_RATIO
from analysis.samples import BoolArray, Tally
from analysis.special import FloatArray


@dataclass(frozen=True, slots=True)
class Exact:
    """What the exact rule found at the looks so far.

    degraded: the real assignment was extreme enough, and the contrast large enough, at one of them. level: the chance
    of that without any change, at all looks together. contrast: ln of the mean ratio at the last look. rank: place of
    the real assignment among `assignments`, itself included, 1 being the worst for the contender.
    """

    degraded: bool
    level: float
    contrast: float
    rank: int
    assignments: int


def exact(tally: Tally, alpha: float, ratio: float = EXACT_RATIO, seed: int = 0) -> Exact | None:
    """The rule on the first batch whose pods can carry it, or None before its first look or without such a batch.

    tally: all windows of the release, shared or not. The batch begins with the first window in which so many pods of
    both sides were seen that one assignment in C(P, k) is rare enough for all looks. Per pod h = ln((X + 1)/(E + 1))
    with E its exposure at the rate of ALL pods, so that no assignment is treated differently; the contrast is the mean
    of h on trial minus the mean of h elsewhere. A pod seen in fewer than half of a look's windows makes no look. Where
    there are too many assignments, some drawn at random by `seed` and the real one stand for all: that is as exact.
    """
    first = _beginning(tally, alpha)
    if first is None:
        return None
    there = tally.seen[:, first]
    mine = tally.contender[there]
    allowed = _rank_allowed(int(mine.sum()), mine.size, alpha)
    choices = _assignments(mine, seed)
    found: Exact | None = None
    for windows in EXACT_LOOKS:
        part = slice(first, first + windows)
        if first + windows > tally.ends.size or (tally.seen[there, part].sum(axis=1) * 2 < windows).any():
            break
        h = _log_rates(tally.exposure[there, part], tally.events[there, part])
        contrasts = _contrasts(h, choices)
        real = float(_contrasts(h, mine[None])[0])
        # Ties count against the contender's accuser: the real assignment comes last among equals.
        rank = int((contrasts >= real - 1e-12).sum())
        before = found is not None and found.degraded
        level = len(EXACT_LOOKS) * allowed / choices.shape[0]
        now = rank <= allowed and real > math.log(ratio)
        found = Exact(before or now, level, real, rank, choices.shape[0])
    return found


def _rank_allowed(mine: int, pods: int, alpha: float) -> int:
    """How many of the most extreme assignments may roll back at each look; 0 when even one is too many."""
    return int(alpha * min(math.comb(pods, mine), EXACT_ASSIGNMENTS) / len(EXACT_LOOKS))


def _beginning(tally: Tally, alpha: float) -> int | None:
    """The first window with enough pods on both sides."""
    ours = tally.seen[tally.contender].sum(axis=0)
    theirs = tally.seen[~tally.contender].sum(axis=0)
    for window, (k, rest) in enumerate(zip(ours.tolist(), theirs.tolist(), strict=True)):
        pods = k + rest
        if k and rest and _rank_allowed(k, pods, alpha):
            return window
    return None


def _assignments(mine: BoolArray, seed: int) -> BoolArray:
    """Every choice of as many pods, or the real one and random ones; shape (assignments, pods)."""
    pods, k = mine.size, int(mine.sum())
    if math.comb(pods, k) > EXACT_ASSIGNMENTS:
        rng = np.random.default_rng(seed)
        drawn = np.argsort(rng.random((EXACT_ASSIGNMENTS - 1, pods)), axis=1) < k
        return np.concatenate([mine[None], drawn])
    chosen = np.array(list(itertools.combinations(range(pods), k)), dtype=np.int64)
    out = np.zeros((chosen.shape[0], pods), dtype=np.bool_)
    np.put_along_axis(out, chosen, True, axis=1)
    return out


def _log_rates(exposure: FloatArray, events: FloatArray) -> FloatArray:
    """h of each pod, shape (pods,)."""
    served = exposure.sum(axis=0)
    rate = np.divide(events.sum(axis=0), served, out=np.zeros_like(served), where=served > 0.0)
    expected = (exposure * rate).sum(axis=1)
    result: FloatArray = np.log((events.sum(axis=1) + 1.0) / (expected + 1.0))
    return result


def _contrasts(h: FloatArray, choices: BoolArray) -> FloatArray:
    """Mean of h on trial minus the mean elsewhere, for each assignment."""
    k = choices.sum(axis=1)
    ours = (choices * h).sum(axis=1)
    result: FloatArray = ours / k - (h.sum() - ours) / (h.size - k)
    return result
