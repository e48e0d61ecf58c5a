"""What is studied: worlds with what is learned in them, and cells, which are kinds of releases with their goals.

A study simulates services. Each learns once from its own history, then releases many times. The goals are those that
the gates were built to reach; they were written down before the seeds of the published run were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from analysis.comparisons import ratio
from analysis.learned import LearnedCounts
from analysis.samples import Frame, Groups, Tally
from analysis.special import FloatArray
from analysis.verdict import Verdict
from tests.bench.decisions import fleets, learners
from tests.bench.decisions.fleets import NOW, PAY_SHIFTED, Batch, Harm, Slowness
from tests.bench.decisions.judging import Judged, judged, judged_gates, judged_latency, percentile
from tests.bench.decisions.learners import Lesson
from tests.bench.decisions.rows import FALSE_ROLLBACK, OURS, POWER
from tests.bench.worlds import BUSY, CLEAN, HEAVY, LOOKS, MODERATE, QUIET, STAGES, WINDOW, World

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
EARLY = "called healthy early"


HARMLESS = Harm()


class Kind(StrEnum):
    """What a release of a cell deserves."""

    HEALTHY = "healthy"
    MARGIN = "at the margin"
    HARMFUL = "harmful"
    ADVANCED = "advanced early"


@dataclass(frozen=True, slots=True)
class Service:
    """One simulated service after it has learned.

    lessons: what each of its gates knows. usual: its error rate (or 95th percentile) in each minute of history. traits:
    how its young pods fare.
    """

    lessons: tuple[Lesson, ...]
    usual: FloatArray
    world: World
    traits: Harm = HARMLESS

    @property
    def standing(self) -> str:
        """What stands behind the first gate, in words."""
        return self.lessons[0].standing


Releases = Callable[[np.random.Generator, Service, int], Judged]
"""Draws so many releases of a service and asks every rule about them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Releases of one kind. onset: the look at which the harm begins. goals: by figure, for our rule."""

    name: str
    kind: Kind
    releases: Releases
    onset: int = 0
    goals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """Services of one sort and their releases.

    spread: by how much the same releases are spread over more services, where what a service has learned from little is
    most of what chance does to its rate.
    """

    group: str
    name: str
    teach: Callable[[np.random.Generator], Service]
    cells: tuple[Cell, ...]
    spread: int = 1


def erring(draw: Callable[[np.random.Generator, Service, int], Batch]) -> Releases:
    """Releases drawn this way, judged by the errorRatio gate and its rivals."""

    def releases(rng: np.random.Generator, service: Service, count: int) -> Judged:
        batch, lesson = draw(rng, service, count), service.lessons[0]
        return judged(batch, lesson.counts, service.usual, adjusted=lesson.adjusted(batch.layout.births()))

    return releases


def with_harm(harm: Harm) -> Releases:
    """Releases of the service's own world with something wrong, on top of how its young pods fare."""

    def drawn(rng: np.random.Generator, service: Service, count: int) -> Batch:
        both = replace(harm, young=service.traits.young, young_seconds=service.traits.young_seconds)
        return fleets.releases_of(rng, service.world, both, count)

    return erring(drawn)


def usual_world(world: World, segments: int = SEGMENTS) -> Callable[[np.random.Generator], Service]:
    """A service that learns from so many segments of its own world."""

    def taught(rng: np.random.Generator) -> Service:
        history = fleets.history(rng, world, segments)
        return Service((learners.learned_errors(history, rng),), usual_rate(history), world)

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
        return Service((lesson,), usual_rate(history), MODERATE, traits)

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
    def shifted(factor: float) -> Releases:
        harm = Harm(factor, pay=PAY_SHIFTED)
        return erring(lambda rng, service, count: fleets.releases_of(rng, service.world, harm, count))

    def taught(rng: np.random.Generator) -> Service:
        history = fleets.history(rng, MODERATE, SEGMENTS, pay=True)
        return Service((learners.learned_errors(history, rng, routes=True),), usual_rate(history), MODERATE)

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
        return Service((learners.learned_present(last, rng),), usual_rate((last,)), MODERATE)

    return Study("thin history", "3 h of one fleet", taught, (healthy(), harmful("errors x3", Harm(3.0))), spread=3)


