"""Structured logs: one JSON object a line, so that no message of a pod or a server can forge a line of its own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

from controller.release.instants import stamp

# The scheduler tells each run at INFO; urllib3 warns of what the adapters already answer as a Failure.
_QUIET = {"apscheduler": logging.CRITICAL, "urllib3": logging.ERROR, "kubernetes": logging.ERROR}

_FIRST = ("at", "level", "event", "app", "release", "kind", "phase", "because")


def configure(now: Callable[[], float], *, stream: TextIO | None = None, debug: bool = False) -> None:
    """Sends structlog and the standard library's logging to `stream` (stderr) as JSON lines. `now`: epoch seconds."""

    def stamped(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["at"] = stamp(now())
        return event

    def ordered(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        first = {key: event[key] for key in _FIRST if key in event}
        return {**first, **{key: value for key, value in event.items() if key not in first}}

    shared: list[Any] = [structlog.stdlib.add_log_level, stamped]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        cache_logger_on_first_use=False,
    )
    written = logging.StreamHandler(stream if stream is not None else sys.stderr)
    written.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                ordered,
                structlog.processors.JSONRenderer(ensure_ascii=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [written]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(logging.INFO if debug else level)
