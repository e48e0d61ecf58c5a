"""What every kind of gate can do with history, so that one calibration serves all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

import numpy as np

from analysis.learned import Calibration, Learned, NotLearned, Standing
from analysis.learning.replay import Replay
from analysis.question import Settings
from analysis.samples import BoolArray
from analysis.special import FloatArray


class Family(StrEnum):
    """What a gate watches; the chance of a false rollback is dealt out to families first."""

    ERRORS = "errors"
    LATENCY = "latency"
    SATURATION = "saturation"


@dataclass(frozen=True, slots=True)
class Paths:
    """Ln evidence of replays at every look, each of shape (replays, looks).

    first, second: the two statistics against no change, which `Calibration` joins. margin: against a change inside the
    margin. A look at which a replay has seen nothing yet holds ln(1/2), the evidence of an empty window. Looks after
    the end of a replay are cut off by the caller.
    """

    first: FloatArray
    second: FloatArray
    margin: FloatArray


HistoryT = TypeVar("HistoryT", contravariant=True)  # noqa: PLC0105 - the suffix says what it stands for
ModelT = TypeVar("ModelT")


class Kind(Protocol[HistoryT, ModelT]):
    """One kind of gate: its history, and a model that is fitted before thresholds are known.

    looks: how many windows of the replays are asked for; all arrays have shape (len(replays), looks). `segment` of each
    replay is an index into the history's own segments. Every method is a pure function of its arguments.
    """

    def family(self, settings: Settings) -> Family:
        """Whose share of the chance of a false rollback it takes from."""

    def fit(self, history: HistoryT, settings: Settings) -> ModelT | NotLearned:
        """The noise of healthy pods, or why it cannot be known."""

    def worth(self, model: ModelT, history: HistoryT) -> FloatArray:
        """What each segment counts for, one at most: less than one where it says little about today's noise."""

    def temper(self, model: ModelT) -> float:
        """How far the second statistic runs ahead of the first, as `raised` has learned it; 1 where it does not."""

    def silent(self, model: ModelT, on_trial: int) -> str | None:
        """Why a stage with so many pods on trial cannot be replayed, in numbers; None where it can."""

    def harmless(self, model: ModelT, history: HistoryT, replays: Sequence[Replay], looks: int) -> BoolArray:
        """Whether harm is ruled out at each look, so that the stage may end early."""

    def raised(
        self, model: ModelT, history: HistoryT, replays: Sequence[Replay], looks: int, rng: np.random.Generator
    ) -> tuple[ModelT, FloatArray]:
        """Margin evidence of contenders made worse by exactly the margin; the model may learn its scale from them."""

    def paths(
        self,
        model: ModelT,
        history: HistoryT,
        replays: Sequence[Replay],
        looks: int,
        rng: np.random.Generator,
        worse: HistoryT | None = None,
    ) -> Paths:
        """Evidence of contenders that differ from incumbents in nothing.

        worse: the same segments with a regression in every pod; contenders then come from there, which gives power.
        """

    def finished(self, model: ModelT, calibration: Calibration, standing: Standing) -> Learned:
        """What is kept."""
