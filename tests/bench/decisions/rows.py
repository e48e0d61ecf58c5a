"""One measured figure per row, with its interval and its goal, and how rows are shown: a table, and JSON.

A missed goal is a number to look at. A broken promise is more: a false-rollback rate of ours whose lower 95 % bound
lies above the promised one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from analysis.special import FloatArray

ALPHA = 0.01
"""The promised share of healthy releases that are rolled back."""

OURS = "learned"
"""The rule whose promises are checked."""

FALSE_ROLLBACK = "false rollback"
"""Share of healthy releases rolled back at any look: the promised figure."""

POWER = "caught"
"""Share of harmful releases rolled back after the harm began."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one rule in one cell of the benchmark.

    low, high: 95 % interval, nan without one. n: releases (or what `figure` is a share of). goal: "" or a comparison
    with a number, such as "<= 0.01" or ">= 0.8". value is inf for "never".
    """

    group: str
    cell: str
    rule: str
    figure: str
    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    goal: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the value keeps its goal; None without a goal."""
        if not self.goal:
            return None
        relation, number = self.goal.split()
        bound = float(number)
        if relation not in ("<=", ">="):
            raise ValueError(f"a goal is '<= x' or '>= x', not {self.goal!r}")
        return bool(self.value <= bound if relation == "<=" else self.value >= bound)

    @property
    def broken(self) -> bool:
        """A promise of ours broken beyond chance."""
        return self.rule == OURS and self.figure == FALSE_ROLLBACK and self.low > ALPHA


@dataclass(frozen=True, slots=True)
class Absent:
    """A group that was not measured, and why; `failed` tells a measurement that broke from one that lacks a part."""

    group: str
    why: str
    failed: bool = False


def share(
    group: str,
    cell: str,
    rule: str,
    figure: str,
    hits: Sequence[int] | FloatArray,
    trials: Sequence[int] | FloatArray,
    goal: str = "",
) -> Row:
    """A share of releases; `hits` and `trials` per simulated service, whose releases have one calibration in common.

    The interval is Clopper-Pearson on as many releases as the services are worth: n over the design effect, the
    observed variance of the services' shares over the binomial one, never below 1.
    """
    h, t = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    n = float(t.sum())
    value = float(h.sum()) / n if n else math.nan
    effect = 1.0
    if h.size > 1 and 0.0 < value < 1.0:
        # Kish: the linearised variance of a ratio over clusters against p(1-p)/n.
        between = float(((h - value * t) ** 2).sum()) * h.size / (h.size - 1) / n**2
        effect = max(1.0, between / (value * (1.0 - value) / n))
    low, high = clopper_pearson(value * n / effect, n / effect) if n else (math.nan, math.nan)
    return Row(group, cell, rule, figure, value, low, high, int(n), goal)


def clopper_pearson(hits: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share; whole numbers are not needed (the beta form interpolates)."""
    tail = (1.0 - level) / 2.0
    low = float(stats.beta.ppf(tail, hits, trials - hits + 1.0)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1.0 - tail, hits + 1.0, trials - hits)) if hits < trials else 1.0
    return low, high


def quantile(
    group: str, cell: str, rule: str, figure: str, values: Sequence[float] | FloatArray, level: float, goal: str = ""
) -> Row:
    """A quantile over all releases, with the distribution-free interval of order statistics; inf counts as never."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = ordered.size
    if n == 0:
        return Row(group, cell, rule, figure, math.nan, n=0, goal=goal)
    low = int(stats.binom.ppf(0.025, n, level))
    high = int(stats.binom.ppf(0.975, n, level))
    at = min(max(math.ceil(level * n) - 1, 0), n - 1)
    ends = float(ordered[max(low - 1, 0)]), float(ordered[min(high, n - 1)])
    return Row(group, cell, rule, figure, float(ordered[at]), *ends, n, goal)


def mean(group: str, cell: str, rule: str, figure: str, values: Sequence[float] | FloatArray, goal: str = "") -> Row:
    """A mean with its normal 95 % interval."""
    many = np.asarray(values, dtype=np.float64)
    middle = float(many.mean()) if many.size else math.nan
    half = 1.96 * float(many.std(ddof=1)) / math.sqrt(many.size) if many.size > 1 else math.nan
    return Row(group, cell, rule, figure, middle, middle - half, middle + half, many.size, goal)


HEAD = ("group", "cell", "rule", "figure", "value", "95 %", "n", "goal", "met")


def table(rows: Iterable[Row], absent: Iterable[Absent] = ()) -> list[str]:
    """A Markdown table with aligned columns; what could not be measured is named below it."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in cells]
    lines.insert(1, f"| {' | '.join('-' * width for width in widths)} |")
    lines += [f"{one.group}: {'FAILED' if one.failed else 'not measured'}: {one.why}" for one in absent]
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    interval = "" if math.isnan(row.low) else f"{number(row.low)} to {number(row.high)}"
    met = "BROKEN" if row.broken else {None: "", True: "met", False: "missed"}[row.met]
    return (row.group, row.cell, row.rule, row.figure, number(row.value), interval, str(row.n), row.goal, met)


def number(value: float) -> str:
    """Three significant digits, "never" for inf, "-" for nan."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def as_json(rows: Iterable[Row], absent: Iterable[Absent] = ()) -> dict[str, Any]:
    """Everything of the table; a number that is not finite becomes null ("never" and "none" alike)."""
    return {
        "rows": [
            {
                "group": row.group,
                "cell": row.cell,
                "rule": row.rule,
                "figure": row.figure,
                "value": _finite(row.value),
                "interval": [_finite(row.low), _finite(row.high)],
                "n": row.n,
                "goal": row.goal or None,
                "met": row.met,
                "broken": row.broken,
            }
            for row in rows
        ],
        "absent": [{"group": one.group, "why": one.why, "failed": one.failed} for one in absent],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
