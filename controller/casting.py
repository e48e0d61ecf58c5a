"""Who is the incumbent, and what shall the contender run? Asked before a release starts; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller import preflight
from controller.attempt import Attempt, Seen, observation
from controller.case import Case
from controller.findings import Refusal
from controller.release.observation import Observation, SlotState
from controller.release.record import Record
from controller.release.vocabulary import Phase
from controller.slots import template_digest
from controller.strategies.claims import claimed
from controller.templates import TemplateRefused, changed

Template = dict[str, Any]


def casting(case: Case, seen: Seen) -> tuple[Observation, Template] | Refusal:
    """What is seen with its roles, and the contender's template; an empty one: nothing is put into a slot."""
    cast = case.course.cast(known_before(case, seen), seen.slots, seen.replica_sets, seen.pods.items)
    observed = observation(case.attempt, seen, cast, case.now)
    live = observed.incumbent
    if live is None:
        return preflight.no_deployment(case.course.slot_names[0])
    match case.origin:
        case "restore":
            return _nothing_to_restore(case, observed) or (observed, {})
        case "rollback":
            return _back_to_warm(case, observed)
        case "home":
            return _homeward(case, observed, live)
        case "change":
            spec = case.attempt.spec
            if spec.adopt is not None:
                return _adopted(case, observed, spec.adopt)
            template = (live.raw.get("spec") or {}).get("template") or {}
            try:
                wanted = changed(template, images=spec.images, env=spec.env, patch=spec.template)
            except TemplateRefused as error:
                return Refusal(str(error))
            return observed, dict(case.course.template(observed, wanted))


def _adopted(case: Case, observed: Observation, digest: str) -> tuple[Observation, Template] | Refusal:
    """The template that the Deployment holds already, paused, while the version before it serves."""
    slot, live = observed.contender, observed.incumbent
    if slot is None or live is None or case.policy.spec.trigger != "template":
        return Refusal("a release that adopts the Deployment's template needs a policy with `trigger: template`")
    held = dict((slot.raw.get("spec") or {}).get("template") or {})
    if not claimed(observed, slot) and template_digest(held) != digest:
        return Refusal(
            f"the template of {slot.name} holds version {template_digest(held)} by now and not {digest}: a release of "
            "the newer one follows"
        )
    return observed, dict(case.course.template(observed, held))


def known_before(case: Case, seen: Seen) -> Record:
    """The record from which roles are read: a restore goes by the record of what it restores.

    Where the claims are of another release, they are nearer to the truth than that record.
    """
    own, of = case.attempt.record, case.restored
    if case.origin != "restore" or own.incumbent is not None or of is None:
        return own
    claims = [slot.claim for slot in seen.slots.values() if slot is not None and slot.claim is not None]
    if claims and of.uid not in {claim.uid for claim in claims}:
        return own
    was = of.record
    return replace(
        own,
        incumbent=was.incumbent,
        contender=was.contender,
        saved=was.saved,
        services=was.services,
        desired=was.desired,
    )


def _nothing_to_restore(case: Case, observed: Observation) -> Refusal | None:
    """A restore follows the claims that a release left on the slots, or the record of one that needs a person.

    Without either nobody knows which side is the good one, and a restore drains the other.
    """
    of = case.attempt.spec.restore_of
    well = {each.uid for each in case.attempts if each.record.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK)}
    claims = [slot.claim for slot in (observed.incumbent, observed.contender) if slot is not None and slot.claim]
    if any(claim.uid not in well for claim in claims):
        return None
    named = next((each for each in case.attempts if each.name == of), None)
    if named is None:
        return Refusal(f"nothing to restore: release {of} does not exist and has left no claim on a Deployment")
    if named.record.phase is not Phase.NEEDS_HUMAN:
        return Refusal(f"nothing to restore: release {of} ended {named.record.phase}")
    if since := next((each for each in case.attempts if _is_later(each, named)), None):
        return Refusal(f"nothing to restore: release {since.name} ended {since.record.phase} since release {of}")
    return None


def _homeward(case: Case, observed: Observation, live: SlotState) -> tuple[Observation, Template] | Refusal:
    """The version that serves from the second Deployment, for the first one."""
    names = case.course.slot_names
    if len(names) < 2:
        return Refusal(f"{live.name} is the app's only Deployment: it is at home always")
    if live.name == names[0]:
        return Refusal(f"{live.name} serves already: the app is at home")
    return observed, dict((live.raw.get("spec") or {}).get("template") or {})


def _is_later(one: Attempt, than: Attempt) -> bool:
    """Whether a release ended well after another one: what serves now is its work."""
    well = one.record.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK)
    return well and (one.created, one.name) > (than.created, than.name)


def _back_to_warm(case: Case, observed: Observation) -> tuple[Observation, Template] | Refusal:
    """Back to the warm slot: only if both slots still hold what the finished release left in them."""
    of = case.attempt.spec.rollback_of
    finished = next((each for each in case.attempts if each.name == of), None)
    if finished is None or finished.record.phase is not Phase.SUCCEEDED:
        found = "does not exist" if finished is None else f"ended {finished.record.phase}"
        return Refusal(f"release {of} {found}: only a release that succeeded can be rolled back")
    was, now_live = finished.record.incumbent, finished.record.contender
    live, spare = observed.incumbent, observed.contender
    if was is None or now_live is None or live is None or spare is None:
        return Refusal(f"release {of} left no warm version to go back to")
    if asleep := preflight.nothing_serves(observed):
        return asleep
    warm = _warm(observed, was.digest)
    if warm is None and live.digest == now_live.digest:
        return Refusal(
            f"version {was.digest}, which release {of} replaced, is kept nowhere any more: {spare.name} holds "
            f"{spare.digest}, and no old ReplicaSet has it; release the wanted version instead"
        )
    if live.digest != now_live.digest or warm is None:
        return Refusal(
            f"the slots have changed since release {of}: {live.name} holds {live.digest} (then {now_live.digest}), "
            f"{spare.name} holds {spare.digest} (then {was.digest}); release the wanted version instead"
        )
    return observed, warm


def _warm(observed: Observation, digest: str) -> Template | None:
    """The template of a version that is still there: in the spare slot, or in an old ReplicaSet."""
    spare = observed.contender
    if spare is not None and spare.digest == digest:
        return dict((spare.raw.get("spec") or {}).get("template") or {})
    return next((dict(each.template) for each in observed.replica_sets if each.digest == digest), None)
