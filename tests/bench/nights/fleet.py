"""Thirty apps as a platform team has them: strategies, sizes, zones, windows, trains, and what each has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from analysis.band import LearnedBand
from analysis.band_terms import Unit
from controller.baseline import Baseline
from controller.learning.gather import Subject
from controller.learning.learn import learn_policy
from controller.requests.fetches import Totals
from controller.settings import Source
from controller.simulation import manifests
from controller.simulation.world import Conditions, World
from policies.load import from_object
from tests.simulation import past

SIZE = 30
SOURCE = Source(scrape=30.0, window=60.0)
CONDITIONS = Conditions(scrape=SOURCE.scrape)
ZONES = (
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "UTC",
    "America/St_Johns",
)
# The zone of each train, and how many apps ride it; in all of these clocks change.
TRAINS = (
    ("Europe/Berlin", 3),
    ("America/New_York", 4),
    ("Australia/Lord_Howe", 2),
    ("Africa/Casablanca", 3),
    ("Pacific/Chatham", 5),
    ("America/St_Johns", 3),
)
FIRST, YEARS = date(2025, 1, 1), 3
_LEARNED_AT = 1_735_000_200.0
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Hours:
    """A window: `opens` and `closes` are wall-clock times in `zone`, `days` those on which it opens (Monday is 0)."""

    zone: str
    days: frozenset[int]
    opens: time
    closes: time

    @property
    def written(self) -> dict[str, Any]:
        """As an owner writes it."""
        days = ",".join(_WEEK[day] for day in sorted(self.days))
        return {"days": days, "from": f"{self.opens:%H:%M}", "to": f"{self.closes:%H:%M}", "zone": self.zone}

    def night(self, day: date) -> tuple[float, float] | None:
        """(opening, closing) in epoch seconds of the window that opens on this local date; None where none does.

        By walking through the minutes of a clock on the wall, so that it shares nothing with what it examines.
        """
        if day.weekday() not in self.days:
            return None
        zone = ZoneInfo(self.zone)
        over = day if self.closes > self.opens else day + timedelta(days=1)
        begin = int(datetime.combine(day, time(), tzinfo=ZoneInfo("UTC")).timestamp()) - 15 * 3600
        opened = closed = None
        for minute in range(72 * 60):
            at = begin + 60 * minute
            wall = datetime.fromtimestamp(at, zone).replace(tzinfo=None)
            if opened is None and wall.date() == day and wall.time() >= self.opens:
                opened = at
            if opened is not None and wall < datetime.combine(over, self.closes):
                closed = at + 60
        return (float(opened), float(closed)) if opened is not None and closed is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class App:
    """One app of the fleet. `load` is in requests a second; `hours` are its own, if it has some."""

    number: int
    name: str
    strategy: Mapping[str, Any]
    pods: int
    load: float
    hours: Hours | None
    on_close: str
    watched: str

    @property
    def kind(self) -> str:
        return next(iter(self.strategy))

    @property
    def policy(self) -> dict[str, Any]:
        """What its owner wrote."""
        window = {"window": {**self.hours.written, "onClose": self.on_close}} if self.hours is not None else {}
        spec = {
            **manifests.DEFAULT_SPEC,
            "target": {"deployment": self.name},
            "strategy": self.strategy,
            "observe": {"atLeast": "4m", "atMost": "25m", "onUndecided": "advance"},
            **window,
            "watch": {"for": self.watched},
            "alerts": [{"match": {"service": self.name, "severity": "page"}, "then": "rollBack"}],
        }
        return {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "ReleasePolicy",
            "metadata": {"name": self.name, "namespace": "shop"},
            "spec": spec,
        }

    def night(self, day: date) -> tuple[float, float] | None:
        """(opening, closing) in epoch seconds of its own window on this local date; None where none opens."""
        return self.hours.night(day) if self.hours is not None else None


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A train of the fleet: the apps that ride it, and its window."""

    number: int
    cars: tuple[App, ...]
    hours: Hours


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """The apps that leave by themselves, and the trains."""

    alone: tuple[App, ...]
    lines: tuple[Line, ...]


