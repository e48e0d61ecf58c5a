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

_PORTS = range(20_000, 32_000)  # below those that Linux gives to whoever connects, or listens at port 0
_RESERVING_ADDRESS = "127.17.255.254"
_held: list[socket.socket] = []


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


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on; no other process of any bed is given it until this one ends.

    Many workers ask for ports at once, and whoever asks may begin to listen a minute later, or stop for a while. So the
    port is none that the kernel gives away by itself, and is held at another address of loopback meanwhile.
    """
    for port in _PORTS:
        holder = socket.socket()
        try:
            holder.bind((_RESERVING_ADDRESS, port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        _held.append(holder)
        return port
    raise RuntimeError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free on 127.0.0.1")


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log file, for an error message."""
    if not log.is_file():
        return f"({log} was never written)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
