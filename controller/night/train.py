"""The rules of a train, pure: which night it is, who leaves next, when the line stops, and who is taken back.

A night's memory is a `TrainNight`, kept in the status of the train and written by compare-and-swap by its own tick
alone. A release leaves once the night lists it: who leaves and why nobody leaves any more are one write, so nothing
leaves after the line was stopped. What is under way is counted by the releases themselves, not by this list.

Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controller.night.windows import Opening, next_opening, opening, wall
from controller.progress import span
from controller.release.vocabulary import ENDS, Cause, HoldReason, Phase
from policies.train import ReleaseTrainSpec
from policies.windows import Window

# Holds of a release that has not begun to move and waits for its hour: it takes no place.
NIGHT_HOLDS = frozenset({HoldReason.WINDOW_CLOSED, HoldReason.FROZEN, HoldReason.NOT_BEFORE, HoldReason.AWAITS_TRAIN})
# Holds in which it stands, begun, until another night or until somebody decides.
_STANDS = frozenset(
    {
        HoldReason.WINDOW_CLOSED,
        HoldReason.FROZEN,
        HoldReason.PAUSED_BY_PERSON,
        HoldReason.MANUAL,
        HoldReason.UNDECIDED,
        HoldReason.DEGRADED,
        HoldReason.ALERT,
    }
)
_MOVING = frozenset({Phase.PREFLIGHT, Phase.CANARY, Phase.BATCH, Phase.ROLLING_BACK})
_TURNED = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN})
# Turns that say nothing of what was released.
_EXCUSED = frozenset({Cause.SUPERSEDED.value, Cause.TRAIN_STOPPED.value, Cause.WINDOW_CLOSED.value})


@dataclass(frozen=True, slots=True)
class Departed:
    """A release that has left; `ended`: the phase of its end, "" before."""

    release: str
    uid: str
    policy: str
    at: float
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A release that waits for its turn, and for what."""

    release: str
    uid: str
    policy: str
    because: str


