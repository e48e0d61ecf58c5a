"""Faults to plant in the deciding modules: each one is a law broken in a word or two."""

from __future__ import annotations

from dataclasses import dataclass

DECIDE, TWIN, REVISE, RECORD, APPLYING = (
    f"controller/{name}.py" for name in ("decide", "strategies/twin", "revise", "record", "applying")
)
CLAIMS, SCALER = "controller/strategies/claims.py", "controller/companions/autoscaler.py"
FORWARD, PROGRESS, ACCOMPANIED = (f"controller/{name}.py" for name in ("forward", "progress", "accompanied"))
DRIVE, ATTEMPT, PINNED, KEEPING = (f"controller/{name}.py" for name in ("drive", "attempt", "pinned", "housekeeping"))
HOURS, DEPARTURE, UNDER_WAY, ENDING, TRAIN, RIDE = (
    f"controller/night/{name}.py" for name in ("hours", "departure", "under_way", "ending", "train", "ride")
)
WATCH, ALARM, FIRING = (f"controller/{name}.py" for name in ("watch", "alarm", "firing"))


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted fault: in `file` the text `old`, found exactly once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    survives: str = ""  # why no test can tell it from the original


RELEASES = (
    Mutant("no surge bound", TWIN, "room = d + surge - i - c", "room = d + surge - i"),
    Mutant("down before ready", TWIN, "if surge > 0 and ready_c < c:", "if surge > 0 and ready_c < 0:",
           "the floor of `_removable` holds S1 by itself; this line only spends surge before slack"),
    Mutant("floor ignored", TWIN, "return min(want, max(available_total - floor, unready, 0))", "return want"),
    Mutant("floor one too low", TWIN, "floor = d - slack", "floor = d - slack - 1"),
    Mutant("unobserved ignored", TWIN, "if not live.observed or (spare is not None and not spare.observed):",
           "if False:"),
    Mutant("contender first", TWIN, "if i < want_i and room > 0:", "if False and room > 0:"),
    Mutant("no stamps", TWIN, "if slot is not None and not moving and not stamped(record, seen, slot):",
           "if False and slot is not None and not moving and not stamped(record, seen, slot):"),
    Mutant("stamps ignore the epoch", CLAIMS, "        and found.epoch == record.epoch\n", ""),
    Mutant("relative to nothing", TWIN, "return live.name, min(want_i, i + room)", "return live.name, i + room"),
    Mutant("restored too early", TWIN, 'return f"contender still has {spare.replicas} pods"', 'return ""'),
    Mutant("restored unready", TWIN, 'if (ready := seen.available("incumbent")) < floor:',
           'if (ready := seen.available("incumbent")) < 0:'),
    Mutant("settled without pods", TWIN, "if (available := seen.available(role)) < want:",
           "if (available := seen.available(role)) < 0:"),
    Mutant("no digest bound", FORWARD, "if record.contender is not None and spare.digest != record.contender.digest:",
           "if False and spare is not None and record.contender is not None:"),
    Mutant("crash loops ignored", PROGRESS, "MOST_RESTARTS = 3", "MOST_RESTARTS = 3000"),
    Mutant("abort ignored", FORWARD, "if seen.wishes.abort is not None:", "if False:"),
    Mutant("blind passes", FORWARD, "if overall is Verdict.BLIND or unseen:", "if False:"),
    Mutant("degraded passes", FORWARD, "if not degraded:\n        return None", "if True:\n        return None"),
    Mutant("observation skipped", FORWARD, "if observed < at_least:", "if observed < 0:"),
    Mutant("replaced slots trusted", DECIDE, "if known.uid and slot.uid != known.uid:", "if False:"),
    Mutant("regressed record trusted", DECIDE,
           "slot.claim.uid == seen.uid and slot.claim.epoch > record.epoch", "False"),
    Mutant("fights for ever", DECIDE, "MOST_REVERSALS = 2", "MOST_REVERSALS = 2000"),
    Mutant("deadline never strikes", FORWARD, "if seen.now >= until and not can_step(record, seen, policy):",
           "if False:"),
    Mutant("deadline strikes before a step", FORWARD,
           "if seen.now >= until and not can_step(record, seen, policy):", "if seen.now >= until:"),
    Mutant("never superseded", FORWARD, 'if seen.superseded_by and record.origin == "change":', "if False:"),
    Mutant("pause ignored", FORWARD, "if seen.wishes.paused:", "if False:"),
    Mutant("people's D ignored", TWIN, "            else:\n                desired = live.replicas\n",
           "            else:\n                desired = record.desired\n"),
    Mutant("reversals counted twice", REVISE, "if name not in record.reversals", "if True"),
    Mutant("settled time never ends", REVISE, "    record = closed(record, seen.now)\n    return record if",
           "    return record if"),
    Mutant("settled time from an old now", REVISE, "max(seen.now, record.stage_since)", "seen.now"),
    Mutant("same epoch for ever", APPLYING, "epoch=record.epoch + 1", "epoch=max(1, record.epoch)"),
    Mutant("ends may be left", APPLYING, "phase=moved(record.phase, phase)", "phase=phase",
           "the table is a second lock: nothing asks for an illegal move while `decide` is right"),
    Mutant("holds without excuse", APPLYING,
           "excused = reason in EXCUSED and record.phase in FORWARD", "excused = False"),
    Mutant("record unbounded", RECORD, "MOST_BYTES = 60 * 1024", "MOST_BYTES = 60 * 1024 * 1024"),
    Mutant("one look is enough", DRIVE, "if _kind(glance.decision) != _kind(leap.decision):",
           "if False:"),
    Mutant("looser policy taken", PINNED, "return tighten(began, current)", "return current"),
    Mutant("slot before record", ATTEMPT,
           "    if isinstance(answer, Failure):\n        return TickResult(app, attempt.name, before, failure=answer",
           "    if False:\n        return TickResult(app, attempt.name, before, failure=answer"),
    Mutant("pods older than slots", ATTEMPT, "    if fresh and not all(", "    if False and not all(",
           "only an API server that answers a quorum read with the past shows it, and S1 is then measured on the lie"),
    Mutant("an autoscaler keeps its minimum", SCALER, '"spec": {"behavior": behavior, "minReplicas": LEAST},',
           '"spec": {"behavior": behavior},'),
    Mutant("an autoscaler is woken too early", ACCOMPANIED, "        if self._is_done(record, seen):",
           "        if True:"),
    Mutant("an autoscaler is not fenced", SCALER, "(note.uid, note.epoch) == (seen.uid, record.epoch)",
           "note.uid == seen.uid"),
    Mutant("an autoscaler stays where it was", SCALER, "wanted = serves.name if forward and serves is not None else",
           "wanted = serves.name if False and serves is not None else"),
    Mutant("claims stay", KEEPING, "if owner is not None and not _forgot(owner, slot.claim):", "if False:"),
)  # fmt: skip

