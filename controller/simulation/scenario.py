"""Runs scenario texts: the real controller over a world, events on time, and the story that comes out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from controller.attempt import parsed
from controller.record import RecordTooNew, batches_of, own_name
from controller.release.names import AppKey
from controller.release.record import Record
from controller.release.vocabulary import ENDS
from controller.requests.failure import Failure
from controller.requests.writes import WriteRecord
from controller.settings import Settings
from controller.simulation import autoscaling, manifests, outside, routing
from controller.simulation.driver import Driver, Meddle, Ticked
from controller.simulation.objects import Object, merged
from controller.simulation.pods import NEVER, Behaviour
from controller.simulation.scene import Scene
from controller.simulation.script import Event, ScenarioError, Script, read_script
from controller.simulation.story import Snapshot, Story, StoryResult, Turn, differences, turn_text
from controller.simulation.world import START, AfterWrite, Conditions, Trace, World
from policies.load import PolicyRefused, from_object, to_object
from policies.schema import ReleasePolicy

__all__ = ["OnStep", "Run", "ScenarioError", "read_script", "run_scenario", "simulate"]

OnStep = Callable[[Snapshot], None]


def simulate(policy: ReleasePolicy, text: str, file: str, seed: int, on_step: OnStep | None = None) -> StoryResult:
    """Run a user's policy through a scenario text.

    `on_step` hears of every tick of the release. Raises ScenarioError (`file:line: what`) for a text that cannot be
    read or that does not fit the policy.
    """
    script = read_script(text, file)
    return result_of(script, run_scenario(policy, script, seed, on_step=on_step))


def result_of(script: Script, story: Story, name: str = "") -> StoryResult:
    """A story beside what its script expects."""
    problems = tuple(f"{script.file}:{each}" for each in differences(script.expected, story))
    return StoryResult(
        story=name or script.proves or script.file,
        outcome=story.outcome,
        expected=tuple(line for _, line in script.expected),
        phases=story.phases,
        minutes=story.minutes,
        because=story.because,
        ok=not problems,
        turns=story.lines,
        problems=problems,
        releases=story.releases,
    )


def run_scenario(
    policy: ReleasePolicy | None,
    script: Script,
    seed: int,
    *,
    on_step: OnStep | None = None,
    meddle: Meddle | None = None,
    laws: tuple[AfterWrite, ...] = (),
    conditions: Conditions | None = None,
    name: str = "",
    settings: Settings | None = None,
) -> Story:
    """Run a script to its end. Without a policy, a default one with errors and latency is used.

    `meddle` and `laws` are for tests: faults of requests, and hooks after every write of the controller.
    """
    run = Run(
        policy,
        script,
        seed,
        on_step=on_step,
        meddle=meddle,
        laws=laws,
        conditions=conditions,
        name=name,
        settings=settings,
    )
    return run.to_end()


class Run:
    """A scenario under way. `to_end` runs it; `world`, `driver` and `scene` are open to tests before that."""

    def __init__(
        self,
        policy: ReleasePolicy | None,
        script: Script,
        seed: int,
        *,
        on_step: OnStep | None = None,
        meddle: Meddle | None = None,
        laws: tuple[AfterWrite, ...] = (),
        conditions: Conditions | None = None,
        name: str = "",
        settings: Settings | None = None,
    ) -> None:
        self.script = script
        self.name = name or script.file
        self.on_step = on_step
        self.policy = _policy(policy, script)
        spec = self.policy.spec
        self.namespace = self.policy.namespace or "shop"
        self.world = World(seed, conditions, script.begins if script.begins is not None else START)
        self.world.ordinary = Behaviour(errors=script.errors)
        self.world.add_app(
            spec.target.deployment,
            script.old,
            script.pods,
            namespace=self.namespace,
            load=script.load,
            min_ready=script.min_ready,
            policy=to_object(self.policy),
            container=spec.target.container or "app",
        )
        outside.furnish(self.world, spec, self.namespace)
        routing.furnish(self.world, spec, self.namespace)
        self.world.after_write += [self._watch, *laws]
        app = AppKey(self.namespace, self.policy.name)
        self.driver = Driver(self.world, settings, apps=(app,), meddle=meddle, on_tick=self._ticked)
        self.scene = Scene(self.world, self.driver, self.namespace, self.policy.name, spec.target.deployment)
        self.turns: list[Turn] = []
        self.series: list[Snapshot] = []
        self.records: dict[str, Record] = {}
        self.waiting: list[Event] = list(script.events)
        self.due: list[tuple[float, Event]] = []
        self._arm()
        self.views_from = len(self.world.views) - 1
        self._begin()

    def _begin(self) -> None:
        # What is set at the very start holds before the release is asked for.
        self._play()
        self.scene.push(self.script.new, **self.script.wish)

    # ------------------------------------------------------------------------------------------------ running

    def to_end(self, settled_for: float = 60.0) -> Story:
        """Run until all releases have ended, no event is left and the world was quiet, or until its time is over."""
        world, driver = self.world, self.driver
        limit = world.started + self.script.lasts
        rest, rested = world.now, False
        while world.now < limit and not rested:
            writes = len(world.trace)
            soonest = min((at for at, _ in self.due), default=NEVER)
            # Tick by tick: what happens at a turn happens before the next request of anybody.
            driver.run_to(min(limit, soonest, driver.next_due(), world.now + driver.settings.interval))
            played = self._play()
            if played or self.due or len(world.trace) != writes or not driver.ended:
                rest = world.now
            rested = world.now - rest >= settled_for
        return self._told(rested)

    def _arm(self) -> None:
        """Events whose time is known by now."""
        for event in list(self.waiting):
            since = 0.0 if not event.turn else next((t.at for t in self.turns if _names(event.turn, t)), None)
            if since is not None:
                self.waiting.remove(event)
                self.due.append((self.world.started + since + event.after, event))

    def _play(self) -> bool:
        """Let happen what is due. Raises ScenarioError where it cannot."""
        self._arm()
        ready = sorted((each for each in self.due if each[0] <= self.world.now), key=lambda each: each[1].line)
        for each in ready:
            self.due.remove(each)
            for act in each[1].acts:
                try:
                    act(self.scene)
                except ValueError as error:
                    raise ScenarioError(self.script.file, each[1].line, str(error)) from None
        return bool(ready)

    # ------------------------------------------------------------------------------------------------ watching

    def _watch(self, world: World, trace: Trace) -> None:
        """A record was written: is it a turn?"""
        if not isinstance(trace.request, WriteRecord) or isinstance(trace.answer, Failure) or trace.after is None:
            return
        name = trace.request.name
        try:
            after = parsed(trace.after).record
        except RecordTooNew:
            return
        before = self.records.get(name, Record())
        self.records[name] = after
        if text := turn_text(before, after):
            label = "" if name == self.scene.first else f"{name.removeprefix(f'{self.policy.name}-')}: "
            moved = (before.phase, before.stage) != (after.phase, after.stage)
            phase = text.rpartition("-> ")[2] if moved else ""
            self.turns.append(Turn(trace.at - world.started, label, text, phase))
            self._arm()

    def _ticked(self, ticked: Ticked) -> None:
        result = ticked.result
        if result.record is None or not result.release:
            return
        record, world = result.record, self.world
        pods, ready = self._sides(record)
        snapshot = Snapshot(
            story=self.name,
            minute=round((ticked.at - world.started) / 60.0, 2),
            release=result.release,
            phase=record.phase,
            held=record.held.reason.value if record.held is not None else "",
            batch=record.stage,
            batches=batches_of(record),
            stage=own_name(record),
            desired=record.desired,
            contender_pods=pods["contender"],
            contender_ready=ready["contender"],
            incumbent_pods=pods["incumbent"],
            incumbent_ready=ready["incumbent"],
            verdicts=tuple((v.gate, v.verdict.value, v.because) for v in record.verdicts),
            because=record.held.because if record.held is not None else record.because,
        )
        self.series.append(snapshot)
        if self.on_step is not None:
            self.on_step(snapshot)

    def _sides(self, record: Record) -> tuple[dict[str, int], dict[str, int]]:
        """Pods asked for, and pods that serve, by role."""
        scene, world = self.scene, self.world
        old, new = record.incumbent, record.contender
        cast = {
            "contender": new.name if new is not None else scene.slot("contender"),
            "incumbent": old.name if old is not None else scene.slot("incumbent"),
        }
        if cast["contender"] != cast["incumbent"]:
            sizes = {name: replicas for name, replicas, _ in scene.sizes()}
            pods = {role: sizes.get(name, 0) for role, name in cast.items()}
            return pods, {role: sum(pod.serving for pod in world.pods_of(name, self.namespace))
                          for role, name in cast.items()}  # fmt: skip
        known = {"contender": new.replica_sets if new is not None else (),
                 "incumbent": old.replica_sets if old is not None else ()}  # fmt: skip
        sets = scene.replica_sets(cast["incumbent"])
        if not known["incumbent"]:  # not looked at yet: all pods there are, but for the contender's
            known["incumbent"] = tuple(each.name for each in sets if each.name not in known["contender"])
        there = world.pods_of(cast["incumbent"], self.namespace)
        return (
            {role: sum(each.replicas for each in sets if each.name in names) for role, names in known.items()},
            {role: sum(pod.serving for pod in there if pod.state.replica_set in names)
             for role, names in known.items()},
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------ telling

    def _told(self, rested: bool) -> Story:
        records = {**self.records, **self.scene.records()}
        last = next(reversed(records.values()), Record())
        first = self.scene.first
        return Story(
            outcome=last.phase.value,
            turns=tuple(self.turns),
            ending=self._ending(rested),
            phases=tuple(
                (turn.phase, round(turn.at / 60.0, 1)) for turn in self.turns if turn.release == "" and turn.phase
            ),
            minutes=round(max((t.at for t in self.turns), default=0.0) / 60.0, 1),
            because=last.because,
            decisions=tuple(entry for record in records.values() for entry in record.decisions),
            series=tuple(self.series),
            rested=rested and all(r.phase in ENDS for r in records.values()) and bool(first),
            releases=tuple(obj for key, obj in sorted(self.world.objects.items.items()) if key[0] == "Release"),
        )

    def _ending(self, rested: bool) -> tuple[str, ...]:
        """What is left, and what everybody could see meanwhile."""
        sizes = ", ".join(f"{name} {pods}" for name, pods in self.scene.versions())
        least, most = self._extremes()
        lines = [f"pods: {sizes}" if sizes else "pods: none", f"ready never below {least}, pods never above {most}"]
        lines += [
            f"autoscaler: {autoscaling.told(obj)}"
            for (kind, space, _), obj in sorted(self.world.objects.items.items())
            if kind == "HorizontalPodAutoscaler" and space == self.namespace
        ]
        # A turn that is misspelt, or has another name in this strategy, would make a scenario that proves nothing.
        lines += [f"line {event.line} never happened: there was no turn {event.turn}" for event in self.waiting]
        return tuple(lines if rested else [*lines, f"not at rest after {self.script.lasts / 3600:g}h"])

    def _extremes(self) -> tuple[int, int]:
        """(fewest serving pods, most pods asked for by both slots) at any instant of the run."""
        least, most = self.script.pods, 0
        held = self.policy.spec.strategy.rolling is not None  # then the ReplicaSets say how many
        for view in self.world.views[self.views_from :]:
            serving = [pod for space, pod in view.pods if space == self.namespace and pod.ready and not pod.terminating]
            least = min(least, len(serving))
            asked = [
                sum(each.replicas for each in view.replica_sets.get(obj["metadata"]["uid"], ()))
                if held
                else int(obj["spec"]["replicas"])
                for (kind, space, _), obj in view.objects.items()
                if kind == "Deployment" and space == self.namespace
            ]
            most = max(most, sum(asked))
        return least, most


def _names(words: str, turn: Turn) -> bool:
    text = f"{turn.release}{turn.text}"
    return text == words or text.endswith(f"-> {words}")


def _policy(policy: ReleasePolicy | None, script: Script) -> ReleasePolicy:
    """The policy of the run: the given or the default one, with what the scenario changes in it."""
    obj: Object = dict(to_object(policy)) if policy is not None else manifests.policy(script.app)
    if policy is not None and script.app not in (policy.name, policy.spec.target.deployment):
        raise ScenarioError(
            script.file, script.line, f"found app {script.app}; the policy {policy.name} releases "
            f"{policy.spec.target.deployment}"
        )  # fmt: skip
    spec: Mapping[str, Any] = merged(copy.deepcopy(obj["spec"]), dict(script.policy))
    if script.strategy:
        kind = "rolling" if spec["strategy"].get("rolling") is not None else "twin"
        spec = merged(spec, {"strategy": {kind: dict(script.strategy)}})
    try:
        return from_object({**obj, "spec": spec})
    except PolicyRefused as error:
        raise ScenarioError(script.file, script.line, "; ".join(each.message for each in error.errors)) from None
