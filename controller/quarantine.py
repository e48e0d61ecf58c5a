"""Which versions are not tried again, until somebody lifts it: those that were turned back for a fault of their own.

Nothing is kept for it but the finished releases themselves. A cause stands in `AGAINST_THE_VERSION` where the version
was seen doing harm or breaking. Whatever has another reading says nothing of the version: no data or no decision, an
environment that was worse for both, a deadline (quota, nodes), an image that a registry did not give, a person's abort,
a newer release, a window, a train.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.attempt import Attempt
from controller.findings import Refusal
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Cause
from controller.release.words import command

AGAINST_THE_VERSION = frozenset({Cause.GATE, Cause.ALERT, Cause.CRASH_LOOP})
MOST_KEPT = 20  # releases that quarantine, beyond the history limit; the oldest ones go then
_LONGEST_WHY = 300


def quarantines(attempt: Attempt) -> bool:
    """Whether a finished release keeps its version from being tried again."""
    return bool(speaks_against(attempt)) and attempt.spec.lift is None


def lifted_since(attempt: Attempt, attempts: Sequence[Attempt], digest: str) -> bool:
    """Whether a release of a version ended by the quarantine, or put it there, and somebody has lifted it since."""
    ended_so = speaks_against(attempt) == digest or attempt.record.cause is Cause.QUARANTINED
    return ended_so and of_version(attempts, digest) is None


def resembles(attempt: Attempt, attempts: Sequence[Attempt]) -> bool:
    """Whether a release asks in the same words as one that keeps a version in quarantine.

    That is no reason to refuse it: what else the app's template holds may have changed since, which makes it another
    version. Only preflight knows.
    """
    return any(quarantines(each) and each.record.asked == attempt.asked for each in attempts)


def keeper(attempts: Sequence[Attempt], digest: str) -> Attempt | None:
    """The newest release that keeps a version in quarantine."""
    return next((each for each in reversed(attempts) if speaks_against(each) == digest and quarantines(each)), None)


def of_version(attempts: Sequence[Attempt], digest: str) -> Refusal | None:
    """Why a version may not be tried now, and how to lift that."""
    against = keeper(attempts, digest)
    if against is None:
        return None
    return Refusal(
        # What to do comes first: a notice and an event cut a long sentence at its end.
        f"version {digest} is in quarantine, for release {against.name} turned back from it: release another version, "
        f"or run {lifting(against)}. It said: {_why(against.record)}",
        Cause.QUARANTINED,
    )


def lifting(against: Attempt) -> str:
    """The command that lifts what a release keeps in quarantine."""
    return command("lift", against.name, against.app.namespace, "--reason WHY")


def speaks_against(attempt: Attempt) -> str:
    """The version that a finished release speaks against, or ""."""
    record = attempt.record
    if record.phase not in ENDS or record.origin != "change" or record.contender is None:
        return ""
    return record.contender.digest if record.turned in AGAINST_THE_VERSION else ""


def _why(record: Record) -> str:
    """The sentence with which it turned back."""
    turned = next((entry.because for entry in reversed(record.decisions) if entry.kind == "RollBack"), record.because)
    return turned if len(turned) <= _LONGEST_WHY else f"{turned[:_LONGEST_WHY]}..."
