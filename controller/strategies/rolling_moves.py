"""The next write of a rolling release: one of a step, its pause, drift put right, giving back, or the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.release.observation import Claim, Observation, SlotState
from controller.release.plan import PatchSlot
from controller.release.record import Record, Stage
from controller.strategies import rolling_fields, rolling_steps
from controller.strategies.rolling_fields import NEVER_AVAILABLE, NO_DEADLINE, Borrowed
from controller.strategies.rolling_steps import Goal, Split, goal
from controller.strategies.rolling_view import Sides, exact, present, replicas_of, strangers, template_of
from policies.batches import BatchStrategy

KEPT = {"minReadySeconds": NEVER_AVAILABLE, "progressDeadlineSeconds": NO_DEADLINE}


@dataclass(frozen=True, slots=True)
class Scene:
    """One look at a rolling release: the Deployment, its two sides, the stage, and what people had set."""

    record: Record
    seen: Observation
    sizes: BatchStrategy
    stage: Stage
    slot: SlotState  # the contender's view
    live: SlotState  # the incumbent's view
    found: Sides
    was: Borrowed

    @property
    def desired(self) -> int:
        return self.record.desired

    @property
    def goal(self) -> Goal:
        return goal(self.desired, self.stage.contender, self.sizes.surge(self.desired))

    @property
    def slack(self) -> int:
        return self.sizes.unavailable(self.desired)

    @property
    def split(self) -> Split:
        return Split(
            incumbent=self.live.replicas,
            contender=self.slot.replicas,
            ready_incumbents=self.seen.available("incumbent"),
            ready_contenders=self.seen.available("contender"),
            serving_incumbents=self.seen.ready("incumbent"),
        )


# ------------------------------------------------------------------------------------------------------ forward


def forward(scene: Scene, *, still: bool) -> PatchSlot | None:
    """One part of a step of a batch: unpaused, at rest, paused, ready, and again."""
    slot, at, split = scene.slot, scene.goal, scene.split
    fences, strange = rolling_fields.fences(slot), strangers(scene.record, slot, scene.found)
    rest = rolling_fields.held(*rolling_steps.resting(at.surge), paused=True)
    safe = fences is not None and (not slot.paused or fences == rolling_steps.resting(fences[0]))
    if fences is None or not safe or rolling_fields.differing(slot, KEPT):
        return _bound(scene, f"hold {slot.name} again", rest)
    if not slot.paused:
        # Unpaused, a third template would replace both versions: as soon as the pods of a step are named, it is over.
        at_rest = slot.observed and not strange and rolling_steps.at_rest(scene.desired, *fences, split)
        return _bound(scene, _told("pause", scene), rest) if still or at_rest else None
    if not slot.observed:
        return None
    if strange:
        return None if still else _sweep(scene)
    if not rolling_steps.fits(at, split) or not _as_people_had_it(scene):
        return _trim(scene)
    if still or rolling_steps.reached(at, split) or not _counted_out(scene):
        return None
    depth = rolling_steps.next_depth(at, split, scene.slack)
    if depth is None:
        return None
    told = _told(f"unpause with maxSurge {at.surge}, maxUnavailable {depth}:", scene)
    return _bound(scene, told, rolling_fields.held(at.surge, depth, paused=False))


def _trim(scene: Scene) -> PatchSlot | None:
    """Begin the native way back where a change of D left more contenders than were judged."""
    old, nothing = scene.found.incumbent, scene.desired == 0
    if old is None:
        return None
    fences = (1, 0) if nothing else (scene.goal.surge, scene.slack)
    fields = rolling_fields.backing(scene.was, *fences, paused=nothing)
    told = _told("back towards the incumbent:", scene)
    return patch(scene.record, scene.seen, scene.slot, told, digest=old.digest, template=old.template, fields=fields)


def trimming(scene: Scene) -> PatchSlot | None:
    """Let the native controller bring incumbents back until the split fits, then hold the contender again."""
    slot, new, at = scene.slot, scene.found.contender, scene.goal
    if not slot.observed or at.desired == 0:
        return None
    if not rolling_steps.fits(at, scene.split) or not _as_people_had_it(scene):
        # Somebody scaled the app up from nothing, or set a field back: the way back goes on from there.
        fields = rolling_fields.backing(scene.was, at.surge, scene.slack, paused=False)
        if not rolling_fields.differing(slot, fields):
            return None
        told = _told("back towards the incumbent:", scene)
        return patch(scene.record, scene.seen, slot, told, digest=given(slot), fields=fields)
    if new is None:
        return None
    fields = rolling_fields.held(*rolling_steps.resting(at.surge), paused=True)
    return _bound(scene, _told("hold the contender again:", scene), fields, new.template)


def _counted_out(scene: Scene) -> bool:
    """Whether the native controller counts no contender as Available: else its next step would go too far."""
    new, status = scene.found.contender, scene.slot.raw.get("status") or {}
    inherits = new is None or new.replicas == 0 or new.min_ready == NEVER_AVAILABLE
    return inherits and int(status.get("availableReplicas") or 0) <= scene.live.replicas


def _as_people_had_it(scene: Scene) -> bool:
    """Whether the incumbent's ReplicaSet has not inherited our minReadySeconds."""
    old = scene.found.incumbent
    return old is None or old.min_ready == float(scene.was.min_ready or 0)


# -------------------------------------------------------------------------------------------------- giving back


def home(scene: Scene, *, settled: bool) -> dict[str, Any]:
    """All fields as people had them; a surge or unavailability beyond the policy's only once the pods have moved."""
    surge = scene.sizes.surge(scene.desired)
    fences = (surge, scene.slack) if surge + scene.slack else (1, 0)
    return rolling_fields.given_back(scene.was, scene.desired, *fences, settled=settled)


