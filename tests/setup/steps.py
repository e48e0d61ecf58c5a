"""Runs the long steps of the set-up with visible progress and one log file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPORT_EVERY = 30.0


class StepFailed(Exception):
    """A command of the set-up ended with an error; the sentence is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Prints what is being done, and keeps the output of every command in `log`."""

    log: Path

    def say(self, sentence: str) -> None:
        """One line of progress."""
        print(f"control plane: {sentence}", flush=True)

    def run(
        self, sentence: str, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Runs one command, with a sign of life every half minute. Raises StepFailed."""
        self.say(sentence)
        began = time.monotonic()
        with self.log.open("ab") as output:
            output.write(f"\n$ {' '.join(command)}\n".encode())
            output.flush()
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                while True:
                    try:
                        code = child.wait(REPORT_EVERY)
                        break
                    except subprocess.TimeoutExpired:
                        self.say(f"  ... {sentence} ({time.monotonic() - began:.0f} s)")
            finally:
                if child.poll() is None:
                    child.kill()
                    child.wait()
        if code != 0:
            raise StepFailed(f"{sentence} failed (exit code {code}); the end of {self.log} says why")
