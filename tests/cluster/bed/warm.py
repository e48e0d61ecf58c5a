"""Starts the product as forks of a process that has loaded it already.

A start of Python with everything that the controller imports costs more processor time than a whole release does, and
a run has hundreds of them. What is forked is a process of its own in every other way: its arguments, environment and
outputs are given to it, it is killed and awaited like any other, and it dies with the process that asked for it.

    warm = Warm(folder)
    child = warm.start(["version"], env={...}, stdout=file, stderr=file)
    child.wait(5.0)
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes.config import kube_config

from tests.cluster.bed.shaking import shake_requests, strength
from tests.cluster.bed.shared import ROOT

PR_SET_PDEATHSIG = 1
EVERY = 0.02


class WarmChild:
    """A started process, with the methods of `subprocess.Popen` that the bed uses."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self._warm = warm
        self._code: int | None = None
        self._lock = threading.Lock()  # of two who ask at once only one is told how it ended
        self.pid = pid

    def poll(self) -> int | None:
        """Its exit code (negative for a signal), or None while it runs."""
        with self._lock:
            if self._code is None:
                self._code = self._warm.ask({"poll": self.pid})["code"]
            return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("nightferry", timeout or 0.0)
            time.sleep(EVERY)
        return code

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Until it is asked for, the number of a process that has ended is nobody else's.
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Warm:
    """The loaded process, started when it is first asked. Safe in any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def start(self, args: Sequence[str], *, env: Mapping[str, str], stdout: Path, stderr: Path) -> WarmChild:
        """`nightferry` with these arguments, its outputs appended to the files."""
        asked = {"start": list(args), "env": dict(env), "stdout": str(stdout), "stderr": str(stderr)}
        return WarmChild(self, self.ask(asked)["pid"])

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """One question to the loaded process."""
        with self._lock:
            process = self._process or self._begin()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the loaded process has ended: {(self._folder / 'warm.log').read_text()[-2000:]}")
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    def stop(self) -> None:
        """Ends the loaded process, and with it every process that it has started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _begin(self) -> subprocess.Popen[str]:
        # It ends with its input, and what it has started ends with it.
        with (self._folder / "warm.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.bed.warm"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._process


def _serve() -> Sequence[str] | None:
    """Answers questions until there are no more of them -> None; in a forked process: its arguments."""
    reader = os.fdopen(os.dup(0), "r")
    writer = os.fdopen(os.dup(1), "w")
    for line in reader:
        asked = json.loads(line)
        if "poll" in asked:
            pid, status = os.waitpid(asked["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if not pid:
                reader.close()
                writer.close()
                _become(asked)
                found: list[str] = asked["start"]
                return found
            answer = {"pid": pid}
        writer.write(json.dumps(answer) + "\n")
        writer.flush()
    return None


def _become(asked: Mapping[str, Any]) -> None:
    """Takes on the outputs and the environment that were asked for."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.environ.clear()
    os.environ.update(asked["env"])
    # The client library reads this variable once, when it is loaded.
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = os.environ.get("KUBECONFIG", kube_config.KUBE_CONFIG_DEFAULT_LOCATION)


def main() -> None:
    """Loads the product, and becomes it once for each start."""
    import controller.cli.process
    import controller.cluster.login
    import controller.loop  # noqa: F401
    from controller.__main__ import main as nightferry

    shaken = strength()
    if (args := _serve()) is not None:
        shake_requests(shaken)  # after the fork: each process draws for itself
        sys.argv = ["nightferry", *args]
        nightferry()


if __name__ == "__main__":
    main()
