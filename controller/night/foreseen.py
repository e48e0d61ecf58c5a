"""What its hour will bring to a release that waits for it, told while it waits: its version is in quarantine.

Such a release stays in the queue and keeps its place: a lift lets it leave at its hour. Without one preflight ends it
then, or the train that it rides passes it over. It rests on the cache, as every hold does; what ends a release for good
is asked anew at its hour.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller import quarantine
from controller.attempt import Attempt, Reading, look
from controller.case import Case
from controller.casting import casting
from controller.findings import Refusal
from controller.release.decision import Hold
from controller.release.vocabulary import HoldReason, Phase
from controller.requests.failure import Failure
from controller.slots import template_digest


def foreseen(case: Case, stay: Hold) -> Reading[Hold | Failure]:
    """The hold of a release that waits as `stay` says; the same, where nothing keeps it from leaving afterwards."""
    if case.attempt.record.phase is not Phase.QUEUED or case.origin != "change" or not _any(case.attempts):
        return stay
    seen = yield from look(case.app, case.course, case.attempt.record, fresh=False)
    if isinstance(seen, Failure):
        return seen
    cast = casting(case, seen)
    if isinstance(cast, Refusal):
        return stay
    digest = template_digest(cast[1])
    refusal, against = quarantine.of_version(case.attempts, digest), quarantine.keeper(case.attempts, digest)
    if refusal is None or against is None:
        return stay
    then = f"it does not leave unless somebody runs {quarantine.lifting(against)}"
    # A train that has passed it over says the same by now.
    waits = "" if then in stay.because else f"; it waits: {stay.because}"
    return Hold(HoldReason.QUARANTINED, f"{refusal.because}{waits}", stay.until, then)


def _any(attempts: Sequence[Attempt]) -> bool:
    """Whether anything is in quarantine at all: mostly nothing is, and nothing has to be looked at."""
    return any(quarantine.quarantines(each) for each in attempts)