def handing_back(scene: Scene) -> PatchSlot | None:
    """People's fields at the contender's template: every contender is Available at once, the last incumbents leave."""
    fields = home(scene, settled=_all_there(scene, scene.stage))
    if _is_home(scene) or not rolling_fields.differing(scene.slot, fields):
        return None
    return _bound(scene, f"give {scene.slot.name} back to its owners", fields)


def way_back(scene: Scene) -> PatchSlot | None:
    """One patch: the incumbent's template and people's fields. The native controller does the rest by itself."""
    slot, old = scene.slot, scene.found.incumbent
    if old is None:
        return None
    if _foreign(scene):
        # Unpaused, the native controller may be making pods of it at this very moment: how many is known at rest only.
        if not slot.paused:
            rest = rolling_fields.held(*rolling_steps.resting(scene.goal.surge), paused=True)
            return patch(scene.record, scene.seen, slot, f"hold {slot.name}", digest=present(slot), fields=rest)
        if not slot.observed:
            return None
    if _strays(scene):
        return _sweep(scene)
    fields = home(scene, settled=_all_there(scene, Stage(0, scene.desired)))
    same = exact(template_of(slot)) == exact(old.template)
    if same and (_is_home(scene) or not rolling_fields.differing(slot, fields)):
        return None
    told = f"give {slot.name} back to its owners" if same else f"way back of {slot.name} to version {old.digest}"
    template = None if same else old.template
    return patch(scene.record, scene.seen, slot, told, digest=old.digest, template=template, fields=fields)


def _foreign(scene: Scene) -> bool:
    """Whether the Deployment holds a template that is neither version's own."""
    known = {exact(each.template) for each in (scene.found.incumbent, scene.found.contender) if each is not None}
    bound = scene.record.contender
    if scene.found.contender is None and bound is not None and present(scene.slot) == bound.digest:
        return False
    return exact(template_of(scene.slot)) not in known


def _strays(scene: Scene) -> bool:
    """Whether pods of a third template are there that do not serve yet.

    The native controller removes older versions first: on the way back ready contenders would go before them.
    """
    new, seen = scene.found.contender, scene.seen
    strange = [each for each in scene.found.others if new is not None and each.name != new.name and each.replicas > 0]
    if new is None or new.replicas == 0 or any(each.min_ready != NEVER_AVAILABLE for each in strange):
        return False
    names = {each.name for each in strange}
    ready = sum(pod.ready and not pod.terminating for pod in seen.contenders if pod.replica_set in names)
    return sum(each.replicas for each in strange) > ready


def _sweep(scene: Scene) -> PatchSlot | None:
    """Let the native controller remove the pods of a third template, and nothing else: with the contender's template
    once more, and fences at which both versions are at rest as they are."""
    new, kept = scene.found.contender, scene.live.replicas
    template = template_of(scene.slot) if new is None else new.template
    fences = max(0, kept + (new.replicas if new is not None else 0) - scene.desired), max(0, scene.desired - kept)
    fields = rolling_fields.held(*(fences if any(fences) else (1, 0)), paused=False)
    if exact(template_of(scene.slot)) == exact(template) and not rolling_fields.differing(scene.slot, fields):
        return None
    return _bound(scene, f"take pods of another template out of {scene.slot.name}", fields, template)


def _is_home(scene: Scene) -> bool:
    """Whether people have all their fields again: what was given is not taken back, however the pods fare then."""
    return not rolling_fields.differing(scene.slot, home(scene, settled=True))


def _all_there(scene: Scene, stage: Stage) -> bool:
    """Whether the pods of a stage are all there and ready, and no others."""
    slot, live, seen = scene.slot, scene.live, scene.seen
    if not slot.observed or (slot.replicas, live.replicas) != (stage.contender, stage.incumbent):
        return False
    return seen.available("contender") >= stage.contender and seen.available("incumbent") >= stage.incumbent


# ------------------------------------------------------------------------------------------------------ writing


def given(slot: SlotState) -> str:
    """The digest of what we last put into the Deployment."""
    return slot.claim.digest if slot.claim is not None else present(slot)


def _bound(scene: Scene, told: str, fields: Mapping[str, Any], template: Mapping[str, Any] | None = None) -> PatchSlot:
    """A write that leaves the contender's template in the Deployment."""
    bound = scene.record.contender
    digest = bound.digest if bound is not None else ""
    return patch(scene.record, scene.seen, scene.slot, told, digest=digest, template=template, fields=fields)


def _told(what: str, scene: Scene) -> str:
    at, split = scene.goal, scene.split
    return f"{what} {scene.slot.name} at {split.incumbent} + {split.contender} towards {at.incumbent} + {at.contender}"


def patch(
    record: Record,
    seen: Observation,
    slot: SlotState,
    told: str,
    *,
    digest: str,
    template: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> PatchSlot:
    """A write with the claim that says what it leaves: the template's digest, and whether it is paused by us."""
    was = slot.claim
    if fields is not None:
        paused = bool(fields.get("paused"))
    else:
        # A stamp takes the Deployment as it is, but it makes nobody else's pause ours.
        paused = slot.paused and (was is None or was.paused is not False)
    incumbent = record.incumbent or seen.incumbent
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=Claim(
            release=seen.release,
            uid=seen.uid,
            role="incumbent",
            phase=record.phase,
            epoch=record.epoch,
            replicas=replicas_of(slot),
            desired=record.desired,
            digest=digest,
            saved=rolling_fields.claim_text(record, slot, incumbent.digest if incumbent is not None else ""),
            paused=paused,
        ),
        summary=told,
        template=template,
        fields=fields,
    )
