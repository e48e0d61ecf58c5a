"""What the process says about itself: one log line per turn of a release, its own metrics, its health over HTTP."""

from __future__ import annotations

from controller.report.report import Report

__all__ = ["Report"]
