"""The morning report: what happened to the releases of a night, as a value, Markdown, JSON and one HTML file; pure."""

from __future__ import annotations

from controller.morning.brief import brief
from controller.morning.gather import journey, report_of, report_of_train
from controller.morning.html import html
from controller.morning.markdown import markdown
from controller.morning.plain import payload_of, report_from, to_json
from controller.morning.value import Figures, Journey, Report

__all__ = [
    "Figures",
    "Journey",
    "Report",
    "brief",
    "html",
    "journey",
    "markdown",
    "payload_of",
    "report_from",
    "report_of",
    "report_of_train",
    "to_json",
]
