"""Thirty apps as a platform team has them: strategies, sizes, zones, windows, and what each has learned of itself."""

from __future__ import annotations

from collections.abc import Mapping
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
from controller.requests import Source, Totals
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
FIRST, YEARS = date(2025, 1, 1), 3
_LEARNED_AT = 1_735_000_200.0
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True, eq=False)
class App:
    """One app of the fleet. `opens` and `closes` are wall-clock times in `zone`; `load` is in requests a second."""

    number: int
    strategy: Mapping[str, Any]
    pods: int
    load: float
    zone: str
    days: frozenset[int]
    opens: time
    closes: time
    on_close: str
    watched: str

    @property
    def kind(self) -> str:
        return next(iter(self.strategy))

    @property
    def policy(self) -> dict[str, Any]:
        """What its owner wrote."""
        days = ",".join(_WEEK[day] for day in sorted(self.days))
        spec = {
            **manifests.DEFAULT_SPEC,
            "target": {"deployment": "checkout"},
            "strategy": self.strategy,
            "observe": {"atLeast": "4m", "atMost": "25m", "onUndecided": "advance"},
            "window": {
                "days": days,
                "from": f"{self.opens:%H:%M}",
                "to": f"{self.closes:%H:%M}",
                "zone": self.zone,
                "onClose": self.on_close,
            },
            "watch": {"for": self.watched},
            "alerts": [{"match": {"service": "checkout", "severity": "page"}, "then": "rollBack"}],
        }
        return {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "ReleasePolicy",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": spec,
        }

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


@lru_cache(maxsize=1)
def fleet(seed: int) -> tuple[App, ...]:
    """The same fleet for the same seed."""
    rng = np.random.default_rng([seed, 100])
    apps = []
    for number in range(SIZE):
        batches = int(rng.integers(2, 4))
        strategies: tuple[Mapping[str, Any], ...] = (
            {"rolling": {"canary": 1, "batches": batches}},
            {"rolling": {"canary": 1, "batches": batches}},
            {"twin": {"canary": 1, "batches": batches}},
            {"twin": {"canary": 2, "batches": batches}},
            {"blueGreen": {"service": "checkout", "preview": "checkout-preview", "keep": "10m"}},
        )
        opens = time(int(rng.choice((22, 23, 0, 1, 2))), int(rng.choice((0, 30))))
        hours = float(rng.choice((2.5, 3.5, 5.0)))
        closes = (datetime.combine(date(2025, 1, 1), opens) + timedelta(hours=hours)).time()
        apps.append(
            App(
                number=number,
                strategy=strategies[number % len(strategies)],
                pods=int(rng.integers(4, 11)),
                load=float(rng.choice((30.0, 100.0, 300.0))),
                zone=ZONES[number % len(ZONES)],
                days=frozenset(range(4)) if rng.random() < 0.3 else frozenset(range(7)),
                opens=opens,
                closes=closes,
                on_close=str(rng.choice(("rollBack", "park", "finishLastBatch"))),
                watched=str(rng.choice(("20m", "40m"))),
            )
        )
    return tuple(apps)


def a_world(app: App, seed: int, start: float) -> World:
    """The app as it has run for a while, at `start` (epoch seconds)."""
    world = World(seed, CONDITIONS, start=start)
    world.add_app("checkout", "v1", app.pods, load=app.load, policy=app.policy)
    if app.kind == "blueGreen":
        world.testers["shop", "checkout-preview"] = app.load / 3.0
    return world


@lru_cache(maxsize=SIZE)
def baseline_of(app: App) -> Baseline:
    """What the real learner makes of six hours of the app's own history."""
    world = a_world(app, 1000 + app.number, _LEARNED_AT)
    world.step_to(world.now + 6 * 3600.0)
    policy = from_object(world.objects.items["ReleasePolicy", "shop", "checkout"])
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
    past.keep(world, shifted, present=uid)
