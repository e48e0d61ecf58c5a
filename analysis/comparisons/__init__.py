"""The kinds of gate: one file each with one signature; adding one is a file and a line in this table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from analysis.comparisons import gauge, latency, ratio, throughput
from analysis.question import ComparisonInput, Settings, error_settings, latency_settings, throughput_settings
from analysis.verdict import Evidence

Comparison = Callable[[ComparisonInput], Evidence]

COMPARISONS: Final[Mapping[str, Comparison]] = MappingProxyType(
    {
        "errorRatio": ratio.compare,
        "latency": latency.compare,
        "throughput": throughput.compare,
        "gauge": gauge.compare,
    }
)

__all__ = [
    "COMPARISONS",
    "Comparison",
    "ComparisonInput",
    "Settings",
    "error_settings",
    "latency_settings",
    "throughput_settings",
]
