"""What a release may do at which hour: the law of windows and freezes, by the clock on the wall of their zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from controller.release.vocabulary import FORWARD, HoldReason, Phase
from policies.schema import ReleasePolicySpec
from policies.windows import Window
from tests.kernel.memory import Moment, pinned_by, stage_of


def in_its_hours(now: Moment) -> str:
    """Nothing begins and no batch follows outside its hours; what goes back has none."""
    record, was, after = now.record, now.was, now.entry.after
    if record is None or was is None or after is None:
        return ""
    if record.phase is Phase.ROLLING_BACK or record.origin in ("rollback", "restore"):
        waits = record.held is not None and record.held.reason in (HoldReason.WINDOW_CLOSED, HoldReason.FROZEN)
        return "what goes back waits for its hours" if waits else ""
    if (record.phase not in FORWARD and record.phase is not Phase.SUCCEEDED) or "now" in after["spec"]:
        return ""
    begins = was.phase not in FORWARD
    if not begins and (record.phase, record.stage) == (was.phase, was.stage):
        return ""
    spec, at = pinned_by(record).spec, record.written  # the tick's own clock
    if not begins and not stage_of(was).gated:
        return ""  # it gives back
    if begins and (left := _left(spec, at)) < spec.strategy.moves.shortest(spec.observe.at_least)[0].seconds:
        return f"it begins with {left:.0f} s left"
    last = spec.window is not None and spec.window.on_close == "finishLastBatch" and was.ready[0] >= was.desired
    if not begins and not _open(spec, at) and not (last and not _frozen(spec, at)):
        return f"from stage {was.stage} to {record.phase} {record.stage} at {_wall(spec, at)}"
    return ""


def _wall(spec: ReleasePolicySpec, at: float) -> datetime:
    zone = spec.window.zone if spec.window is not None else "UTC"
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))


def _open(spec: ReleasePolicySpec, at: float) -> bool:
    return not _frozen(spec, at) and (spec.window is None or _in_window(spec.window, _wall(spec, at)))


def _in_window(window: Window, wall: datetime) -> bool:
    """By weekday and minute, as a person reads it: the evening's part, or the morning's of the day before."""
    minute, before = 60 * wall.hour + wall.minute, (wall.weekday() - 1) % 7
    begin, end = window.opens.minutes, window.closes.minutes
    if begin < end:
        return wall.weekday() in window.days.numbers and begin <= minute < end
    evening = wall.weekday() in window.days.numbers and minute >= begin
    return evening or (before in window.days.numbers and minute < end)


def _frozen(spec: ReleasePolicySpec, at: float) -> bool:
    for each in spec.freeze or ():
        zone = each.zone or (spec.window.zone if spec.window is not None else "UTC")
        day: date = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).date()
        if each.first.at <= day <= each.last.at:
            return True
    return False


def _left(spec: ReleasePolicySpec, at: float) -> float:
    """Seconds until it is shut, counted second by second to ten minutes and then by minutes; a day at most."""
    if not _open(spec, at):
        return -1.0
    left = 0.0
    while left < timedelta(days=1).total_seconds():
        step = 1.0 if left < 600.0 else 60.0
        if not _open(spec, at + left + step):
            return left
        left += step
    return left
