"""What a comparison is asked: the counters, who is who, when windows count, and what was promised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis.assumptions import PAUSE_ALPHA
from analysis.engine import Margin, Worse
from analysis.learned import Learned, NotLearned
from analysis.samples import CounterSeries, Frame
from analysis.verdict import Absence


@dataclass(frozen=True, slots=True)
class Settings:
    """What the policy promised for one gate. Shares and levels are in (0, 1), ratios above 1, objective in seconds.

    alpha: promise.falseRollback. margin: tolerated change. limit: hard bound on the share of events (errors, or
    requests slower than `objective`). harm_ratio: the smallest ratio that must be ruled out before advancing early.
    negligible: extra share of bad requests too small to wait for. worse: which direction is harm; only throughput asks
    for anything but higher. pause_alpha: promise.falsePause. Raises ValueError for anything out of range.
    """

    margin: Margin
    harm_ratio: float
    negligible: float
    alpha: float = 0.01
    limit: float | None = None
    objective: float | None = None
    worse: Worse = Worse.HIGHER
    pause_alpha: float = PAUSE_ALPHA

    def __post_init__(self) -> None:
        shares = {
            "alpha": self.alpha,
            "limit": self.limit,
            "negligible": self.negligible,
            "pause_alpha": self.pause_alpha,
        }
        for name, share in shares.items():
            if share is not None and not 0.0 < share < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {share!r}")
        if not 1.0 <= self.margin.ratio <= 16.0 or not 0.0 <= self.margin.points < 1.0:
            raise ValueError(f"margin out of range: {self.margin!r}")
        if not 1.0 < self.harm_ratio <= 64.0:
            raise ValueError(f"harm_ratio must lie between 1 and 64, not {self.harm_ratio!r}")
        if self.objective is not None and not (math.isfinite(self.objective) and self.objective > 0.0):
            raise ValueError(f"objective must be a positive number of seconds, not {self.objective!r}")


def error_settings(
    *,
    alpha: float = 0.01,
    margin_ratio: float | None = None,
    margin_points: float | None = None,
    limit: float | None = None,
    harm_ratio: float = 2.0,
) -> Settings:
    """Settings of an error ratio gate; give the margin as a ratio (default 1.25) or in points, a share (0.2pp = 0.002).

    The negligible extra share is 5 % of the error budget `limit`; without a limit it is the margin in points, or
    one request in a thousand. A margin above the harm ratio raises the harm ratio: what is tolerated is no harm.
    """
    if margin_ratio is not None and margin_points is not None:
        raise ValueError("the margin is a ratio or points, not both")
    points = margin_points or 0.0
    ratio = 1.0 if points else (margin_ratio or 1.25)
    negligible = points or (0.05 * limit if limit is not None else 0.001)
    return Settings(Margin(ratio, points), max(harm_ratio, ratio * 1.25), negligible, alpha, limit)


def latency_settings(
    *,
    alpha: float = 0.01,
    margin_ratio: float = 1.08,
    limit: float | None = None,
    objective: float | None = None,
    harm_ratio: float = 1.3,
) -> Settings:
    """Settings of a latency gate: margin and harm are ratios of latency; limit is the share slower than objective.

    Half a percent more slow requests is negligible: what a histogram tail of that size can show at all.
    """
    if (limit is None) != (objective is None) and limit is not None:
        raise ValueError("a latency limit needs an objective")
    return Settings(Margin(margin_ratio), max(harm_ratio, margin_ratio * 1.15), 0.005, alpha, limit, objective)


def throughput_settings(
    *,
    alpha: float = 0.01,
    margin_ratio: float = 1.10,
    harm_ratio: float = 1.5,
    worse: Worse = Worse.LOWER,
) -> Settings:
    """Settings of a throughput gate: margin and harm are ratios of events per pod, 1.5 being half as many more.

    For a decrease the same ratios count the other way round: harm is then a contender that does less than 1/harm. A
    rate of events has no share that would be negligible whatever the incumbents do; the field is not read.
    """
    return Settings(Margin(margin_ratio), max(harm_ratio, margin_ratio * 1.15), 0.001, alpha, worse=worse)


@dataclass(frozen=True, slots=True)
class ComparisonInput:
    """One question to one comparison.

    terms: counters by name; errorRatio reads "requests" and "errors", latency reads "buckets", throughput reads
    "events". unread: set when the store's answer was unusable as a whole; the answer is then Blind with that reason.
    learned: what history has taught about this gate, or why it has not; None before anything was learned. Without it
    the gate acts on assumed pod noise.
    """

    frame: Frame
    settings: Settings
    terms: Mapping[str, tuple[CounterSeries, ...]] = field(default_factory=dict)
    unread: Absence | None = None
    learned: Learned | NotLearned | None = None

    def term(self, name: str) -> tuple[CounterSeries, ...]:
        """Counters of a term; none when the store had none."""
        return self.terms.get(name, ())