THIN = (
    Study("thin history", "20 segments", usual_world(MODERATE, 20), (healthy(), harmful("errors x3", Harm(3.0)))),
    _present_only(),
)


def _changed(name: str, looks: int, goal: str = KEPT) -> Study:
    def taught(rng: np.random.Generator) -> Service:
        history = fleets.history(rng, MODERATE, SEGMENTS)
        last = fleets.one_fleet(rng, [(360 - looks, MODERATE), (looks, HEAVY)] if looks < 360 else [(360, HEAVY)])
        return Service((learners.learned_and_checked(history, last, rng),), usual_rate(history), HEAVY)

    return Study("noise changed", name, taught, (healthy(goal), harmful("errors x3", Harm(3.0))), spread=3)


CHANGED = (_changed("from S1 to S2 an hour before", 120), _changed("from S1 to S2 three hours before", 360))


def _stressed(name: str, drawn: Callable[[np.random.Generator, Service, int, Harm], Batch]) -> Study:
    def with_factor(factor: float) -> Releases:
        return erring(lambda rng, service, count: drawn(rng, service, count, Harm(factor)))

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

    cells = (healthy(), Cell("0.2 % errors", Kind.HARMFUL, erring(broken)))
    return Study("stress", spotless.name, usual_world(spotless), cells)


STRESS = (
    _stressed("an outage of all pods for 5 min", _with_outage),
    _stressed("2 % of pod-windows reset", _with_resets),
    _stressed("20 % of scrapes missing", _with_missing),
    _without_errors(),
)


def _latency(world: World, cells: tuple[Cell, ...]) -> Study:
    def taught(rng: np.random.Generator) -> Service:
        history = fleets.slow_history(rng, world, SEGMENTS)
        n = np.stack([one.tally.exposure.sum(axis=0) for one in history])
        slower = np.stack([one.slower.sum(axis=1) for one in history], axis=1)
        return Service((learners.learned_latency(history, rng),), percentile(n, slower).ravel(), world)

    return Study("latency", world.name, taught, cells)


def slowed(wrong: Slowness) -> Releases:
    """Releases whose contender may be slower, judged by the latency gate and its rivals."""

    def releases(rng: np.random.Generator, service: Service, count: int) -> Judged:
        drawn = fleets.draw(rng, service.world, fleets.release_layout(service.world), count)
        return judged_latency(fleets.latencies(rng, drawn, wrong), service.lessons[0].latency, service.usual)

    return releases


def _latency_cells(tail_goal: str, slower_goals: bool) -> tuple[Cell, ...]:
    slower = {POWER: ">= 0.995", MEDIAN: "<= 11"} if slower_goals else {}
    tail = {POWER: tail_goal} if tail_goal else {}
    return (
        Cell("healthy", Kind.HEALTHY, slowed(Slowness()), goals={FALSE_ROLLBACK: KEPT}),
        Cell("latency x1.08", Kind.MARGIN, slowed(Slowness(1.08)), goals={AT_MARGIN: NOT_HARM}),
        Cell("latency x1.15", Kind.HARMFUL, slowed(Slowness(1.15))),
        Cell("latency x1.3", Kind.HARMFUL, slowed(Slowness(1.3)), goals=slower),
        Cell("latency x2", Kind.HARMFUL, slowed(Slowness(2.0))),
        Cell("2 % slow tail", Kind.HARMFUL, slowed(Slowness(slow_share=0.02)), goals=tail),
    )


LATENCY = (
    _latency(CLEAN, _latency_cells("", slower_goals=True)),
    _latency(MODERATE, _latency_cells(">= 0.95", slower_goals=True)),
    _latency(QUIET, _latency_cells(">= 0.65", slower_goals=False)),
    _latency(BUSY, _latency_cells("", slower_goals=True)),
)

