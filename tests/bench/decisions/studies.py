"""What is studied: worlds with what is learned in them, and cells, which are kinds of releases with their goals.

A study simulates services. Each learns once from its own history, then releases many times. The goals are those that
the gates were built to reach; they were written down before the seeds of the published run were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from analysis.samples import Tally
from analysis.special import FloatArray
from tests.bench.decisions import fleets, learners
from tests.bench.decisions.fleets import PAY_SHIFTED, Batch, Harm
from tests.bench.decisions.judging import Adjusted
from tests.bench.decisions.learners import Lesson
from tests.bench.decisions.rows import FALSE_ROLLBACK, POWER
from tests.bench.worlds import BUSY, CLEAN, HEAVY, MODERATE, QUIET, World

SEGMENTS = 84
"""Distinct segments of history that 28 nights hold."""

LATE = 24
"""The look of a late onset: 40 % of the release; and of a very late one."""
VERY_LATE = 48

KEPT = "<= 0.01"
NOT_HARM = "<= 0.1"
MEDIAN = "median minutes"
P90 = "p90 minutes"
AT_MARGIN = "rolled back inside the margin"


HARMLESS = Harm()


class Kind(StrEnum):
    """What a release of a cell deserves."""

    HEALTHY = "healthy"
    MARGIN = "at the margin"
    HARMFUL = "harmful"


@dataclass(frozen=True, slots=True)
class Service:
    """One simulated service after it has learned.

    lesson: what its gate knows. usual: its error rate in each minute of history. harm: how its young pods fare.
    """

    lesson: Lesson
    usual: FloatArray
    world: World
    traits: Harm = HARMLESS


@dataclass(frozen=True, slots=True)
class Cell:
    """Releases of one kind. onset: the look at which the harm begins. goals: by figure, for our rule."""

    name: str
    kind: Kind
    draw: Callable[[np.random.Generator, Service, int], Batch]
    onset: int = 0
    goals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """Services of one sort and their releases. rivals: whether the rules of others run on them too."""

    group: str
    name: str
    teach: Callable[[np.random.Generator], Service]
    cells: tuple[Cell, ...]
    rivals: bool = True


def with_harm(harm: Harm) -> Callable[[np.random.Generator, Service, int], Batch]:
    """Releases of the service's own world with something wrong, on top of how its young pods fare."""

    def drawn(rng: np.random.Generator, service: Service, count: int) -> Batch:
        both = replace(harm, young=service.traits.young, young_seconds=service.traits.young_seconds)
        return fleets.releases_of(rng, service.world, both, count)

    return drawn


def usual_world(world: World, segments: int = SEGMENTS) -> Callable[[np.random.Generator], Service]:
    """A service that learns from so many segments of its own world."""

    def taught(rng: np.random.Generator) -> Service:
        history = fleets.history(rng, world, segments)
        return Service(learners.learned_errors(history, rng), usual_rate(history), world)

    return taught


def usual_rate(segments: tuple[Tally, ...]) -> FloatArray:
    """The whole fleet's error rate in each minute of history."""
    n = np.concatenate([one.exposure.sum(axis=0) for one in segments]).reshape(-1, 2).sum(axis=1)
    x = np.concatenate([one.events.sum(axis=0) for one in segments]).reshape(-1, 2).sum(axis=1)
    result: FloatArray = np.divide(x, n, out=np.full(n.shape, np.nan), where=n > 0.0)
    return result


def healthy(goal: str = KEPT) -> Cell:
    """Releases in which nothing is wrong."""
    return Cell("healthy", Kind.HEALTHY, with_harm(Harm()), goals={FALSE_ROLLBACK: goal} if goal else {})


def harmful(name: str, harm: Harm, **goals: str) -> Cell:
    """Releases with a harm; goals by short name: power, median, p90."""
    names = {"power": POWER, "median": MEDIAN, "p90": P90}
    return Cell(name, Kind.HARMFUL, with_harm(harm), harm.onset, {names[key]: goal for key, goal in goals.items()})


def margin() -> Cell:
    """Releases at the margin, which are to be tolerated."""
    return Cell("errors x1.25", Kind.MARGIN, with_harm(Harm(1.25)), goals={AT_MARGIN: NOT_HARM})


def _errors(world: World, x3: dict[str, str], late: dict[str, str], x10: dict[str, str]) -> Study:
    cells = (
        healthy(),
        margin(),
        harmful("errors x1.5", Harm(1.5)),
        harmful("errors x2", Harm(2.0)),
        harmful("errors x3", Harm(3.0), **x3),
        harmful("errors x3 from minute 12", Harm(3.0, onset=LATE), **late),
        harmful("errors x3 from minute 24", Harm(3.0, onset=VERY_LATE)),
        harmful("errors growing to x3 in 10 min", Harm(3.0, ramp=20)),
        harmful("errors x10", Harm(10.0), **x10),
        harmful("one pod x10 from minute 10", Harm(10.0, onset=20, one_pod=True)),
    )
    return Study("errors", world.name, usual_world(world), cells)


ERRORS = (
    _errors(CLEAN, {}, {}, {}),
    _errors(
        MODERATE,
        {"power": ">= 0.99", "median": "<= 7", "p90": "<= 13"},
        {"median": "<= 5.5"},
        {"median": "<= 1"},
    ),
    _errors(HEAVY, {"power": ">= 0.8"}, {"power": ">= 0.57"}, {}),
    _errors(QUIET, {"power": ">= 0.78"}, {"power": ">= 0.63"}, {}),
    _errors(BUSY, {}, {}, {}),
)


