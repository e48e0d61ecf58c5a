"""`spec.trigger: template`: between releases the Deployment is kept paused, and another template starts one.

`kubectl set image` or a commit changes the template and moves nothing; the Release that follows adopts the template as
it stands. A version whose release has ended is not tried again by itself: it waits, paused, until the template changes,
somebody asks for a release, or somebody lifts its quarantine. Switched off, the Deployment is resumed once nothing
waits in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, count

from controller.attempt import SOON, Attempt, Reading, TickResult
from controller.own_releases import own_release, release_name
from controller.quarantine import lifted_since
from controller.release.names import AppKey
from controller.release.observation import SlotState
from controller.release.vocabulary import ENDS
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadReplicaSets, ReadSlot, ReplicaSetList
from controller.requests.writes import WriteSlot
from controller.slots import match_labels, slot_state, writer_of
from controller.strategies.idle import keeping, pending, rests, serving
from policies.schema import ReleasePolicy


def watch_template(
    app: AppKey, policy: ReleasePolicy | None, known: ReleasePolicy | None, attempts: Sequence[Attempt]
) -> Reading[TickResult | None]:
    """One step of an app without a release under way; None when there was nothing to do.

    `known` is the policy, or the one of the last release where it is gone.
    """
    if known is None:
        return None
    name, wanted = known.spec.target.deployment, policy is not None and policy.spec.trigger == "template"
    found = yield ReadSlot(app.namespace, name)
    if not isinstance(found, Mapping) or _busy(slot_state(found)) or rests(slot_state(found), wanted=wanted):
        return None
    fresh = yield ReadSlot(app.namespace, name, fresh=True)
    if not isinstance(fresh, Mapping):
        return TickResult(app, failure=fresh) if isinstance(fresh, Failure) else None
    slot = slot_state(fresh)
    sets = yield ReadReplicaSets(app.namespace, match_labels(fresh), fresh=True)
    if not isinstance(sets, ReplicaSetList):
        return TickResult(app, failure=sets) if isinstance(sets, Failure) else None
    running = serving(slot, sets.items)
    if _busy(slot) or rests(slot, wanted=wanted):
        return None
    if wanted and pending(slot, running):
        return (yield from _release(app, slot, attempts))
    write = keeping(slot, running, wanted=wanted)
    if write is None:
        return None
    answer = yield WriteSlot(app.namespace, write)
    failed = answer if isinstance(answer, Failure) else None
    return TickResult(app, wrote=failed is None, failure=failed, again_in=SOON if failed is None else None)


def _busy(slot: SlotState) -> bool:
    """Whether a release holds it, or it goes."""
    return slot.claim is not None or slot.deleting


def _release(app: AppKey, slot: SlotState, attempts: Sequence[Attempt]) -> Reading[TickResult | None]:
    """Ask for a release of the template, unless its version was tried last, or once more after its quarantine."""
    last = attempts[-1] if attempts else None
    if last is not None and last.spec.adopt == slot.digest and last.record.phase not in ENDS:
        return None  # it waits for its hours
    tried = last is not None and last.spec.adopt == slot.digest and last.record.phase in ENDS
    if last is not None and tried and not lifted_since(last, attempts, slot.digest):
        return None
    taken = {each.name for each in attempts}
    first = release_name(app.policy, slot.digest, slot.generation)
    name = next(each for each in chain((first,), (f"{first}-{n}" for n in count(2))) if each not in taken)
    by = writer_of(slot.raw, "spec", "template")
    reason = f"{by} changed the pod template of {slot.name}"
    answer = yield own_release(app, name, adopt=slot.digest, by=by, reason=reason)
    if isinstance(answer, Failure):
        return TickResult(app, failure=answer) if answer.kind is not FailureKind.EXISTS else None
    return TickResult(app, name, wrote=1, again_in=SOON, note=f"the template of {slot.name} holds another version")
