"""What a look at counts is held against, and what forbids an early advance whatever it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import HEALTHY_MIN_WINDOWS, MARGIN_ALPHA
from analysis.comparisons.grounds import assumed_noise, known, weighed
from analysis.engine import Look
from analysis.held import Bars, Held
from analysis.learned import Learned, LearnedCounts, Noise, NotLearned
from analysis.question import Settings
from analysis.samples import Frame, Tally


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of a gate in the windows that both sides share, and what a look at them is held against.

    tally: the requests as they were. weighed: the same with youth and route mix allowed for, which looks see.
    """

    tally: Tally
    weighed: Tally
    frame: Frame
    noise: Noise
    bars: Bars
    learned: LearnedCounts | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, tally: Tally, settings: Settings, frame: Frame, learned: Learned | NotLearned | None) -> Counted:
        """By what history has taught, or by what is assumed until it has."""
        history, warnings = known(learned, LearnedCounts)
        noise = assumed_noise(tally) if history is None else history.noise
        bars = Bars.assumed(settings) if history is None else Bars.learned(history.calibration, history.standing)
        return cls(tally, weighed(tally, frame, history), frame, noise, bars, history, warnings)

    def held(self, seen: Look) -> Held:
        """A look beside its thresholds: the mean of two e-values, or what replays have joined."""
        change = seen.ln_change
        if self.learned is not None:
            change = float(self.learned.calibration.joined(np.array(seen.ln_pods), np.array(seen.ln_counts)))
        return Held(change, seen.ln_margin, self.bars, self.learned is None, self.warnings)

    @property
    def allows(self) -> tuple[str, ...]:
        """What is allowed for, so that the ratio may differ from the quotient of the two rates."""
        if self.learned is None or self.weighed.exposure is self.tally.exposure:
            return ()
        young = ("young pods",) if self.learned.age is not None and self.frame.groups.born else ()
        return (*young, *(("the mix of requests",) if self.learned.mix and self.tally.strata is not None else ()))


def over(again: Look) -> bool:
    """Whether anything is left of the evidence in what remains of the contender."""
    return again.ln_margin > 0.0 and again.ln_change > 0.0


def inclined(ln_change: float, ln_margin: float) -> bool:
    """Not degraded, but e-values that point to harm: no time to advance early."""
    return ln_change > math.log(1.0 / MARGIN_ALPHA) and ln_margin > 0.0


def obstacles(tally: Tally, leans: bool, lately: Callable[[], str | None]) -> Iterator[str]:
    """What forbids an early advance even when the interval is narrow; lately: the harm of late, if there is any."""
    silent = tally.freshness.silent
    if silent:
        yield f"{len(silent)} contender pod(s) without recent samples, first {silent[0]}"
    if leans:
        yield "the evidence leans towards harm: it has to fall first"
    harm = lately()
    if harm is not None:
        yield f"since the last settling alone, {harm}"
    if tally.ends.size < HEALTHY_MIN_WINDOWS:
        yield f"fewer than {HEALTHY_MIN_WINDOWS} windows with samples of both sides"