@lru_cache(maxsize=1)
def fleet(seed: int) -> Fleet:
    """The same fleet for the same seed: one app in each zone leaves by itself, the others ride."""
    rng = np.random.default_rng([seed, 100])
    alone = tuple(_app(rng, n, "checkout", _hours(rng, zone, (2.5, 3.5, 5.0))) for n, zone in enumerate(ZONES))
    lines: list[Line] = []
    number = len(alone)
    for (zone, size), opens in zip(TRAINS, rng.permutation(len(TRAINS)).tolist(), strict=True):
        hours = _between(zone, frozenset(range(7)), time((22, 23, 0, 1, 2, 23)[opens], 30), float(rng.choice((2.5, 4))))
        cars = []
        for place in range(size):
            own = _near(rng, hours) if rng.random() < 0.5 else None
            cars.append(_app(rng, number, f"car-{place}", own))
            number += 1
        lines.append(Line(len(lines), tuple(cars), hours))
    assert number == SIZE
    return Fleet(alone, tuple(lines))


def _app(rng: np.random.Generator, number: int, name: str, hours: Hours | None) -> App:
    batches = int(rng.integers(2, 4))
    strategies: tuple[Mapping[str, Any], ...] = (
        {"rolling": {"canary": 1, "batches": batches}},
        {"rolling": {"canary": 1, "batches": batches}},
        {"twin": {"canary": 1, "batches": batches}},
        {"twin": {"canary": 2, "batches": batches}},
        {"blueGreen": {"service": name, "preview": f"{name}-preview", "keep": "10m"}},
    )
    return App(
        number=number,
        name=name,
        strategy=strategies[number % len(strategies)],
        pods=int(rng.integers(4, 11)),
        load=float(rng.choice((30.0, 100.0, 300.0))),
        hours=hours,
        on_close=str(rng.choice(("rollBack", "park", "finishLastBatch"))),
        watched=str(rng.choice(("20m", "40m"))),
    )


def _hours(rng: np.random.Generator, zone: str, lengths: tuple[float, ...]) -> Hours:
    opens = time(int(rng.choice((22, 23, 0, 1, 2))), int(rng.choice((0, 30))))
    days = frozenset(range(4)) if rng.random() < 0.3 else frozenset(range(7))
    return _between(zone, days, opens, float(rng.choice(lengths)))


def _near(rng: np.random.Generator, train: Hours) -> Hours:
    """Hours of a car's own, that begin on the date of its train and not before midnight where that opens after it."""
    begin = datetime.combine(FIRST, train.opens) + timedelta(minutes=30 * int(rng.integers(0, 3)))
    opens = begin.time() if begin.date() == FIRST else train.opens
    days = frozenset(range(4)) if rng.random() < 0.2 else frozenset(range(7))
    return _between(train.zone, days, opens, float(rng.choice((2.0, 2.0, 3.0))))


def _between(zone: str, days: frozenset[int], opens: time, hours: float) -> Hours:
    return Hours(zone, days, opens, (datetime.combine(FIRST, opens) + timedelta(hours=hours)).time())


def a_world(apps: Sequence[App], seed: int, start: float) -> World:
    """The apps as they have run for a while, at `start` (epoch seconds)."""
    world = World(seed, CONDITIONS, start=start)
    for app in apps:
        world.add_app(app.name, "v1", app.pods, load=app.load, policy=app.policy)
        if app.kind == "blueGreen":
            world.testers["shop", f"{app.name}-preview"] = app.load / 3.0
    return world


@lru_cache(maxsize=SIZE)
def baseline_of(app: App) -> Baseline:
    """What the real learner makes of six hours of the app's own history."""
    world = a_world((app,), 1000 + app.number, _LEARNED_AT)
    world.step_to(world.now + 6 * 3600.0)
    policy = from_object(world.objects.items["ReleasePolicy", "shop", app.name])
    return learn_policy(Subject(policy, "shop", past.Past(world), SOURCE), world.now)


@lru_cache(maxsize=1)
def _week() -> tuple[LearnedBand, tuple[float, ...], tuple[float, ...]]:
    """The band of a week at the usual share of errors, and the week itself, in seconds before it ended."""
    world = World(7, CONDITIONS, start=_LEARNED_AT)
    band = past.a_band(world, "errors", world.ordinary.errors, Unit.SHARE)
    week = world.traffic.past["errors"]
    return band, tuple(world.now - at for at in week.times), week.values


def remember(world: World, app: App, release: str) -> None:
    """The baseline as it was learned this morning, with the band of a week, and the look at the last hour."""
    known, (band, ago, values) = baseline_of(app), _week()
    world.traffic.past["errors"] = Totals(tuple(world.now - seconds for seconds in ago), values)
    shifted = replace(known, learned_at=world.now - 6 * 3600.0, bands={**known.bands, "errors": band})
    uid = str(world.objects.items["Release", "shop", release]["metadata"]["uid"])
    past.keep(world, shifted, present=uid, name=app.name)
