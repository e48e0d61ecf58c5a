"""Pictures as SVG text: axes with units, direct labels, light and dark; no fonts, scripts or files from elsewhere."""

from __future__ import annotations

from controller.plot.axes import Axis, Kind
from controller.plot.page import figure
from controller.plot.panel import Band, Dots, Level, Line, Mark, Moment, Panel, Span

__all__ = ["Axis", "Band", "Dots", "Kind", "Level", "Line", "Mark", "Moment", "Panel", "Span", "figure"]