def _young(extra: float, cells: tuple[Cell, ...], name: str) -> Study:
    def taught(rng: np.random.Generator) -> Service:
        traits = Harm(young=extra, young_seconds=float(rng.uniform(120.0, 300.0)))
        history = fleets.history(rng, MODERATE, SEGMENTS)
        past = fleets.rollouts(rng, MODERATE, traits, 8)
        lesson = learners.learned_errors(history, rng, past)
        return Service(lesson, usual_rate(history), MODERATE, traits)

    return Study("young pods", name, taught, cells)


YOUNG = (
    _young(
        0.5,
        (healthy(), margin(), harmful("errors x3", Harm(3.0), median="<= 8"), harmful("errors x2", Harm(2.0))),
        "young pods x1.5",
    ),
    _young(2.0, (healthy(), harmful("errors x3", Harm(3.0))), "young pods x3"),
)


def _mixed() -> Study:
    def shifted(factor: float) -> Callable[[np.random.Generator, Service, int], Batch]:
        def drawn(rng: np.random.Generator, service: Service, count: int) -> Batch:
            return fleets.releases_of(rng, service.world, Harm(factor, pay=PAY_SHIFTED), count)

        return drawn

    def taught(rng: np.random.Generator) -> Service:
        history = fleets.history(rng, MODERATE, SEGMENTS, pay=True)
        return Service(learners.learned_errors(history, rng, routes=True), usual_rate(history), MODERATE)

    cells = (
        Cell("healthy", Kind.HEALTHY, shifted(1.0), goals={FALSE_ROLLBACK: KEPT}),
        Cell("errors x1.25", Kind.MARGIN, shifted(1.25), goals={AT_MARGIN: NOT_HARM}),
        Cell("errors x3", Kind.HARMFUL, shifted(3.0)),
    )
    return Study("route mix", "a labelled mix shifts by 15 points", taught, cells)


MIX = (_mixed(),)


def _present_only() -> Study:
    def taught(rng: np.random.Generator) -> Service:
        last = fleets.one_fleet(rng, [(360, MODERATE)])
        return Service(learners.learned_present(last, rng), usual_rate((last,)), MODERATE)

    return Study("thin history", "3 h of one fleet", taught, (healthy(), harmful("errors x3", Harm(3.0))))


THIN = (
    Study("thin history", "20 segments", usual_world(MODERATE, 20), (healthy(), harmful("errors x3", Harm(3.0)))),
    _present_only(),
)


def _changed(name: str, looks: int, goal: str = KEPT) -> Study:
    def taught(rng: np.random.Generator) -> Service:
        history = fleets.history(rng, MODERATE, SEGMENTS)
        last = fleets.one_fleet(rng, [(360 - looks, MODERATE), (looks, HEAVY)] if looks < 360 else [(360, HEAVY)])
        return Service(learners.learned_and_checked(history, last, rng), usual_rate(history), HEAVY)

    return Study("noise changed", name, taught, (healthy(goal), harmful("errors x3", Harm(3.0))))


CHANGED = (_changed("from S1 to S2 an hour before", 120), _changed("from S1 to S2 three hours before", 360))


def _stressed(name: str, drawn: Callable[[np.random.Generator, Service, int, Harm], Batch]) -> Study:
    def with_factor(factor: float) -> Callable[[np.random.Generator, Service, int], Batch]:
        return lambda rng, service, count: drawn(rng, service, count, Harm(factor))

    cells = (
        Cell("healthy", Kind.HEALTHY, with_factor(1.0), goals={FALSE_ROLLBACK: KEPT}),
        Cell("errors x3", Kind.HARMFUL, with_factor(3.0)),
    )
    return Study("stress", name, usual_world(MODERATE), cells)


def _with_outage(rng: np.random.Generator, service: Service, count: int, harm: Harm) -> Batch:
    healthy_fleets = fleets.draw(rng, service.world, fleets.release_layout(service.world), count)
    return fleets.errors(rng, fleets.outage(healthy_fleets, since=26, looks=10, factor=20.0), harm)


def _with_resets(rng: np.random.Generator, service: Service, count: int, harm: Harm) -> Batch:
    whole = fleets.releases_of(rng, service.world, harm, count)
    return whole.with_holes(fleets.resets(rng, whole, 0.02))


def _with_missing(rng: np.random.Generator, service: Service, count: int, harm: Harm) -> Batch:
    whole = fleets.releases_of(rng, service.world, harm, count)
    return whole.with_holes(fleets.missed_scrapes(rng, whole, 0.2))


def _without_errors() -> Study:
    spotless = replace(MODERATE, name="no errors at all", base=1e-12)

    def broken(rng: np.random.Generator, service: Service, count: int) -> Batch:
        # A contender that fails twice in a thousand requests where nothing ever failed.
        return fleets.releases_of(rng, service.world, Harm(2e9), count)

    cells = (healthy(), Cell("0.2 % errors", Kind.HARMFUL, broken))
    return Study("stress", spotless.name, usual_world(spotless), cells)


STRESS = (
    _stressed("an outage of all pods for 5 min", _with_outage),
    _stressed("2 % of pod-windows reset", _with_resets),
    _stressed("20 % of scrapes missing", _with_missing),
    _without_errors(),
)

STUDIES: tuple[Study, ...] = (*ERRORS, *YOUNG, *MIX, *THIN, *CHANGED, *STRESS)


def adjusted_by(service: Service, born: Mapping[str, float]) -> Adjusted | None:
    """What the service's gate makes of counts before it judges them."""
    return service.lesson.adjusted(born)
