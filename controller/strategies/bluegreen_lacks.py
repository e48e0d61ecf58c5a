"""What a blue-green release still waits for, in the order in which it comes, with numbers."""

from __future__ import annotations

from collections.abc import Iterator

from controller.release.record import Stage
from controller.release.vocabulary import Role
from controller.services import selector_of, words
from controller.strategies import pins
from controller.strategies.bluegreen_standing import PREVIEW, Standing, both
from controller.strategies.stages import HAND_BACK


def lacking(here: Standing, stage: Stage) -> Iterator[str]:
    """What the stage still waits for, in the order in which it comes."""
    yield astray(here)
    yield _short(here, "contender", stage.contender)
    if stage.incumbent:
        yield _short(here, "incumbent", stage.incumbent)
    if stage.name != HAND_BACK:
        yield from _not_pinned(here)
    if stage.name == PREVIEW:
        if here.at != "incumbent":
            yield f"Service {here.name} is not pinned to the incumbent yet"
        if here.reached["incumbent"] < here.enough:
            yield _reach(here, "incumbent")
        if here.previewed < here.enough:
            yield f"{here.previewed} of {here.need} contender pods are behind Service {here.preview_name}"
        return
    if stage.name != HAND_BACK:
        if here.at != "contender":
            yield f"Service {here.name} still points at the incumbent"
        if here.reached["contender"] < here.enough:
            yield _reach(here, "contender")
        return
    live = here.seen.incumbent
    if live is not None and live.replicas:
        yield f"incumbent has {live.replicas} of 0 pods"
    if left := here.pods("incumbent"):
        yield f"{left} incumbent pods are still there"
    if here.reached["contender"] < here.enough:
        yield _reach(here, "contender")
    yield from _not_given_back(here)


def _short(here: Standing, role: Role, want: int) -> str:
    """What a side lacks of the pods that it should have."""
    slot = here.slot(role)
    if slot is None:
        return f"the {role} Deployment does not exist"
    if slot.replicas != want:
        return f"{role} has {slot.replicas} of {want} pods"
    if not slot.observed:
        return f"the API server's controllers have not seen the last change of {slot.name}"
    if (available := here.seen.available(role)) < want:
        return f"{available} of {want} {role} pods are ready"
    if (there := here.pods(role)) > want:
        return f"{there} {role} pods are there, {want} are wanted"
    pods = here.seen.contenders if role == "contender" else here.seen.incumbents
    troubled = next((pod for pod in pods if pod.waiting and not pod.terminating), None)
    return f"pod {troubled.name} waits: {troubled.waiting}" if troubled is not None else ""


def _reach(here: Standing, role: Role) -> str:
    return f"{here.reached[role]} of {here.need} {role} pods are behind Service {here.name}"


def astray(here: Standing) -> str:
    """What somebody did to the Service in mid-release."""
    if here.at == "missing":
        return (
            f"Service {here.name} was deleted in mid-release: no request comes through it; create it again with the "
            f"selector {words(here.own)}"
        )
    if here.at == "elsewhere":
        assert here.service is not None
        return (
            f"Service {here.name} was edited in mid-release and selects {words(selector_of(here.service))}: "
            f"set it back to {words(here.own)}"
        )
    return ""


def _not_pinned(here: Standing) -> Iterator[str]:
    for slot in both(here.seen):
        if not slot.paused:
            yield f"Deployment {slot.name} is not paused yet"
    if here.preview is None:
        yield f"Service {here.preview_name} does not exist yet"


def _not_given_back(here: Standing) -> Iterator[str]:
    if here.at not in ("owner", "missing"):
        yield f"Service {here.name} does not select {words(here.own)} again yet"
    if here.service is not None and pins.pin_of(here.service) is not None:
        yield f"Service {here.name} still carries the annotation of the release"
    for slot in both(here.seen):
        if slot.paused:
            yield f"Deployment {slot.name} is still paused"
    if here.preview is not None and pins.is_ours(here.preview, here.app):
        yield f"Service {here.preview_name} still exists"


def lacking_on_the_way_back(here: Standing) -> Iterator[str]:
    live = here.seen.incumbent
    if live is None:
        yield "the incumbent Deployment does not exist"
        return
    if live.replicas != here.record.desired:
        yield f"incumbent has {live.replicas} of {here.record.desired} pods"
    if not live.observed:
        yield f"the API server's controllers have not seen the last change of {live.name}"
    if (ready := here.seen.available("incumbent")) < here.need:
        yield f"{ready} of {here.record.desired} incumbent pods are ready"
    yield astray(here)
    if here.at == "contender":
        yield f"Service {here.name} still points at the contender"
    if not here.contender_gone:
        ordered = here.seen.contender.replicas if here.seen.contender is not None else 0
        yield f"contender still has {max(here.pods('contender'), ordered)} pods"
    if here.at != "missing" and here.reached["incumbent"] < here.enough:
        yield _reach(here, "incumbent")
    yield from _not_given_back(here)
