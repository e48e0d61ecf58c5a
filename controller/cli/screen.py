"""Consoles and colours: what is printed for people, on a terminal and without one."""

from __future__ import annotations

import os
import sys

from rich.console import Console, RenderableType

_WIDE = 160  # columns where nobody looks: a log should not wrap

PHASE_COLOURS = {
    "Queued": "dim",
    "Preflight": "cyan",
    "Canary": "cyan",
    "Batch": "cyan",
    "RollingBack": "bold yellow",
    "Succeeded": "green",
    "RolledBack": "yellow",
    "NeedsHuman": "bold red",
    "Cancelled": "magenta",
}
VERDICT_COLOURS = {
    "Healthy": "green",
    "Undecided": "blue",
    "Blind": "magenta",
    "Shared": "yellow",
    "Degraded": "bold red",
}


def console(*, error: bool = False) -> Console:
    """A console on stdout or stderr; without a terminal it is wide and plain."""
    stream = sys.stderr if error else sys.stdout
    wide = not stream.isatty() and not os.environ.get("COLUMNS")
    return Console(file=stream, highlight=False, soft_wrap=False, width=_WIDE if wide else None, markup=False)


def print_plain(screen: Console, shown: RenderableType) -> None:
    """Prints without the blanks that fill a table's lines to their end."""
    with screen.capture() as captured:
        screen.print(shown)
    print("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")), flush=True)


def say(line: str) -> None:
    """One line to stdout, as it is."""
    print(line, flush=True)


def warn(line: str) -> None:
    """One line to stderr, as it is."""
    print(line, file=sys.stderr, flush=True)
