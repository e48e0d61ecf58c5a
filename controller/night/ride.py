"""A release and its train: whether it may leave with it now, and whether the train calls it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller.night.platform import Train
from controller.night.windows import next_opening, opening, wall
from controller.progress import span
from controller.release import Hold, HoldReason

_THEN = "it leaves when the train calls it"


@dataclass(frozen=True, slots=True)
class Boarded:
    """The train has called the release in this night: it may leave."""

    train: str
    night: str


def ticket(
    trains: Sequence[Train], policy: str, labels: Mapping[str, str], uid: str, least: float, now: float
) -> Boarded | Hold | None:
    """Whether the train lets a release leave now, or why it waits; None where its policy rides no train.

    `trains` as `trains_of` sorts them. `least`: the seconds that the shortest release of the policy takes.
    """
    train = next((each for each in trains if each.carries(policy, labels)), None)
    if train is None:
        return None
    about = f"train {train.name}"
    if train.spec is None or train.status.get("phase") == "Refused":
        because = train.refused or str(train.status.get("because") or "")
        return Hold(HoldReason.AWAITS_TRAIN, f"{about} is refused: {because}", None, _THEN)
    zone, present = train.spec.window.zone, opening(train.spec.window, now)
    if present is None or (train.night is not None and train.night.id == present.id and train.night.closed is not None):
        opens = next_opening(train.spec.window, now).opens
        return Hold(HoldReason.AWAITS_TRAIN, f"{about} leaves {wall(zone, opens)}", opens, _THEN)
    night = train.night
    if night is None or night.id != present.id:
        return Hold(HoldReason.AWAITS_TRAIN, f"{about} has not begun its night yet", present.closes, _THEN)
    if night.lists(uid) and not night.stopped and present.closes - now >= least:
        return Boarded(train.name, night.id)
    because = next((each.because for each in night.waiting if each.uid == uid), "it has not called this release yet")
    if night.lists(uid):
        because = f"the line is stopped: {night.stopped}" if night.stopped else (
            f"it called this release, and too little of the night is left: its shortest release takes {span(least)}"
        )  # fmt: skip
    return Hold(HoldReason.AWAITS_TRAIN, f"{about}: {because}", present.closes, _THEN)


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
