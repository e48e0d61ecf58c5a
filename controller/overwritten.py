"""`trigger: template`: a third template that comes in mid-release is released next, though the way back overwrites it.

Only one version is judged at a time, so the release that it comes into goes back. The Deployment holds one template:
before our write takes the new one away it is kept, as a whole, in a Release of its own, which supersedes this one. Its
name follows from version and release, so that asking twice asks once.
"""

from __future__ import annotations

from collections.abc import Mapping

from controller.attempt import SOON, Attempt, Reading, TickResult
from controller.own_releases import own_release, release_name
from controller.release.names import AppKey
from controller.release.observation import SlotState
from controller.release.plan import PatchSlot, Plan
from controller.requests.failure import Failure, FailureKind
from controller.requests.writes import CreateRelease
from controller.slots import writer_of

# Who may not create a release has no right that comes back by waiting; the way back is not kept waiting for it.
_FOR_GOOD = (FailureKind.EXISTS, FailureKind.FORBIDDEN, FailureKind.INVALID)


def keep(
    app: AppKey, attempt: Attempt, plan: Plan, slots: Mapping[str, SlotState | None]
) -> Reading[TickResult | None]:
    """Ask for a release of a template that this plan writes over; None where there is none, or none to ask for."""
    slot = _overwritten(attempt, plan, slots)
    if slot is None:
        return None
    answer = yield _asked(app, attempt, slot)
    if isinstance(answer, Failure):
        waits = TickResult(app, attempt.name, attempt.record, failure=answer, again_in=answer.retry_after)
        return None if answer.kind in _FOR_GOOD else waits
    note = f"the template of {slot.name} holds another version"
    return TickResult(app, attempt.name, attempt.record, wrote=1, again_in=SOON, note=note)


def _overwritten(attempt: Attempt, plan: Plan, slots: Mapping[str, SlotState | None]) -> SlotState | None:
    """The Deployment whose template is a third one, where this plan writes another over it."""
    known = {each.digest for each in (attempt.record.incumbent, attempt.record.contender) if each is not None}
    names = [write.name for write in plan.writes if isinstance(write, PatchSlot) and write.template is not None]
    found = (slots.get(name) for name in names)
    return next((slot for slot in found if slot is not None and slot.digest not in known), None)


def _asked(app: AppKey, attempt: Attempt, slot: SlotState) -> CreateRelease:
    by = writer_of(slot.raw, "spec", "template")
    template = (slot.raw.get("spec") or {}).get("template") or {}
    whole = {part: {"$patch": "replace", **template[part]} for part in ("metadata", "spec") if template.get(part)}
    reason = f"{by} changed the pod template of {slot.name} while release {attempt.name} moved it"
    return own_release(
        app, release_name(app.policy, slot.digest, attempt.uid[:8]), template=whole, by=by, reason=reason
    )
