"""One night of a train: what is asked for by day and in the night, what left, and how the night ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from controller.release.names import AppKey, Key, TrainKey
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Cause, Phase
from controller.settings import Settings
from controller.simulation import manifests
from controller.simulation.driver import Driver
from controller.simulation.world import World
from policies.load import from_object
from tests.bench.nights.around import Kills, surround
from tests.bench.nights.fleet import SOURCE, App, Line, a_world, remember
from tests.bench.nights.mix import Kind, kind_of
from tests.bench.nights.night import LONGEST, MORNING, SENT_OFF, STOOD, TICK, Told, flaws_of, parked, releases_of
from tests.bench.nights.train_laws import Rules, TrainLaws

TRAIN, ROOM = TrainKey("shop", "nightly"), "morning-room"
BEFORE = 1200.0  # seconds before the opening at which a night begins to be simulated
# Why a release was left behind, by what its last record says.
BEHIND = (
    ("the line was stopped", "the line is stopped"),
    ("one that goes first did not succeed", " tonight"),
    ("one that goes first was not through", "goes first, and waits"),
    ("one that goes first was not through", "is under way"),
    ("one that goes first was not through", "is about to leave"),
    ("no place was free", "releases are under way"),
    ("too little of the night was left", "too little of the night"),
    ("its own window was closed", "by its own policy"),
    ("its own window was closed", "the window"),
    ("a freeze", "frozen"),
    ("the controller was away", "was away for a whole night"),
    ("it came too late in the night", "ended before anybody looked"),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One release of a car. at: when it is asked for, in epoch seconds."""

    app: App
    name: str
    kind: Kind
    at: float
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class TrainTold:
    """What became of a night of a train.

    undone: cars that had arrived and were taken back with the train. parked: cars whose own hours ended under way.
    behind: those that did not leave, by why. again: how often its report was told once more after a kill. flaws: as in
    `Told`.
    """

    line: int
    day: date
    cars: tuple[Told, ...]
    left: int
    arrived: int
    turned: int
    undone: int
    parked: int
    behind: tuple[tuple[str, int], ...]
    stopped: bool
    recalled: bool
    kills: int
    again: int
    flaws: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evening:
    """What a night begins with: the train as its team keeps it at the time, and what is asked of it.

    after: who goes first for each car. away: whether the controller stands still for all of the night.
    """

    spec: Mapping[str, Any]
    after: Mapping[str, tuple[str, ...]]
    asks: tuple[Ask, ...]
    away: bool = False


def train_night(line: Line, day: date, seed: int) -> TrainTold | None:
    """What becomes of the train on this date; None where its window does not open."""
    span = line.hours.night(day)
    if span is None:
        return None
    rng = np.random.default_rng([seed, 400 + line.number, day.toordinal()])
    spec, after = _train(line, day, rng)
    evening = Evening(spec, after, tuple(_asks(line, rng, *span)), away=bool(rng.random() < 0.02))
    return run_night(line, day, span, evening, rng)


def run_night(
    line: Line, day: date, span: tuple[float, float], evening: Evening, rng: np.random.Generator
) -> TrainTold:
    """What becomes of a night that begins like this; `span`: (opening, closing) in epoch seconds."""
    opens, closes = span
    world = a_world(line.cars, int(rng.integers(1 << 30)), opens - BEFORE)
    world.create({"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleaseTrain",
                  "metadata": {"name": TRAIN.train}, "spec": evening.spec})  # fmt: skip
    stop = evening.spec.get("stopTheLine")
    laws = TrainLaws(
        Rules(
            opens, opens if "freeze" in evening.spec else closes, int(evening.spec["atOnce"]),
            int(stop["rolledBack"]) if stop else None, evening.after,
            {app.name: _last(world, app, day) for app in line.cars if app.hours is not None},
        )
    )  # fmt: skip
    world.after_write.append(laws)
    kills = surround(world, rng, [app.name for app in line.cars])
    keys: list[Key] = [TRAIN, *(AppKey("shop", app.name) for app in line.cars)]
    driver = Driver(world, Settings(sources={"default": SOURCE}, interval=TICK, learns=True, hears=True), keys,
                    meddle=kills)  # fmt: skip
    if evening.away:
        driver.controllers["a"].due = dict.fromkeys(keys, closes + 600.0)
    stood = _run(world, driver, laws, evening.asks, closes, rng)
    return _told(line, day, world, laws, evening, kills, stood)


