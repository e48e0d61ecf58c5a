"""How a simulated service learns: through the product's own learning, from simulated history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.learned import AgeCurve, Guarantee, Learned, LearnedCounts, LearnedLatency, NotLearned
from analysis.learning import CountHistory, LatencyHistory, Present, ReplayPlan, compared, cut, learn
from analysis.learning.ages import Rollout, aged, learned_ages
from analysis.learning.mix import learned_mix, mixed
from analysis.question import Settings, error_settings, latency_settings
from analysis.samples import Histogram, Tally
from tests.bench.decisions.fleets import NOW, Batch
from tests.bench.decisions.judging import Adjusted
from tests.bench.decisions.rows import ALPHA
from tests.bench.worlds import LOOKS, STAGES

STAGE_WINDOWS = 20
PLAN = ReplayPlan(lambda pods: tuple(count for _, count in STAGES), STAGE_WINDOWS, STAGE_WINDOWS)
"""The plan of every simulated release: one, three, five pods of ten, ten minutes each."""

SETTINGS = error_settings()
PAUSE_ALPHA = 0.05
PRESENT_WINDOWS = 120
"""The last hour before a release, in windows."""

REFITS = 24
"""Age curves refitted on resampled rollouts, which raise the replays."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a gate knows. learned: None stands for a gate that never looked at history."""

    learned: Learned | NotLearned | None

    @property
    def counts(self) -> LearnedCounts | None:
        """What was learned about errors, if anything was."""
        return self.learned if isinstance(self.learned, LearnedCounts) else None

    @property
    def latency(self) -> LearnedLatency | None:
        """What was learned about latency, if anything was."""
        return self.learned if isinstance(self.learned, LearnedLatency) else None

    @property
    def standing(self) -> str:
        """The status that the gate prints, or why there is none."""
        if isinstance(self.learned, NotLearned):
            return f"{self.learned.reason}: {self.learned.detail}"
        return "no history" if self.learned is None else str(self.learned.standing)

    def adjusted(self, born: Mapping[str, float]) -> Adjusted | None:
        """Exposure by route mix and by age of pods, as the comparison does it; None where neither was learned."""
        known = self.counts
        if known is None or (known.age is None and not known.mix):
            return None

        def adjusted(tally: Tally) -> Tally:
            weighed = mixed(tally, known.mix)
            return weighed if known.age is None else aged(weighed, born, known.age)

        return adjusted


def learned_errors(
    history: Sequence[Tally], rng: np.random.Generator, rollouts: Sequence[Batch] = (), *, routes: bool = False
) -> Lesson:
    """Errors learned from segments, the age curve from past rollouts, the mix from labelled segments."""
    segments = tuple(history)
    mix = learned_mix(segments) if routes else ()
    if isinstance(mix, NotLearned):
        return Lesson(mix)
    if mix:
        segments = tuple(mixed(one, mix) for one in segments)
    curves: tuple[AgeCurve, ...] = ()
    if rollouts:
        ages = learned_ages([Rollout(one.tally(0), one.layout.births(NOW)) for one in rollouts])
        if isinstance(ages, NotLearned):
            return Lesson(ages)
        curves = (ages.curve, *(ages.resampled(int(rng.integers(2**31))) for _ in range(REFITS)))
    return _learned(CountHistory(segments, curves, mix), rng)


def _learned(history: CountHistory, rng: np.random.Generator, guarantee: Guarantee = Guarantee.CALIBRATED) -> Lesson:
    return Lesson(_all_learned({"errors": history}, {"errors": SETTINGS}, rng, guarantee)["errors"])


def _all_learned(
    histories: Mapping[str, CountHistory | LatencyHistory],
    settings: Mapping[str, Settings],
    rng: np.random.Generator,
    guarantee: Guarantee = Guarantee.CALIBRATED,
) -> dict[str, Learned | NotLearned]:
    seed = int(rng.integers(2**31))
    return learn(dict(histories), settings, PLAN, alpha=ALPHA, pause_alpha=PAUSE_ALPHA, seed=seed, guarantee=guarantee)


def learned_present(last: Tally, rng: np.random.Generator) -> Lesson:
    """Errors learned from the last hours of one fleet alone."""
    return _learned(CountHistory(cut(last, LOOKS)), rng, Guarantee.NOISE_CHANGED)


def learned_and_checked(history: Sequence[Tally], last: Tally, rng: np.random.Generator) -> Lesson:
    """Learned from history, unless the last hour differs from it: then from the last three hours alone."""
    lesson = learned_errors(history, rng)
    known = lesson.counts
    if known is None:
        return lesson
    hour = last.keep_windows(last.ends > NOW - PRESENT_WINDOWS * last.window)
    return lesson if compared(known, hour) is Present.SAME else learned_present(last, rng)


def learned_gates(histories: Sequence[Sequence[Tally]], rng: np.random.Generator) -> tuple[Lesson, ...]:
    """Several gates of one release, learned jointly."""
    names = [f"errors-{number}" for number in range(len(histories))]
    found = _all_learned(
        {name: CountHistory(tuple(segments)) for name, segments in zip(names, histories, strict=True)},
        dict.fromkeys(names, SETTINGS),
        rng,
    )
    return tuple(Lesson(found[name]) for name in names)


def learned_latency(history: Sequence[Histogram], rng: np.random.Generator) -> Lesson:
    """Latency learned from segments."""
    told = _all_learned({"latency": LatencyHistory(tuple(history))}, {"latency": latency_settings()}, rng)
    return Lesson(told["latency"])
