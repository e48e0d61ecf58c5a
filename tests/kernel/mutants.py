"""Mutants of the deciding modules, planted one after the other: which of them do the tests of the kernel kill?

`python -m tests.kernel.mutants [--laws] [PART or NAME...]` works on a copy of the sources and takes many minutes, so it
is not a part of the suite. The parts are releases, windows, trains, watches and alerts. `--laws` leaves the unit tests
out. A survivor is explained beside its mutant, or it shows a missing test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from tests.kernel import planted
from tests.kernel.planted import Mutant

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Part:
    """Mutants of one part of the kernel, and the tests that have to kill them: its units first, then its laws.

    Each of `laws` is what pytest is told in one run, the quickest first; an explained survivor is spared the last one.
    """

    mutants: Sequence[Mutant]
    units: Sequence[str]
    laws: Sequence[Sequence[str]]


PARTS: Mapping[str, Part] = {
    "releases": Part(
        planted.RELEASES,
        [f"tests/controller/test_{name}.py" for name in ("decide", "record", "twin_moves", "autoscaler")],
        [
            [f"tests/kernel/test_{name}.py" for name in ("rows", "workload_rows", "odd_states")],
            [f"tests/kernel/test_{name}.py" for name in ("hostile_answers", "single_faults", "pairs")],
        ],
    ),
    "windows": Part(
        planted.WINDOWS,
        ["tests/controller/night/test_hours.py"],
        [
            ["tests/kernel/test_window_rows.py"],
            ["tests/simulation/test_scenarios.py", "-k", "window"],
            ["tests/kernel/test_window_faults.py"],
        ],
    ),
    "trains": Part(
        planted.TRAINS,
        [f"tests/controller/night/test_{name}.py" for name in ("train", "train_quarantine", "ride")],
        [["tests/simulation/test_trains.py"], ["tests/kernel/test_train_faults.py"]],
    ),
    "watches": Part(
        planted.WATCHES,
        ["tests/controller/test_watch.py"],
        [["tests/simulation/test_scenarios.py", "-k", "watch"], ["tests/kernel/test_watch_faults.py"]],
    ),
    "alerts": Part(
        planted.ALERTS,
        ["tests/controller/test_firing.py"],
        [["tests/simulation/test_scenarios.py", "-k", "alert"], ["tests/kernel/test_alert_faults.py"]],
    ),
}


def killed_by(mutant: Mutant, runs: Sequence[Sequence[str]], copy: Path) -> str:
    """The first test that fails with the mutant, or ""; "NOT ..." where that cannot be said."""
    source = copy / mutant.file
    text = source.read_text()
    if text.count(mutant.old) != 1:
        return f"NOT PLANTED: found {text.count(mutant.old)} times"
    for tests in runs[:-1] if mutant.survives else runs:
        source.write_text(text.replace(mutant.old, mutant.new))
        ran = tested(tests, copy)
        source.write_text(text)
        if ran.returncode == 1:
            lines = (line for line in ran.stdout.splitlines() if line.startswith("FAILED"))
            failed = next(lines, "FAILED ?").removeprefix("FAILED ").split(" - ")[0]
            return failed if tested([failed], copy).returncode == 0 else f"NOT JUDGED: without it fails, too, {failed}"
        if ran.returncode:
            return f"NOT RUN: {ran.stdout[-300:]}"
    return ""


def tested(tests: Sequence[str], copy: Path) -> subprocess.CompletedProcess[str]:
    """A run of these tests over the copy, up to the first that fails."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )


def chosen(names: Set[str], *, laws_only: bool) -> Iterator[tuple[Mutant, Sequence[Sequence[str]]]]:
    """The mutants of these names, or of the parts that are called so, with the runs that have to kill each of them."""
    for name, part in PARTS.items():
        for mutant in part.mutants:
            if not names or names & {name, mutant.name}:
                yield mutant, part.laws if laws_only else [part.units, *part.laws]


def main(words: list[str]) -> int:
    """Prints a line for each mutant; the number of survivors that nothing explains."""
    names = {word for word in words if word != "--laws"}
    unexplained = killed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build"))
        for mutant, runs in chosen(names, laws_only="--laws" in words):
            began = time.monotonic()
            by = killed_by(mutant, runs, copy)
            if by.startswith("NOT"):
                unexplained += 1
            elif by:
                killed += 1
                by = f"killed by {by}"
            elif mutant.survives:
                by = f"survives: {mutant.survives}"
            else:
                unexplained += 1
                by = "SURVIVES"
            print(f"{mutant.name:42} {time.monotonic() - began:5.0f} s  {by}", flush=True)
    print(f"{killed} killed, {unexplained} unexplained")
    return unexplained


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
