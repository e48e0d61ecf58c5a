"""Starts the bed's process, or joins the one that another test worker has started in the same folder."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.bed.processes import last_lines
from tests.cluster.bed.serve import IN_USE, READY_FILE

ROOT = Path(__file__).resolve().parents[3]
START_WITHIN = 180.0


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the parts of a running bed are."""

    folder: Path
    pid: int
    url: str
    ca: Path
    audit_log: Path
    prometheus: str
    targets: Path


@contextmanager
def joined(folder: Path) -> Iterator[Facts]:
    """A running bed in `folder`, for as long as the block lasts. Raises RuntimeError when it cannot be started."""
    folder.mkdir(parents=True, exist_ok=True)
    # Held before the start, so that the bed never sees a moment without users.
    with (folder / IN_USE).open("a") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_SH)
        with (folder / "start").open("a") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            facts = _running(folder) or _start(folder)
        yield facts


def made_once(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of a test run, filled by the first of its processes that asks; the others wait for it.

    base: the process's own folder of temporary files, from `tmp_path_factory.getbasetemp()`.
    """
    folder = of_the_run(base) / name
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = folder.with_suffix(".fresh")
            fresh.mkdir()
            make(fresh)
            fresh.rename(folder)
    return folder


def of_the_run(base: Path) -> Path:
    """The folder that all workers of a parallel run share; a run without workers has its own to itself."""
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _running(folder: Path) -> Facts | None:
    ready = folder / READY_FILE
    if not ready.is_file():
        return None
    raw = json.loads(ready.read_text())
    if not Path(f"/proc/{raw['pid']}").exists():
        return None
    return Facts(
        folder=folder,
        pid=raw["pid"],
        url=raw["url"],
        ca=Path(raw["ca"]),
        audit_log=Path(raw["audit_log"]),
        prometheus=raw["prometheus"],
        targets=Path(raw["targets"]),
    )


def _start(folder: Path) -> Facts:
    log = folder / "bed.log"
    (folder / READY_FILE).unlink(missing_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.bed.serve", str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        facts = _running(folder)
        if facts is not None:
            return facts
        if child.poll() is not None:
            break
        time.sleep(0.1)
    child.kill()
    raise RuntimeError(f"the test bed did not start ({log}):\n{last_lines(log)}")
