"""From when on the counts speak of harm: the window at which a change of the contender's rate began; descriptive.

Each start k has the evidence e_k of the windows from k on against no change, the engine's own for shares of events, in
which windows before k have no part. If the change began at the first window and is drawn from that mixture's prior,
then e_k / e_0 is a likelihood ratio and its mean over k too: it reaches 20 with a chance of 5 % at most (Markov), and
below that the whole observation is told as one. Beyond it, the start with most evidence is told: the most likely one
where all are as likely beforehand (Page 1954; Hinkley 1970, "Inference about the change-point"). It was chosen by its
numbers, so those since then are no estimate that a promise rests on: nothing is decided by them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from analysis.contrast import Releases, Sums
from analysis.engine import Worse, ln_share
from analysis.learned import Noise
from analysis.samples import Tally
from analysis.special import FloatArray, log_sum_exp
from analysis.verdict import PER_SECOND, SHARE, Onset

LATER: Final = math.log(20.0)
"""How much better, in natural logs, later starts must explain the counts than the first one."""


def onset(
    tally: Tally, weighed: Tally, noise: Noise, worse: Worse = Worse.HIGHER, measure: str = SHARE
) -> Onset | None:
    """When harm began and both sides' numbers since then; None where the first window is as good a beginning.

    tally: counts in the windows that both sides share, as they were, for the rates. weighed: the same with youth and
    mix allowed for, as looks see them, for the time and the ratio. measure: what the rates are, as in `Effect`.
    """
    sums = _sums(weighed)
    start = later_start(start_evidence(sums, noise.rho, worse))
    if start is None:
        return None
    since = tally.keep_windows(np.arange(tally.ends.size) >= start)
    (ours, requests), (theirs, their_requests) = (
        (float(since.events[side].sum()), float(since.exposure[side].sum()))
        for side in (since.contender, ~since.contender)
    )
    rates = ours / requests, theirs / their_requests
    if measure == PER_SECOND:
        rates = rates[0] / tally.window, rates[1] / tally.window
    due = float(sums.contender_expected[0, -1] - sums.contender_expected[0, start])
    return Onset(
        at=float(tally.ends[start]) - tally.window,
        first=float(tally.ends[0]) - tally.window,
        last=float(tally.ends[-1]),
        requests=(ours, theirs) if measure == PER_SECOND else (requests, their_requests),
        rates=rates,
        ratio=float(sums.ours[0, start:].sum()) / due if due > 0.0 else None,
    )


def start_evidence(sums: Sums, rho: float, worse: Worse = Worse.HIGHER) -> FloatArray:
    """ln evidence against no change of the windows from each one on; shape (windows,), of a batch of one release."""
    starts = np.arange(sums.ours.shape[1])
    found: FloatArray = ln_share(sums, starts, np.full_like(starts, starts.size), 0.0, rho, worse)[0]
    return found


def later_start(evidence: FloatArray) -> int | None:
    """The start with most evidence, or None unless all later ones together are far better than the first."""
    later = evidence[1:]
    if not later.size or float(log_sum_exp(later)) - math.log(later.size) - float(evidence[0]) < LATER:
        return None
    return 1 + int(np.argmax(later))


def _sums(tally: Tally) -> Sums:
    return Sums.of(Releases(tally.contender, tally.exposure[None], tally.events[None], tally.window))