def _train(line: Line, day: date, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The spec of a train, and who goes first for each car."""
    order = [line.cars[int(place)].name for place in rng.permutation(len(line.cars))]
    after: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(order):
        first = [other for other in order[:place] if rng.random() < 0.3]
        after[name] = tuple(first[:2])
    cars = [a_car(order[int(place)], after) for place in rng.permutation(len(order))]
    spec: dict[str, Any] = {
        "window": line.hours.written,
        "cars": cars,
        "atOnce": int(rng.integers(1, 4)),
        "onStop": str(rng.choice(("park", "rollBackAll"))),
        "report": [{"webhook": ROOM}],
    }
    if number := int(rng.choice((0, 1, 1, 1, 2, 2))):
        spec["stopTheLine"] = {"rolledBack": number}
    if rng.random() < 0.02:
        spec["freeze"] = [{"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat(), "why": "a holiday"}]
    return spec, after


def a_car(name: str, after: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A car as it is written."""
    return {"policy": name, **({"after": list(after[name])} if after.get(name) else {})}


def _last(world: World, app: App, day: date) -> tuple[float, float, float] | None:
    span = app.night(day)
    if span is None:
        return None
    policy = from_object(world.objects.items["ReleasePolicy", "shop", app.name]).spec
    least, _ = policy.strategy.moves.shortest(policy.observe.at_least)
    return span[1] - least.seconds, *span


def _asks(line: Line, rng: np.random.Generator, opens: float, closes: float) -> list[Ask]:
    """Most cars have a release, some have a second one by day or in the night, a few are sent off at once."""
    asks: list[Ask] = []
    for app in line.cars:
        if rng.random() < 0.15:
            continue
        at = float(rng.uniform(opens - BEFORE, opens - 600.0))
        asks.append(Ask(app, f"{app.name}-1", kind_of(rng), at))
        if rng.random() < 0.2:
            later = rng.uniform(at, opens) if rng.random() < 0.5 else rng.uniform(opens, closes - 3600.0)
            asks.append(Ask(app, f"{app.name}-2", kind_of(rng), float(later), urgent=bool(rng.random() < 0.15)))
    return sorted(asks, key=lambda each: each.at)


def _run(
    world: World, driver: Driver, laws: TrainLaws, asks: Sequence[Ask], closes: float, rng: np.random.Generator
) -> Mapping[str, str]:
    """To the end of the night, and until nothing moves any more -> what became of those that were parked.

    A person sends them off in the morning: their next hours are in another night of the train.
    """
    waiting, end = list(asks), closes
    stood: dict[str, str] = {}
    later = {ask.name: float(rng.uniform(120.0, 2400.0)) for ask in asks if ask.kind.later is not None}
    kinds = {ask.name: (ask.app.name, ask.kind) for ask in asks}
    while world.now < end + LONGEST:
        while waiting and waiting[0].at <= world.now:
            _ask(world, waiting.pop(0), rng)
        for name in [name for name, after in later.items() if world.now >= laws.left.get(name, world.now) + after]:
            app, kind = kinds[name]
            assert kind.later is not None
            kind.later(world, rng, app, name)
            del later[name]
        driver.run_to(world.now + TICK)
        if world.now >= closes and _send_off(world, stood, morning=world.now >= closes + MORNING):
            end = world.now + 2 * 3600.0
        if world.now > closes + 900.0 and _quiet(world, laws, end):
            break
    return stood


def _ask(world: World, ask: Ask, rng: np.random.Generator) -> None:
    if ask.kind.begins is not None:
        ask.kind.begins(world, rng, ask.app.name, ask.name)
    now = {"now": {"reason": "the shop is down"}} if ask.urgent else {}
    world.create(manifests.release(ask.app.name, ask.name, ask.name, **now))
    remember(world, ask.app, ask.name)


def _send_off(world: World, stood: dict[str, str], *, morning: bool) -> bool:
    """Note what is parked -> whether it is the morning, and somebody has sent off what is."""
    found = [one.name for one, record in releases_of(world) if parked(record) and stood.get(one.name) != SENT_OFF]
    for name in found:
        stood[name] = SENT_OFF if morning else STOOD
        if morning:
            world.edit("Release", name, {"spec": {"now": {"reason": "seen in the morning"}}})
    return morning and bool(found)


def _quiet(world: World, laws: TrainLaws, closes: float) -> bool:
    """Whether all have ended, or wait for another night, and nobody watches any more."""
    for _, record in releases_of(world):
        if record.phase not in ENDS and record.phase is not Phase.QUEUED:
            return False
    last = world.trace[-1].at if world.trace else world.started
    # A car may end long after the closing, by its own policy: what becomes of it, and the report, come after that.
    ended = max((record.since for _, record in releases_of(world) if record.phase in ENDS), default=closes)
    return (laws.reported is not None and world.now - last > 3000.0) or world.now > max(closes, ended) + 3600.0


# ------------------------------------------------------------------------------------------------- what came of it


def _told(
    line: Line, day: date, world: World, laws: TrainLaws, evening: Evening, kills: Kills, stood: Mapping[str, str]
) -> TrainTold:
    found, asks, away = releases_of(world), evening.asks, evening.away
    status = world.objects.items["ReleaseTrain", "shop", TRAIN.train].get("status") or {}
    night = status.get("night") or {}
    records = {one.name: record for one, record in found}
    back = {one.spec.rollback_of: one.name for one, record in found
            if record.origin == "rollback" and record.phase is Phase.SUCCEEDED}  # fmt: skip
    flaws = [*laws.flaws, *flaws_of(found, laws.endings)]
    shared = {cause for ask in asks if ask.kind.shared for cause in ask.kind.causes}
    if any(ask.kind.name == "quota" for ask in asks):
        shared.add(Cause.ROLLBACK_BLOCKED)  # another car has taken the pod that the way back needs
    cars, behind = [], Counter[str]()
    for ask in asks:
        record = records[ask.name]
        excused = shared | {Cause.TRAIN_STOPPED} if night.get("recalled") else shared
        newer = [other for other in asks if other.app is ask.app and other.at > ask.at]
        cars.append(
            Told(
                ask.app.number, day, ask.kind.name, record.phase, record.cause,
                ask.name in back and "-recall-" not in back[ask.name], 0,
                max(0.0, record.since - ask.at) / 60.0,
                excused=frozenset(excused | {Cause.SUPERSEDED} if newer else excused), rode=True,
                called_back=record.cause is Cause.TRAIN_STOPPED or "-recall-" in back.get(ask.name, ""),
                parked=stood.get(ask.name, ""),
            )
        )  # fmt: skip
        if record.phase is Phase.QUEUED:
            why = _why(ask.name, record, night, away=away)
            behind[why] += 1
            if not why:
                flaws.append(f"unexplained: {ask.name} waits: {record.held}")
    flaws += _night_flaws(world, night, laws, kills, away=away)
    left = [records[name] for name in laws.left]
    return TrainTold(
        line.number, day, tuple(cars), len(left),
        sum(record.phase is Phase.SUCCEEDED for record in left),
        sum(record.phase in (Phase.ROLLED_BACK, Phase.NEEDS_HUMAN) for record in left),
        sum(one.called_back and one.phase is Phase.SUCCEEDED for one in cars), len(stood),
        tuple(sorted(behind.items())), bool(night.get("stopped")), bool(night.get("recalled")), len(kills.struck),
        max(0, len(world.couriers.delivered) - 1), tuple(flaws),
    )  # fmt: skip


def _why(name: str, record: Record, night: dict[str, Any], *, away: bool) -> str:
    """Why a release was left behind, or "" where nobody said."""
    if away:
        return "the controller was away"
    told = [entry.because for entry in record.decisions if entry.kind == "WindowMissed"]
    told += [str(each["because"]) for each in night.get("waiting") or () if each["release"] == name]
    told += [record.held.because] if record.held is not None else []
    return next((why for text in told for why, words in BEHIND if words in text), "")


def _night_flaws(world: World, night: dict[str, Any], laws: TrainLaws, kills: Kills, *, away: bool) -> list[str]:
    """What is wrong with the end of the night itself."""
    flaws = []
    if away:
        flaws += [f"uncalled: nobody was there, and yet: {name}" for name in laws.left]
        for one, record in releases_of(world):
            missed = laws.rules.own.get(one.spec.policy, ()) is not None  # else its own window did not open either
            told = any(each.kind == "WindowMissed" for each in record.decisions)
            if record.phase is Phase.QUEUED and missed and not told:
                flaws.append(f"told nobody: {one.name} missed its night")
        return flaws
    if not night.get("closed") or not night.get("over"):
        flaws.append(f"night without end: closed {night.get('closed')}, over {night.get('over')}")
    times = [notice.id for notice in world.couriers.delivered if notice.notifier == f"webhook/{ROOM}"]
    # A controller that is killed after it has told, and before it has noted so, tells once more under the same id.
    if len(set(times)) > 1 or len(times) > 1 + len(kills.struck):
        flaws.append(f"told twice: {times}")
    if not times:
        flaws.append("told nobody: the report of the night")
    if night.get("recalled"):
        ways = {one.spec.rollback_of: record for one, record in releases_of(world) if record.origin == "rollback"}
        stayed = [one.name for one, record in releases_of(world) if one.name in laws.left
                  and record.phase is Phase.SUCCEEDED and one.name not in ways]  # fmt: skip
        if stayed and not any(record.phase is not Phase.SUCCEEDED for record in ways.values()):
            flaws.append(f"stayed on a train that was taken back: {', '.join(stayed)}")
    return flaws
