"""How a command ends: its exit codes, and the one line that a refusal says."""

from __future__ import annotations

from typing import Final

SUCCEEDED: Final = 0
FAILED: Final = 1  # of ours, or the cluster did not answer
REFUSED: Final = 2
ROLLED_BACK: Final = 3
NEEDS_HUMAN: Final = 4
STILL_RUNNING: Final = 5
INTERRUPTED: Final = 130


class Refusal(Exception):
    """What was asked cannot be done; nothing was written. Each line is for the person who asked."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Unanswered(Exception):
    """The cluster, or whoever else was asked, did not answer, or not in a way that can be used."""

    who = "the cluster"
