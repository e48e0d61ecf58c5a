"""Child processes that never outlive their parent.

Each child is started through `setpriv --pdeathsig KILL`: the kernel kills it when the thread that started it ends,
however that thread ends. So children must be started from a thread that lives as long as they should.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


def start_child(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts `command` with both outputs appended to the file `log`; it dies with the calling thread."""
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=None if env is None else dict(env),
        )


class Child(Protocol):
    """What is asked of a child process."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def stop_child(child: Child, *, grace: float = 5.0) -> int:
    """Asks the child to end, kills it after `grace` seconds, and returns its exit code (negative for a signal)."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def kill_process(pid: int) -> None:
    """Kills a process at once; one that has gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log file, for an error message."""
    if not log.is_file():
        return f"({log} was never written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
