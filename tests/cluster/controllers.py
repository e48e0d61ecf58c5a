"""The controller under test as a process: started like any other, asked to stop, or killed at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import urllib3

from tests.cluster.bed.processes import last_lines, start_child, stop_child
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.waiting import eventually
from tests.cluster.bed.warm import Warm, WarmChild

READY_WITHIN = 60.0
Line = Mapping[str, Any]

# A scrape a second is what the bed does; a window is the shortest that holds two, with one to spare.
CONFIGURATION = """\
metrics:
  sources:
    - {{name: default, url: "{prometheus}", scrapeInterval: 1s, window: 2s, timeout: 2s}}
tick: 1s
"""


class Controller:
    """`python -m controller run` with a kubeconfig, restricted to one namespace unless `namespace` is None.

    `template`: its configuration with {prometheus} in it. `warm`: what starts it, else it is a new Python. Restarts
    write to the same log. The process dies with the thread, or with the process, that started it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kubeconfig: Path,
        prometheus: str,
        namespace: str | None,
        more: tuple[str, ...] = (),
        template: str = CONFIGURATION,
        warm: Warm | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "controller.log"
        configuration = folder / "configuration.yaml"
        configuration.write_text(template.format(prometheus=prometheus))
        self._warm = warm
        self._arguments = [
            "run",
            *("--kubeconfig", str(kubeconfig), "--config", str(configuration), "--listen", "127.0.0.1:0"),
            *(("--namespace", namespace) if namespace is not None else ()),
            *more,
        ]
        self._child: subprocess.Popen[bytes] | WarmChild | None = None
        self._said_before = 0

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def crashed(self) -> str:
        """How the process ended, if nobody had asked it to and it was no good end; else ""."""
        code = self._child.poll() if self._child is not None else None
        return f"the controller ended by itself with code {code}" if code else ""

    def start(self, *, wait: bool = True) -> None:
        """Starts the process, and waits until it says that it is ready."""
        if self.running:
            raise RuntimeError("the controller runs already")
        # One that was killed before it was ready has not said so.
        self._said_before = len(self.lines("ready"))
        if self._warm is not None:
            self._child = self._warm.start(self._arguments, env=os.environ, stdout=self.log_file, stderr=self.log_file)
        else:
            # The package is found from the root of the project, wherever the tests were called from.
            command = ["env", "-C", str(ROOT), sys.executable, "-m", "controller", *self._arguments]
            self._child = start_child(command, log=self.log_file)
        if wait:
            eventually(self._is_ready, within=READY_WITHIN, what=f"the controller is ready ({self.log_file})")

    def stop(self, *, grace: float = 10.0) -> int:
        """Asks the process to end -> its exit code (negative for a signal, as when it had to be killed)."""
        if self._child is None:
            return 0
        code = stop_child(self._child, grace=grace)
        self._child = None
        return code

    def kill(self) -> None:
        """Ends the process at once, as the kernel would."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def restart_when(self, moment: Callable[[], object], *, within: float, what: str) -> None:
        """Kills the process at the moment that the question is answered with yes, and starts it again."""
        eventually(moment, within=within, what=what, every=0.02)
        self.kill()
        self.start()

    @property
    def pid(self) -> int:
        """The number of the running process."""
        if self._child is None:
            raise RuntimeError("the controller does not run")
        return self._child.pid

    # What it says.

    def log(self) -> str:
        """Everything it has printed."""
        return self.log_file.read_text(errors="replace") if self.log_file.is_file() else ""

    def lines(self, event: str) -> list[Line]:
        """The lines of its log about one kind of event, such as "turn"."""
        return [line for line in map(_decoded, self.log().splitlines()) if line.get("event") == event]

    def tail(self, count: int = 60) -> str:
        """The end of its log."""
        return last_lines(self.log_file, count)

    def read_page(self, path: str) -> tuple[int, str]:
        """(status, text) of one of its pages: /metrics, /healthz, /readyz."""
        port = self.lines("ready")[-1]["port"]
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}{path}", timeout=30.0, retries=False)
        return answer.status, answer.data.decode()

    def _is_ready(self) -> bool:
        if not self.running:
            raise AssertionError(f"the controller ended before it was ready:\n{self.tail(20)}")
        return len(self.lines("ready")) > self._said_before


def _decoded(line: str) -> Line:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
