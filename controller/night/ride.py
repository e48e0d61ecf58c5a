"""A release and its train: whether it may leave with it now, and whether the train calls it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.night.platform import Train
from controller.night.train import leaves_next
from controller.night.windows import closing, next_opening, opening, wall
from controller.progress import span
from controller.release.decision import Hold
from controller.release.record import Held
from controller.release.vocabulary import HoldReason

_THEN = "it leaves when the train calls it"
_OVER = "the night is over, and what it has not called waits for the next one"


@dataclass(frozen=True, slots=True)
class Boarded:
    """The train has called the release in this night: it may leave."""

    train: str
    night: str


def train_for(trains: Sequence[Train], policy: str, labels: Mapping[str, str]) -> Train | None:
    """The train that a policy rides; of two the older one. `trains` as `trains_of` sorts them."""
    return next((each for each in trains if each.carries(policy, labels)), None)


def ticket(train: Train, uid: str, least: float, now: float, *, begun: bool) -> Boarded | Hold:
    """Whether a train lets a release leave now, or why it waits.

    `least`: the seconds that the shortest release of its policy takes. `begun`: it has left and is being examined; a
    line that stops does not keep it, cars that are called back do.
    """
    about = f"train {train.name}"
    if train.spec is None or train.status.get("phase") == "Refused":
        because = train.refused or str(train.status.get("because") or "")
        return Hold(HoldReason.AWAITS_TRAIN, f"{about} is refused: {because}", None, _THEN)
    present, night = opening(train.spec.window, now), train.night
    if present is None or not _is_open(train, now):
        opens = next_opening(train.spec.window, now).opens
        because = f"{about} leaves {wall(train.spec.window.zone, opens)}"
        return Hold(HoldReason.AWAITS_TRAIN, because, opens, _THEN)
    if night is None or night.id != present.id:
        return Hold(HoldReason.AWAITS_TRAIN, f"{about} has not begun its night yet", present.closes, _OVER)
    because = next((each.because for each in night.waiting if each.uid == uid), "it has not called this release yet")
    if night.lists(uid):
        if night.recalled or (night.stopped and not begun):
            because = f"the line is stopped: {night.stopped}"
        elif closing(train.spec.window, present) - now < least:
            because = f"too little of the night is left: the shortest release takes {span(least)}"
        else:
            return Boarded(train.name, night.id)
    return Hold(HoldReason.AWAITS_TRAIN, f"{about}: {because}", present.closes, _OVER)


def missed(train: Train, held: Held | None, asked: float | None, now: float) -> str:
    """What to tell of a night of the train that went by without the release, or "".

    `asked`: when it was asked for, if nobody has looked at it since; else None.
    """
    if train.spec is None or _is_open(train, now):
        return ""
    window = train.spec.window
    away = f"train {train.name} was away for a whole night, with its controller; {leaves_next(window, now)}"
    if asked is not None:
        if opening(window, asked) is not None:
            return f"the night of train {train.name} ended before anybody looked at it; {leaves_next(window, now)}"
        return away if next_opening(window, asked).opens <= now else ""
    if held is None or held.reason is not HoldReason.AWAITS_TRAIN or held.until is None or held.until > now:
        return ""
    return away if opening(window, held.until) is not None else f"the night ended while it waited: {held.because}"


def _is_open(train: Train, now: float) -> bool:
    """Whether cars may leave: the window is open, and its night was not seen to end."""
    present = opening(train.spec.window, now) if train.spec is not None else None
    ended = train.night is not None and present is not None and train.night.id == present.id and train.night.closed
    return present is not None and not ended


def recalled(trains: Sequence[Train], uid: str) -> str:
    """Why a train calls a release back that has left with it, or ""."""
    return next(
        (
            f"train {each.name} calls its cars back: {each.night.recalled}"
            for each in trains
            if each.night is not None and each.night.recalled and each.night.lists(uid)
        ),
        "",
    )
