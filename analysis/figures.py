"""Numbers as records keep them and as sentences say them.

A record keeps four significant digits, and pages are made of records long after the sentence beside them was made of
the number itself. To round twice is not to round once: 1.7849 is 1.78, but 1.785 becomes 1.79 or 1.78 as the binary
fraction falls. So a sentence says what the record keeps, never the number behind it.
"""

from __future__ import annotations

import math


def kept(value: float | None) -> float | int | None:
    """Four significant digits, whole numbers as integers; JSON has no infinity, so that becomes None."""
    if value is None or not math.isfinite(value):
        return None
    if abs(value) < 1e15 and value == int(value):
        return int(value)
    return float(f"{value:.4g}")


def number(value: float, unit: str = "") -> str:
    """A count or a rate for a sentence: three significant digits, whole and large numbers with separated thousands."""
    short = kept(value)
    if short is None:
        return "unbounded"
    return f"{short:,.0f}{unit}" if abs(short) >= 100.0 else f"{short:.3g}{unit}"


def times(ratio: float) -> str:
    """A ratio for a sentence."""
    return number(ratio, "x")


def percent(share: float) -> str:
    """A share for a sentence."""
    short = kept(share)
    return "unknown" if short is None else f"{100.0 * short:.3g} %"