@dataclass(frozen=True, slots=True)
class TrainNight:
    """One night of a train. closed: when its end was seen. over: when all that had left had ended."""

    id: str
    opened: float
    closes: float
    departed: tuple[Departed, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    stopped: str = ""
    recalled: str = ""
    closed: float | None = None
    over: float | None = None
    reported: tuple[str, ...] = ()

    @property
    def latest(self) -> float:
        """The latest time that it knows: a tick that was paused, or a clock set back, would close it at its opening."""
        return max(self.opened, self.closed or 0.0, self.over or 0.0, *(each.at for each in self.departed))

    def lists(self, uid: str) -> bool:
        """Whether a release has left in this night."""
        return any(each.uid == uid for each in self.departed)


@dataclass(frozen=True, slots=True)
class Seat:
    """One car: its policy, the policies that go first, and the seconds that its shortest release takes.

    lacks: why none of its releases may ride, or "".
    """

    policy: str
    after: tuple[str, ...] = ()
    least: float = 0.0
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Rider:
    """A release of a car as the train sees it.

    shut: why its own policy does not let it leave now, or ""; opens: when that ends. urgent: sent off by a person.
    back: the release that it takes back, or "". seen: whether its app was looked at since it was asked for.
    quarantined: what its own hold says of the quarantine of its version, or "". behind: whether it asks in the same
    words as one that keeps its version in quarantine: its app examines it after whatever else is asked for.
    """

    name: str
    uid: str
    policy: str
    created: float
    phase: Phase = Phase.QUEUED
    cause: str = ""
    held: str = ""
    paused: bool = False
    urgent: bool = False
    deleting: bool = False
    back: str = ""
    shut: str = ""
    opens: float | None = None
    seen: bool = True
    quarantined: str = ""
    behind: bool = False

    @property
    def moving(self) -> bool:
        """Whether it is under way: begun, not ended, and not waiting for its hour."""
        return self.phase in _MOVING and not self.waits

    @property
    def stands(self) -> bool:
        """Whether it is under way and goes on in another night only, or once a person has decided."""
        return self.moving and self.phase is not Phase.ROLLING_BACK and self.held in _STANDS

    @property
    def waits(self) -> bool:
        """Whether it has moved nothing, and waits."""
        return self.phase is Phase.QUEUED or (self.phase is Phase.PREFLIGHT and self.held in NIGHT_HOLDS)


# ------------------------------------------------------------------------------------------------- which night


def night_of(last: TrainNight | None, present: Opening | None, now: float, *, busy: bool) -> TrainNight | None:
    """The night at `now`. One that was seen to close stays closed, whatever a clock says that was set back.

    One without an id could not be read: nothing leaves for the rest of the night.

    `busy`: the last night still takes cars back; the next one waits for that.
    """
    if last is not None and not last.id:
        last = None if present is None else TrainNight(present.id, present.opens, present.closes, stopped=last.stopped)
    if present is not None and (last is None or (present.id != last.id and present.opens > last.opened)) and not busy:
        return TrainNight(present.id, present.opens, present.closes)
    if last is None or last.closed is not None:
        return last
    if present is not None and present.id == last.id:
        return replace(last, closes=present.closes)
    return replace(last, closes=min(last.closes, now), closed=now)


# ------------------------------------------------------------------------------------------------- who leaves


def called(
    night: TrainNight,
    spec: ReleaseTrainSpec,
    seats: Sequence[Seat],
    riders: Sequence[Rider],
    now: float,
    *,
    frozen: str = "",
    ends: float | None = None,
) -> TrainNight:
    """The night after a look at all releases of its cars: who has ended, whether the line stops, who leaves now.

    `frozen`: why nothing leaves today, or "". `ends`: when the window is closed, where that is later than this opening.
    """
    known = {each.uid: each for each in riders}
    marked = tuple(_marked(each, known.get(each.uid)) for each in night.departed)
    night = _stopped(replace(night, departed=marked), spec, riders)
    if night.closed is not None:
        return night
    taken = sum(each.moving for each in riders)
    taken += sum((one := known.get(each.uid)) is not None and one.waits for each in night.departed)
    left: list[Departed] = []
    waiting: list[Waiting] = []
    for seat, rider in _queue(night, spec.window, seats, riders):
        line = replace(night, departed=(*night.departed, *left))
        because = (
            _barred(line, seat, rider, frozen, now, ends if ends is not None else night.closes)
            or _follows(line, seats, seat, riders)
            or (f"{taken} of {spec.at_once} releases are under way" if taken >= spec.at_once else "")
        )
        if because:
            waiting.append(Waiting(rider.name, rider.uid, rider.policy, because))
            continue
        left.append(Departed(rider.name, rider.uid, rider.policy, now))
        taken += 1
    return replace(night, departed=(*night.departed, *left), waiting=tuple(waiting))


def _marked(each: Departed, rider: Rider | None) -> Departed:
    return replace(each, ended=rider.phase.value) if rider is not None and rider.phase in ENDS else each


def _queue(
    night: TrainNight, window: Window, seats: Sequence[Seat], riders: Sequence[Rider]
) -> list[tuple[Seat, Rider]]:
    """Who may want to leave: the newest wish of each app; those from earlier nights first, then by the cars' order."""
    found = []
    for place, seat in enumerate(seats):
        if (rider := _wish(night, seat.policy, riders)) is not None:
            found.append((_first_night(window, rider.created, night), place, seat, rider))
    return [(seat, rider) for _, _, seat, rider in sorted(found, key=lambda each: each[:2])]


def _wish(night: TrainNight, policy: str, riders: Sequence[Rider]) -> Rider | None:
    """The release that the app itself would begin with: the newest, or the first of those that are examined last."""
    waiting = [
        each
        for each in riders
        if each.policy == policy and each.waits and not (each.urgent or each.back or each.deleting)
    ]
    waiting = [each for each in waiting if not each.behind] or waiting[:1]
    newest = max(waiting, key=lambda each: (each.created, each.name), default=None)
    return newest if newest is not None and not night.lists(newest.uid) else None


def _first_night(window: Window, created: float, night: TrainNight) -> float:
    """The opening that a release was asked in or before; none is later than this night's."""
    if created >= night.opened:
        return night.opened
    first = opening(window, created) or next_opening(window, created)
    return min(first.opens, night.opened)


def _barred(night: TrainNight, seat: Seat, rider: Rider, frozen: str, now: float, ends: float) -> str:
    """What keeps a release from leaving, whatever the others do."""
    if night.stopped:
        return f"the line is stopped: {night.stopped}"
    if seat.lacks or frozen:
        return seat.lacks or frozen
    if rider.paused:
        return "a person paused it"
    if rider.shut:
        return rider.shut
    if not rider.seen:
        return "it is looked at first"
    if rider.quarantined:
        return f"its version is in quarantine: {rider.quarantined}"
    if ends - now < seat.least:
        return f"too little of the night is left: its shortest release takes {span(seat.least)}"
    return ""


def _follows(night: TrainNight, seats: Sequence[Seat], seat: Seat, riders: Sequence[Rider]) -> str:
    """What a release waits for because others of its app, or of other cars, go first."""
    if any(each.moving for each in riders if each.policy == seat.policy):
        return "another release of the app is under way"
    return next((why for policy in seat.after if (why := _not_yet(night, seats, policy, riders))), "")


def _not_yet(night: TrainNight, seats: Sequence[Seat], policy: str, riders: Sequence[Rider]) -> str:
    """Why the cars after `policy` do not leave yet; "" once it has succeeded tonight, or has no release."""
    own = [each for each in riders if each.policy == policy]
    if any(each.moving for each in own):
        return f"{policy} is under way"
    if any(each.back and each.created >= night.opened for each in own):
        return f"{policy} was taken back tonight"
    for each in own:
        if each.waits and not each.back and (night.lists(each.uid) or each.urgent):
            return f"{policy} is about to leave"
    wish = _wish(night, policy, riders)
    if wish is not None and not (wish.shut and (wish.opens is None or wish.opens >= night.closes)):
        kept = f"; the version of {policy} is in quarantine: {wish.quarantined}" if wish.quarantined else ""
        return f"{policy} goes first, and waits itself{kept}"
    tonight = [each for each in night.departed if each.policy == policy]
    if tonight and tonight[-1].ended != Phase.SUCCEEDED:
        return f"{policy} ended {tonight[-1].ended or 'without a record'} tonight"
    return ""


# ------------------------------------------------------------------------------------------- stop, and take back


def _stopped(night: TrainNight, spec: ReleaseTrainSpec, riders: Sequence[Rider]) -> TrainNight:
    """The night with its line stopped, once too many of its releases have turned back; a stop lasts all night."""
    if night.stopped or night.over is not None or spec.stop_the_line is None:
        return night
    turned = [told for each in night.departed if (told := _turned(each, riders))]
    if len(turned) < spec.stop_the_line.rolled_back:
        return night
    because = f"{len(turned)} of {len(night.departed)} releases turned back: {', '.join(turned)}"[:1000]
    return replace(night, stopped=because, recalled=because if spec.on_stop == "rollBackAll" else "")


def _turned(each: Departed, riders: Sequence[Rider]) -> str:
    """A release that turned back, and why; "" for one that did not, or whose turn says nothing of it."""
    rider = next((one for one in riders if one.uid == each.uid), None)
    if rider is None:
        return f"{each.release} ({each.ended})" if each.ended in _TURNED else ""
    if rider.phase in _TURNED and rider.cause not in _EXCUSED:
        return f"{each.release} ({rider.cause or rider.phase.value})"
    taken = next((one for one in riders if one.back == each.release), None)
    return f"{each.release} (taken back by {taken.name})" if taken is not None else ""


@dataclass(frozen=True, slots=True)
class Recall:
    """How far the taking back has come. next: whose linked release is asked for now. stuck: who could not go back."""

    busy: bool = False
    next: Departed | None = None
    stuck: tuple[str, ...] = ()


def recall(night: TrainNight | None, seats: Sequence[Seat], riders: Sequence[Rider]) -> Recall:
    """Who is taken back next: the last one that left first, one after the other, once nothing is under way.

    Who could not be taken back keeps those that it comes after where they are: they are what it needs.
    """
    if night is None or not night.recalled or night.over is not None:
        return Recall()
    known = {each.uid: each for each in riders}
    if any((one := known.get(each.uid)) is not None and one.moving for each in night.departed):
        return Recall(busy=True)
    needed_by = {seat.policy: seat.after for seat in seats}
    stuck: list[str] = []
    for each in reversed(night.departed):
        if each.ended != Phase.SUCCEEDED:
            continue
        backs = [one for one in riders if one.back == each.release]
        if any(one.phase not in ENDS for one in backs):
            return Recall(busy=True, stuck=tuple(stuck))
        if backs:
            done = any(one.phase is Phase.SUCCEEDED for one in backs) or backs[-1].phase is Phase.ROLLED_BACK
            stuck += [] if done else [each.policy]
        elif any(each.policy in _all_before(name, needed_by) for name in stuck):
            stuck.append(each.policy)
        else:
            return Recall(busy=True, next=each, stuck=tuple(stuck))
    return Recall(stuck=tuple(stuck))


def _all_before(policy: str, after: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything that has to go before a policy, at any remove."""
    found: set[str] = set()
    waiting = list(after.get(policy, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += after.get(name, ())
    return found


def finished(night: TrainNight, riders: Sequence[Rider], back: Recall, now: float) -> TrainNight:
    """The night with its end, once it is closed and nothing that left is under way any more."""
    if night.closed is None or night.over is not None or back.busy:
        return night
    known = {each.uid: each for each in riders}
    if any((one := known.get(each.uid)) is not None and one.moving for each in night.departed):
        return night
    return replace(night, over=now)


def told_at(night: TrainNight | None, riders: Sequence[Rider], back: Recall) -> float | None:
    """The time up to which the report of a night may be made; None while more is to come of it by itself.

    What stands until another night, or until somebody decides, is told as it stands: that somebody reads the report.
    """
    if night is None or night.closed is None or back.busy:
        return None
    known = {each.uid: each for each in riders}
    left = [one for each in night.departed if (one := known.get(each.uid)) is not None]
    return night.over or (night.closed if all(one.stands or not one.moving for one in left) else None)


def leaves_next(window: Window, now: float) -> str:
    """When cars leave next, in words."""
    return f"leaves {wall(window.zone, next_opening(window, now).opens)}"
