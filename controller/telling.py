"""The end of every tick: what people are to be told is handed to the notifiers, and marked once it was sent.

Nobody waits here: a notifier takes a notice and is asked again in a later tick. A mark is written only by a tick that
wrote nothing else, under the resourceVersion of what it looked at; whoever lost that race marks it in the next tick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from controller.attempt import SOON, Attempt, Reading, TickResult, tell_events, write_marks
from controller.notices import delivery_of, heard, new_entries, open_notices
from controller.pinned import kept_policy
from controller.release.names import AppKey
from controller.release.record import Record
from controller.requests.failure import Failure
from controller.requests.outside import Delivery
from policies.notify import NotifyRoute
from policies.schema import ReleasePolicy

MOST_ASKED = 8  # notices of a tick for each notifier: one that is dead must not keep the others' from being asked about


def routes(policy: ReleasePolicy | None, record: Record) -> tuple[NotifyRoute, ...]:
    """Who is told: an edit counts at once. Without a policy those of the pinned one are told."""
    holds = policy if policy is not None else kept_policy(record)
    return (holds.spec.notify or ()) if holds is not None else ()


def tell_people(app: AppKey, attempts: Sequence[Attempt], result: TickResult, now: float) -> Reading[TickResult]:
    """The tick's result after its notices were handed over, the oldest release first."""
    asked, waits = Counter[str](), None
    marked: list[tuple[Attempt, Record]] = []
    for attempt in attempts:
        record = attempt.record
        for notice in open_notices(attempt.record):
            if asked[notice.notifier] == MOST_ASKED:
                continue
            asked[notice.notifier] += 1
            answer = yield delivery_of(notice, app, attempt.name, attempt.spec)
            told = answer if isinstance(answer, Delivery) else Delivery("pending", "the notifiers cannot be asked")
            record = heard(record, notice, told, now)
            if told.state == "pending":
                waits = told.again_in if waits is None else min(waits, told.again_in)
        if record is not attempt.record:
            marked.append((attempt, record))
    if marked and not result.wrote and result.failure is None:
        result = yield from _mark(app, *marked.pop(0), result, now)
    # A release under way has its own rhythm; one that has ended is looked at again for its notices alone.
    again = SOON if marked else waits
    if again is not None and result.again_in is None and all(each.record.ended for each in attempts):
        result = replace(result, again_in=again)
    return result


def _mark(app: AppKey, attempt: Attempt, record: Record, result: TickResult, now: float) -> Reading[TickResult]:
    answer = yield from write_marks(app, attempt, record)
    if isinstance(answer, Failure):
        # Not a failure of the tick: what it came for was done, and the mark is written by the next one.
        return replace(result, again_in=result.again_in if result.again_in is not None else SOON)
    entries = new_entries(attempt.record, record)
    yield from tell_events(app, attempt, record, entries, None, now)
    return replace(result, wrote=1, release=result.release or attempt.name, entries=(*result.entries, *entries))
