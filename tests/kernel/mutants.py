"""Mutants of the deciding modules, planted one after the other: which of them do the tests of the kernel kill?

`python -m tests.kernel.mutants [--laws] [NAME...]` works on a copy of the sources and takes some minutes; it is not a
part of the suite. `--laws` leaves the unit tests out. A survivor is explained beside its mutant, or it shows a missing
test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECIDE, TWIN, REVISE, RECORD = (f"controller/{name}.py" for name in ("decide", "strategies/twin", "revise", "record"))
CLAIMS, SCALER = "controller/strategies/claims.py", "controller/companions/autoscaler.py"
FORWARD, ACCOMPANIED = "controller/forward.py", "controller/accompanied.py"
DRIVE, ATTEMPT, PINNED, KEEPING = (f"controller/{name}.py" for name in ("drive", "attempt", "pinned", "housekeeping"))
UNIT = [
    "tests/controller/test_decide.py",
    "tests/controller/test_record.py",
    "tests/controller/test_twin_moves.py",
    "tests/controller/test_autoscaler.py",
]
ROWS = ["tests/kernel/test_rows.py", "tests/kernel/test_workload_rows.py", "tests/kernel/test_odd_states.py"]
FAULTS = ["tests/kernel/test_hostile_answers.py", "tests/kernel/test_single_faults.py", "tests/kernel/test_pairs.py"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted fault: in `file` the text `old`, found exactly once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    survives: str = ""  # why no test can tell it from the original


MUTANTS = (
    Mutant("no surge bound", TWIN, "room = d + surge - i - c", "room = d + surge - i"),
    Mutant("down before ready", TWIN, "if surge > 0 and ready_c < c:", "if surge > 0 and ready_c < 0:",
           "the floor of `_removable` holds S1 by itself; this line only spends surge before slack"),
    Mutant("floor ignored", TWIN, "return min(want, max(available_total - floor, unready, 0))", "return want"),
    Mutant("floor one too low", TWIN, "floor = d - slack", "floor = d - slack - 1"),
    Mutant("unobserved ignored", TWIN, "if not live.observed or (spare is not None and not spare.observed):",
           "if False:"),
    Mutant("contender first", TWIN, "if i < want_i and room > 0:", "if False and room > 0:"),
    Mutant("no stamps", TWIN, "if slot is not None and not moving and not stamped(record, seen, slot):",
           "if False and slot is not None and not moving and not stamped(record, seen, slot):"),
    Mutant("stamps ignore the epoch", CLAIMS, "        and found.epoch == record.epoch\n", ""),
    Mutant("relative to nothing", TWIN, "return live.name, min(want_i, i + room)", "return live.name, i + room"),
    Mutant("restored too early", TWIN, 'return f"contender still has {spare.replicas} pods"', 'return ""'),
    Mutant("restored unready", TWIN, 'if (ready := seen.available("incumbent")) < floor:',
           'if (ready := seen.available("incumbent")) < 0:'),
    Mutant("settled without pods", TWIN, "if (available := seen.available(role)) < want:",
           "if (available := seen.available(role)) < 0:"),
    Mutant("no digest bound", FORWARD, "if record.contender is not None and spare.digest != record.contender.digest:",
           "if False and spare is not None and record.contender is not None:"),
    Mutant("crash loops ignored", "controller/progress.py", "MOST_RESTARTS = 3", "MOST_RESTARTS = 3000"),
    Mutant("abort ignored", FORWARD, "if seen.wishes.abort is not None:", "if False:"),
    Mutant("blind passes", FORWARD, "if overall is Verdict.BLIND or unseen:", "if False:"),
    Mutant("degraded passes", FORWARD, "if not degraded:\n        return None", "if True:\n        return None"),
    Mutant("observation skipped", FORWARD, "if observed < at_least:", "if observed < 0:"),
    Mutant("replaced slots trusted", DECIDE, "if known.uid and slot.uid != known.uid:", "if False:"),
    Mutant("regressed record trusted", DECIDE,
           "slot.claim.uid == seen.uid and slot.claim.epoch > record.epoch", "False"),
    Mutant("fights for ever", DECIDE, "MOST_REVERSALS = 2", "MOST_REVERSALS = 2000"),
    Mutant("deadline never strikes", FORWARD, "if seen.now >= until and not can_step(record, seen, policy):",
           "if False:"),
    Mutant("deadline strikes before a step", FORWARD,
           "if seen.now >= until and not can_step(record, seen, policy):", "if seen.now >= until:"),
    Mutant("never superseded", FORWARD, 'if seen.superseded_by and record.origin == "change":', "if False:"),
    Mutant("pause ignored", FORWARD, "if seen.wishes.paused:", "if False:"),
    Mutant("people's D ignored", TWIN, "            else:\n                desired = live.replicas\n",
           "            else:\n                desired = record.desired\n"),
    Mutant("reversals counted twice", REVISE, "if name not in record.reversals", "if True"),
    Mutant("settled time never ends", REVISE, "    record = closed(record, seen.now)\n    return record if",
           "    return record if"),
    Mutant("settled time from an old now", REVISE, "max(seen.now, record.stage_since)", "seen.now"),
    Mutant("same epoch for ever", RECORD, "epoch=record.epoch + 1", "epoch=max(1, record.epoch)"),
    Mutant("ends may be left", RECORD, "phase=moved(record.phase, phase)", "phase=phase",
           "the table is a second lock: nothing asks for an illegal move while `decide` is right"),
    Mutant("holds without excuse", RECORD, "by_person = reason in (HoldReason.PAUSED_BY_PERSON, HoldReason.MANUAL)",
           "by_person = False"),
    Mutant("record unbounded", RECORD, "MOST_BYTES = 60 * 1024", "MOST_BYTES = 60 * 1024 * 1024"),
    Mutant("one look is enough", DRIVE, "if _kind(glance.decision) != _kind(leap.decision):",
           "if False:"),
    Mutant("looser policy taken", PINNED, "return tighten(began, current)", "return current"),
    Mutant("slot before record", ATTEMPT,
           "    if isinstance(answer, Failure):\n        return TickResult(app, attempt.name, before, failure=answer",
           "    if False:\n        return TickResult(app, attempt.name, before, failure=answer"),
    Mutant("pods older than slots", ATTEMPT, "    if fresh and not all(", "    if False and not all(",
           "only an API server that answers a quorum read with the past shows it, and S1 is then measured on the lie"),
    Mutant("an autoscaler keeps its minimum", SCALER, '"spec": {"behavior": behavior, "minReplicas": LEAST},',
           '"spec": {"behavior": behavior},'),
    Mutant("an autoscaler is woken too early", ACCOMPANIED, "        if self._is_done(record, seen):",
           "        if True:"),
    Mutant("an autoscaler is not fenced", SCALER, "(note.uid, note.epoch) == (seen.uid, record.epoch)",
           "note.uid == seen.uid"),
    Mutant("an autoscaler stays where it was", SCALER, "wanted = serves.name if forward and serves is not None else",
           "wanted = serves.name if False and serves is not None else"),
    Mutant("claims stay", KEEPING, "if owner is not None and not _forgot(owner, slot.claim):", "if False:"),
)  # fmt: skip


def killed_by(mutant: Mutant, copy: Path) -> str:
    """The first test that fails with the mutant, or ""."""
    source = copy / mutant.file
    text = source.read_text()
    if text.count(mutant.old) != 1:
        return f"NOT PLANTED: found {text.count(mutant.old)} times"
    source.write_text(text.replace(mutant.old, mutant.new))
    try:
        for tests in (UNIT, ROWS) if mutant.survives else (UNIT, ROWS, FAULTS):
            if not tests:
                continue
            ran = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests],
                cwd=copy,
                env={**os.environ, "PYTHONPATH": str(copy)},
                capture_output=True,
                text=True,
                check=False,
            )
            if ran.returncode == 1:
                return next((line for line in ran.stdout.splitlines() if line.startswith("FAILED")), "?")[7:107]
            if ran.returncode:
                return f"NOT RUN: {ran.stdout[-300:]}"
        return ""
    finally:
        source.write_text(text)


def main(words: list[str]) -> int:
    """Prints a line for each mutant; the number of survivors that nothing explains."""
    names = [word for word in words if word != "--laws"]
    if "--laws" in words:
        UNIT.clear()
    unexplained = killed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build"))
        for mutant in MUTANTS:
            if names and mutant.name not in names:
                continue
            began = time.monotonic()
            by = killed_by(mutant, copy)
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
            print(f"{mutant.name:32} {time.monotonic() - began:5.0f} s  {by}", flush=True)
    print(f"{killed} killed, {unexplained} unexplained")
    return unexplained


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