WINDOWS = (
    Mutant("leaves while the window is closed", HOURS, "    if window is None:\n        return None\n    present",
           "    if window is None or opening(window, now) is None:\n        return None\n    present"),
    Mutant("leaves in a freeze", HOURS, "    if held is not None:", "    if False:"),
    Mutant("leaves before its time", HOURS, "if not_before is not None and now < not_before:", "if False:"),
    Mutant("leaves with too little left", HOURS, "if ends - now >= shortest.seconds:", "if True:"),
    Mutant("leaves by a clock that was set back", HOURS, "for at in sorted({now, max(now, latest)}, reverse=True):",
           "for at in (now,):"),
    Mutant("who goes back waits for hours", DEPARTURE, "return case.origin in ASKS and", "return"),
    Mutant("who goes back is under hours", UNDER_WAY, "if record.origin not in ASKS or spec.now is not None:",
           "if spec.now is not None:"),
    Mutant("the urgent door is shut", DEPARTURE, " and case.attempt.spec.now is None", ""),
    Mutant("goes on by a clock that was set back", UNDER_WAY,
           "for at in dict.fromkeys((now, max(now, record.latest))):", "for at in (now,):"),
    Mutant("a closing turns nothing back", ENDING, 'policy.window.on_close == "park":\n        return None',
           'policy.window.on_close != "":\n        return None'),
    Mutant("nothing is parked", ENDING, "    if night.closed and policy.window is not None and",
           "    if False and policy.window is not None and"),
    Mutant("a freeze advances", ENDING, "    if not night.frozen:", "    if True:"),
    Mutant("every batch is the last", ENDING, "    return all(\n", "    return True or all(\n"),
    Mutant("a freeze outlasts the deadline", ENDING, "night.thaws < deadline:", "night.thaws > 0:"),
    Mutant("a park is charged", APPLYING, "HoldReason.MANUAL, HoldReason.WINDOW_CLOSED})", "HoldReason.MANUAL})"),
)  # fmt: skip
TRAINS = (
    Mutant("leaves after the line was stopped", TRAIN,
           "    if night.stopped:\n        return f", "    if False:\n        return f"),
    Mutant("leaves before those it follows", TRAIN,
           'return next((why for policy in seat.after if (why := _not_yet(night, seats, policy, riders))), "")',
           'return ""'),
    Mutant("more than atOnce", TRAIN, "if taken >= spec.at_once else", "if False else"),
    Mutant("those that left take no place", TRAIN, "    taken += sum((one", "    _ = sum((one"),
    Mutant("leaves twice", TRAIN, "return newest if newest is not None and not night.lists(newest.uid) else None",
           "return newest"),
    Mutant("a night that has closed opens again", TRAIN, "if last is None or last.closed is not None:",
           "if last is None:"),
    Mutant("a car leaves too late", TRAIN, "    if ends - now < seat.least:", "    if False:"),
    Mutant("a car in quarantine is called", TRAIN, "    if rider.quarantined:", "    if False:"),
    Mutant("what nobody has looked at is called", TRAIN, "    if not rider.seen:", "    if False:"),
    Mutant("one that is examined last is called first", TRAIN, "if not each.behind] or", "] or"),
    Mutant("the line never stops", TRAIN, "if len(turned) < spec.stop_the_line.rolled_back:", "if True:"),
    Mutant("a recall forgets those that succeeded", TRAIN,
           "        if each.ended != Phase.SUCCEEDED:\n            continue\n        backs",
           "        if True:\n            continue\n        backs"),
    Mutant("taken back in the order of leaving", TRAIN, "for each in reversed(night.departed):",
           "for each in night.departed:"),
    Mutant("leaves uncalled", RIDE, "    if night.lists(uid):", "    if True:"),
    Mutant("cars that are called back go on", RIDE, "and each.night.recalled and each.night.lists(uid)", "and False"),
    Mutant("a stopped line lets who was called leave", RIDE, "if night.recalled or (night.stopped and not begun):",
           "if night.recalled:"),
)  # fmt: skip
WATCHES = (
    Mutant("a watch sees no danger", WATCH, "    if danger is None:\n        if now", "    if True:\n        if now"),
    Mutant("a watch goes on for ever", WATCH, "        if now >= watch.until:", "        if False:"),
    Mutant("a watch looks after its end", WATCH, "    if now > watch.until + LATE:", "    if False:"),
    Mutant("a watch outlives the next release", WATCH, "if (later := _begun_since(attempt, attempts)) is not None:",
           "if (later := _begun_since(attempt, attempts)) is not None and False:"),
    Mutant("somebody else's version is brought back", WATCH, "    if live.digest != was.digest:", "    if False:"),
    Mutant("crash loops in the watch ignored", WATCH, "    if (pod := looping(seen)) is not None:",
           "    if (pod := looping(seen)) is not None and False:"),
    Mutant("worse gates in the watch ignored", WATCH, "    if worse:", "    if False:"),
    Mutant("a blind watch turns back", WATCH, 'if policy.watch.on_blind == "rollBack":', "if True:"),
    Mutant("a watch overwrites what came in between", WATCH,
           "if latest.record.sequence != attempt.record.sequence:", "if False:"),
    Mutant("the way back is created, and nobody knows",
           WATCH, "replace(watch, asked=True)", "replace(watch, asked=False)"),
)  # fmt: skip
ALERTS = (
    Mutant("an alert turns nothing back", ALARM, 'if each.then == "rollBack"]', "if False]"),
    Mutant("an alert holds nothing", ALARM, "if not holding or seen.wishes", "if True or seen.wishes"),
    Mutant("goes on unheard", ALARM, "    if seen.firing is not None:", "    if True:"),
    Mutant("what fired before the start counts", FIRING,
           "    elif firing.since < record.started - LEAD:", "    elif False:"),
    Mutant("a post that nobody confirmed counts", FIRING, " or not told.confirmed or", " or"),
    Mutant("a silenced alert counts", FIRING, "(active if counting else muted)[", "active["),
    Mutant("an alert that is over holds", FIRING, 'if _graver(matching) == "rollBack":', "if True:"),
    Mutant("an alert is charged for ever", FIRING, "if not is_known(record, each, part)", "if True"),
    Mutant("nobody listens before a write", DRIVE,
           "if alerts and not isinstance(glance.decision, RollBack):", "if False:"),
)  # fmt: skip
