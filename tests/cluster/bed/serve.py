"""The bed as a process of its own: control plane, kubelet and one Prometheus for everybody.

`python -m tests.cluster.bed.serve FOLDER` writes FOLDER/bed.json once everything answers, and runs until nobody holds
FOLDER/in-use any more. Test processes hold a shared lock on that file; the kernel drops it however they end, so a
killed test run leaves no servers behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.cluster.bed.api import Api
from tests.cluster.bed.control_plane import start_control_plane
from tests.cluster.bed.identities import KUBELET
from tests.cluster.bed.kubelet import Kubelet
from tests.cluster.bed.prometheus import Prometheus
from tests.cluster.bed.shaking import halted_at_times, shake_requests, strength
from tests.setup.find import MissingPrograms, find_programs

IN_USE = "in-use"
READY_FILE = "bed.json"
LOOK_EVERY = 0.5


def serve(folder: Path) -> None:
    """Runs the bed in `folder` until its last user is gone. Raises RuntimeError when a part does not start."""
    programs = find_programs(os.environ)
    if isinstance(programs, MissingPrograms):
        raise RuntimeError(programs.sentence)
    targets = folder / "targets"
    targets.mkdir(parents=True, exist_ok=True)
    prometheus = Prometheus(programs.prometheus, folder / "prometheus", targets=targets)
    plane = start_control_plane(folder / "control-plane", programs)
    shake_requests(strength())
    try:
        prometheus.start()
        kubelet = Kubelet(Api(plane.url, ca=str(plane.ca), token=KUBELET.token), targets=targets, logs=folder / "pods")
        facts = {
            "pid": os.getpid(),
            "url": plane.url,
            "ca": str(plane.ca),
            "audit_log": str(plane.audit_log),
            "prometheus": prometheus.url,
            "targets": str(targets),
        }
        fresh = folder / f"{READY_FILE}.fresh"
        fresh.write_text(json.dumps(facts))
        os.replace(fresh, folder / READY_FILE)
        with halted_at_times(plane.children, strength()):
            kubelet.run(_Unused(folder / IN_USE))
    finally:
        (folder / READY_FILE).unlink(missing_ok=True)
        prometheus.stop()
        plane.stop()
        # The logs stay for whoever looks into a failure; the data is large and says nothing.
        for data in (folder / "control-plane" / "etcd", folder / "prometheus" / "data"):
            shutil.rmtree(data, ignore_errors=True)


class _Unused:
    """True once an exclusive lock on the file can be had, which is when no user holds a shared one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._next_look = 0.0

    def __call__(self) -> bool:
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_EVERY
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
