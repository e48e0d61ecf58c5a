"""What the bench measures, what came out, and how both are shown: a table for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that is watched. `goal`: the most that it may be, in `unit`; None where nothing was promised."""

    name: str
    what: str
    unit: str
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with every value that was seen, the load of the machine, and what is worth knowing.

    `load`: processes that ran or wanted to, mean of a minute, the higher of before and after the measurement.
    """

    figure: Figure
    values: tuple[float, ...]
    load: float
    note: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.figure.name}: nothing was measured")

    @property
    def met(self) -> bool | None:
        """Whether the worst value keeps the goal; None without a goal."""
        return None if self.figure.goal is None else max(self.values) <= self.figure.goal


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A group of figures without a value. `failed` tells a measurement that broke from one that lacks a part."""

    group: str
    why: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured. `memory` in GiB."""

    cores: int
    memory: float
    python: str

    def __str__(self) -> str:
        return f"{self.cores} cores, {self.memory:.0f} GiB of memory, Python {self.python}"


HEAD = ("figure", "goal", "min", "median", "max", "values", "load", "met")


def table(results: Sequence[Measured | Unmeasured]) -> list[str]:
    """The lines of a Markdown table, columns aligned, with the notes and what could not be measured below it."""
    measured = [one for one in results if isinstance(one, Measured)]
    rows = [HEAD, *(_row(one) for one in measured)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    lines.insert(1, f"| {' | '.join('-' * width for width in widths)} |")
    lines += [f"{one.figure.name}: {one.note}" for one in measured if one.note]
    lines += [
        f"{one.group}: {'FAILED' if one.failed else 'not measured'}: {one.why}"
        for one in results
        if isinstance(one, Unmeasured)
    ]
    return lines


def _row(one: Measured) -> tuple[str, ...]:
    unit, goal = one.figure.unit, one.figure.goal
    shown = [number(value, unit) for value in (min(one.values), median(one.values), max(one.values))]
    return (
        f"{one.figure.name}: {one.figure.what}",
        "-" if goal is None else f"<= {number(goal, unit)}",
        *shown,
        str(len(one.values)),
        f"{one.load:.1f}",
        {None: "-", True: "yes", False: "NO"}[one.met],
    )


def number(value: float, unit: str) -> str:
    """Three significant digits at least, and every digit of a whole number."""
    text = f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def as_json(results: Sequence[Measured | Unmeasured], machine: Machine) -> Mapping[str, Any]:
    """Everything of the table, with all values."""
    return {
        "machine": {"cores": machine.cores, "memory_gib": round(machine.memory, 1), "python": machine.python},
        "figures": [
            {
                "name": one.figure.name,
                "what": one.figure.what,
                "unit": one.figure.unit,
                "goal": one.figure.goal,
                "values": list(one.values),
                "median": median(one.values),
                "met": one.met,
                "load": one.load,
                "note": one.note,
            }
            for one in results
            if isinstance(one, Measured)
        ],
        "unmeasured": [
            {"group": one.group, "why": one.why, "failed": one.failed} for one in results if isinstance(one, Unmeasured)
        ],
    }
