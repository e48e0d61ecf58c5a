"""Waiting for the end of a release: a line whenever it turns, and the exit code that says which end it was."""

from __future__ import annotations

import threading
from datetime import datetime

from controller.cli import ends
from controller.cli.access import Access, Object, name_of
from controller.cli.ends import Refusal, Unanswered
from controller.cli.screen import say, warn
from controller.cli.view import Row, batch_text, pods_text, row_of
from controller.release.vocabulary import Phase
from policies.values import Duration

_EVERY = 1.0  # seconds between two looks
_TAKEN_UP = 20.0  # seconds after which nobody having taken a release up is worth a line

_CODES = {
    Phase.SUCCEEDED: ends.SUCCEEDED,
    Phase.ROLLED_BACK: ends.ROLLED_BACK,
    Phase.NEEDS_HUMAN: ends.NEEDS_HUMAN,
    Phase.CANCELLED: ends.REFUSED,
}
_RESTORED = {**_CODES, Phase.ROLLED_BACK: ends.SUCCEEDED}


def patience(timeout: str | None, *, wait: bool) -> float | None:
    """The seconds of --timeout, or None for no bound. Raises Refusal."""
    if timeout is None:
        return None
    if not wait:
        raise Refusal("--timeout needs --wait")
    try:
        return float(Duration.of(timeout).seconds)
    except ValueError:
        raise Refusal(f"--timeout: found '{timeout}'; allowed: a time such as 90s, 30m or 4h") from None


def wait_for_end(access: Access, release: Object, timeout: float | None, *, restore: bool = False) -> int:
    """Follows a release to its end -> the exit code. `timeout` in seconds; a restore's good end is RolledBack."""
    name, uid = name_of(release), release["metadata"].get("uid")
    clock, never = access.clock, threading.Event()
    began = clock.monotonic()
    told: tuple[str, ...] = ()
    silent = unanswered = False
    while True:
        try:
            found = access.release(name)
        except Unanswered as error:
            if not unanswered:
                warn(f"nightferry: the cluster does not answer ({error}); still waiting")
            unanswered = True
        else:
            unanswered = False
            if found is None or found["metadata"].get("uid") != uid:
                warn(f"nightferry: release {name} was deleted; see `nightferry status {release['spec']['policy']}`")
                return ends.NEEDS_HUMAN
            row = row_of(found)
            if (now := _essence(row)) != told:
                told = now
                say(_line(row, clock.now()))
            if row.ended:
                return _end(row, restore=restore)
            if not silent and not found.get("status") and clock.monotonic() - began > _TAKEN_UP:
                silent = True
                warn("nightferry: no controller has taken the release up yet; is `nightferry run` running?")
        if timeout is not None and clock.monotonic() - began >= timeout:
            warn(f"nightferry: release {name} is still running")
            return ends.STILL_RUNNING
        left = _EVERY if timeout is None else min(_EVERY, timeout - (clock.monotonic() - began))
        clock.wait(never, max(0.05, left))


def _end(row: Row, *, restore: bool) -> int:
    code = (_RESTORED if restore else _CODES)[Phase(str(row.phase))]
    if code:
        warn(f"nightferry: {row.release} ended {row.phase}: {row.because}")
    return code


def _essence(row: Row) -> tuple[str, ...]:
    return (
        row.phase or "",
        batch_text(row),
        pods_text(row),
        str((row.held or {}).get("reason", "")),
        ",".join(f"{one['gate']}={one['verdict']}" for one in row.verdicts),
    )


def _line(row: Row, now: float) -> str:
    """One line of progress: local time, phase, batch, pods, verdicts, and why."""
    at = datetime.fromtimestamp(now).astimezone().strftime("%H:%M:%S")
    held = f" ({row.held['reason']})" if row.held else ""
    verdicts = " ".join(f"{one['gate']}:{one['verdict']}" for one in row.verdicts)
    parts = [at, f"{row.phase}{held}", batch_text(row), pods_text(row), verdicts]
    return "  ".join(part for part in parts if part) + f"  {row.because}"