GATES = 8


def _eight() -> Study:
    """Eight gates with noise of their own on the same requests: the worst case for a promise per release."""

    def metrics(rng: np.random.Generator, drawn: fleets.Drawn) -> list[fleets.Drawn]:
        return [drawn, *(fleets.another_metric(rng, drawn.world, drawn) for _ in range(GATES - 1))]

    def taught(rng: np.random.Generator) -> Service:
        first = fleets.draw(rng, MODERATE, fleets.steady_layout(MODERATE.pods, LOOKS), SEGMENTS)
        histories = [fleets.segments_of(fleets.errors(rng, one, Harm())) for one in metrics(rng, first)]
        return Service(learners.learned_gates(histories, rng), usual_rate(histories[0]), MODERATE)

    def released(factor: float) -> Releases:
        def releases(rng: np.random.Generator, service: Service, count: int) -> Judged:
            first = fleets.draw(rng, MODERATE, fleets.release_layout(MODERATE), count)
            harms = [Harm(factor), *[Harm()] * (GATES - 1)]
            batches = [fleets.errors(rng, one, harm) for one, harm in zip(metrics(rng, first), harms, strict=True)]
            return judged_gates(batches, [one.counts for one in service.lessons], service.usual)

        return releases

    cells = (
        Cell("healthy", Kind.HEALTHY, released(1.0), goals={FALSE_ROLLBACK: KEPT}),
        Cell("errors x2 in one", Kind.HARMFUL, released(2.0), goals={POWER: ">= 0.75"}),
        Cell("errors x3 in one", Kind.HARMFUL, released(3.0), goals={POWER: ">= 0.97"}),
    )
    return Study("gates", "8 gates jointly", taught, cells)


EIGHT = (_eight(),)

ADVANCE_EVERY = 2
"""The verdict in words is asked for at every second look."""


def advanced(harm: Harm) -> Releases:
    """When the comparison itself first says Healthy, before it says Degraded, on releases of the usual plan."""

    def releases(rng: np.random.Generator, service: Service, count: int) -> Judged:
        batch, learned = fleets.releases_of(rng, service.world, harm, count), service.lessons[0].counts
        none = np.zeros((count, LOOKS))
        alarms = {} if learned is None else {OURS: np.array([_healthy_look(batch, k, learned) for k in range(count)])}
        return Judged(alarms, {}, none, none, none)

    return releases


def _healthy_look(batch: Batch, number: int, learned: LearnedCounts) -> float:
    layout, tally = batch.layout, batch.tally(number)
    groups = Groups(layout.names[: layout.contenders], layout.names[layout.contenders :], reporting=())
    for look in range(ADVANCE_EVERY, LOOKS + 1, ADVANCE_EVERY):
        # A stage settles when its pods join; what happened since then alone must not look like harm.
        joined = max(since for since, _ in STAGES if since < look)
        spans = tuple((NOW + a * WINDOW, NOW + b * WINDOW) for a, b in ((0, joined), (joined, look)) if b > a)
        seen = tally.keep_windows(np.arange(LOOKS) < look)
        said = ratio.judge(seen, learners.SETTINGS, Frame(groups, spans, WINDOW), learned).verdict
        if said in (Verdict.HEALTHY, Verdict.DEGRADED):
            return float(look) if said is Verdict.HEALTHY else 0.0
    return 0.0


def _advance(world: World) -> Study:
    cells = (
        Cell("healthy", Kind.ADVANCED, advanced(Harm())),
        Cell("errors x3", Kind.ADVANCED, advanced(Harm(3.0))),
    )
    return Study("early advance", world.name, usual_world(world), cells)


ADVANCE = (_advance(MODERATE), _advance(HEAVY), _advance(QUIET))

STUDIES: tuple[Study, ...] = (*ERRORS, *EIGHT, *YOUNG, *MIX, *THIN, *CHANGED, *LATENCY, *STRESS, *ADVANCE)
