"""The past of a simulated app: its store asked by the real learner, and baselines put into the world."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from analysis.band import LearnedBand
from analysis.band_terms import Series, Unit
from analysis.learned import NotLearned
from analysis.learning.band import learn_band
from controller.baseline import Baseline, Present, learning_digest, to_object
from controller.learning.asks import (
    Alerts,
    FetchAlerts,
    FetchLevels,
    FetchPods,
    FetchPresence,
    PodSeries,
    Presence,
    Scope,
    Unfetched,
)
from controller.learning.gather import Subject
from controller.learning.learn import learn_policy
from controller.requests.fetches import Counts, FetchCounts, FetchReadings, FetchTotals, Totals
from controller.settings import Source
from controller.simulation.world import World
from policies.schema import ReleasePolicy, Selector

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Past:
    """The store of a world, as the learner asks it."""

    world: World

    def pods(self, ask: FetchPods | FetchLevels) -> PodSeries | Unfetched:
        """One series per pod."""
        sets, stretch = self._replica_sets(ask.scope.deployments), ask.stretch
        if isinstance(ask, FetchLevels):
            question: FetchCounts | FetchReadings = FetchReadings(
                "default", ask.gate, ask.query, "shop", "pod", sets, stretch.start, stretch.end, stretch.step
            )
        else:
            question = FetchCounts(
                "default", ask.gate, ask.term, ask.selector, "shop", "namespace", "pod", sets,
                stretch.start, stretch.end, stretch.step, stretch.fresh,
            )  # fmt: skip
        found = self.world.traffic.fetch(question)
        assert isinstance(found, Counts)
        return PodSeries(found.series)

    def presence(self, ask: FetchPresence) -> Presence | Unfetched:
        """From which ReplicaSets there were pods, by their requests."""
        counted = self.pods(FetchPods(ask.scope, ask.gate, "requests", ask.selector, ask.stretch))
        assert isinstance(counted, PodSeries)
        pods: dict[str, dict[float, int]] = {}
        for one in counted.series:
            times = pods.setdefault(one.pod.rpartition("-")[0], {})
            for at in one.times:
                times[at] = times.get(at, 0) + 1
        return Presence({name: tuple(sorted(times.items())) for name, times in pods.items()})

    def alerts(self, ask: FetchAlerts) -> Alerts | Unfetched:
        """Nothing ever fires in a simulated world."""
        return Alerts({})

    def totals(self, ask: FetchTotals) -> Totals | Unfetched:
        """One number for the whole app."""
        found = self.world.traffic.fetch(ask)
        assert isinstance(found, Totals)
        return found

    def diagnose(self, scope: Scope, gate: str, selector: Selector, at: float, fresh: float) -> Unfetched | None:
        """Nothing is ever the matter with a simulated store."""

    def _replica_sets(self, deployments: tuple[str, ...]) -> tuple[str, ...]:
        names = {pod.rpartition("-")[0] for pod in self.world.traffic.samples}
        return tuple(sorted(name for name in names if name.rpartition("-")[0] in deployments))


def learned(world: World, policy: ReleasePolicy, *, hours: float = 3.0) -> Baseline:
    """Lets the world go on for some hours and learns from them with the real learner."""
    world.step_to(world.now + hours * HOUR)
    return learn_policy(Subject(policy, "shop", Past(world), Source()), world.now)


def keep(world: World, baseline: Baseline, *, present: str = "", name: str = "checkout") -> None:
    """Puts a baseline into the world, in the place of the one that is there; `present`: the uid of a release."""
    if present:
        baseline = replace(baseline, present=Present(present, world.now))
    manifest = to_object(baseline, namespace="shop", name=name, policy_uid="")
    if ("Baseline", "shop", name) in world.objects.items:
        world.delete("Baseline", name)
    world.create(manifest)
    world.edit("Baseline", name, {"status": manifest["status"]}, status=True)


def an_empty_baseline(policy: ReleasePolicy, at: float, bands: dict[str, LearnedBand | NotLearned]) -> Baseline:
    """A baseline of bands alone: history, but no replays."""
    gates = {gate.name: NotLearned("TooLittleHistory", "no segment of history") for gate in policy.spec.gates}
    return Baseline(learning_digest(policy, 30.0), at, 30.0, at - 86_400.0, at, 1.0, gates=gates, bands=dict(bands))


def a_band(world: World, gate: str, level: float, unit: Unit, *, days: int = 7, noise: float = 0.05) -> LearnedBand:
    """A band of a number that was at `level` for some days, and the same days in the store of the world."""
    rng = np.random.default_rng(7)
    end = math.floor(world.now / 300.0) * 300.0
    values = level * np.exp(rng.normal(0.0, noise, days * 288))
    series = Series(end - 300.0 * (values.size - 1), values)
    band = learn_band(series, unit)
    assert isinstance(band, LearnedBand), band
    times = series.start + 300.0 * np.arange(values.size)
    world.traffic.past[gate] = Totals(tuple(times.tolist()), tuple(values.tolist()))
    return band
