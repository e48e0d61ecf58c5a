"""The scheduler, and the only clock: ticks of many apps and trains side by side, of one of them never two at once.

Each app has one job. While a release is under way it runs every interval; otherwise only in a slow round that catches
what no change announced. A change in the cluster, or a tick that says "again soon", moves the next run forward.

What goes wrong in one app stays in that app: an exception is caught, counted and logged with the app's name, and after
three identical ones the app is asked less and less often (`rhythm`), while every other app keeps its ticks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from controller.clock import Clock
from controller.cluster.cache import Kind
from controller.learning.learner import Learner
from controller.night.train_tick import train_tick
from controller.performing import Performer, Turn
from controller.release.names import AppKey, Key, TrainKey
from controller.report import Report
from controller.rhythm import COOL_DOWN, MOST_WRITES, Round
from controller.roster import Roster
from controller.settings import Settings
from controller.tick import tick

HEARTBEAT = 15.0  # seconds; also the longest time for which the scheduler may sleep through a step of the wall clock
RESYNC = 300.0  # seconds between ticks of an app without a release under way
MIN_GAP = 0.5  # seconds between the end of a tick and one that a change asks for: pods become ready in swarms
MOST_LESSONS = 100  # pieces of learning in a row; the next round goes on
_JUMP = 2.0  # seconds by which the wall clock may drift from the steady one before all jobs are set anew


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))


Tick = Callable[[Key, float, Settings], Turn]


def tick_of(key: Key, now: float, settings: Settings) -> Turn:
    """One step of an app, or of a train."""
    return train_tick(key, now) if isinstance(key, TrainKey) else tick(key, now, settings)


class Loop:
    """Ticks every app of a roster.

    `settings.interval` and `resync` are seconds; `workers` ticks run at the same time at most. `learner` keeps the
    baselines beside them.
    """

    def __init__(
        self,
        performer: Performer,
        roster: Roster,
        clock: Clock,
        settings: Settings,
        report: Report,
        *,
        resync: float = RESYNC,
        workers: int = 8,
        ticks: Tick = tick_of,
        learner: Learner | None = None,
    ) -> None:
        self._performer = performer
        self._roster = roster
        self._clock = clock
        self._settings = settings
        self._report = report
        self._resync = max(resync, settings.interval)
        self._ticks = ticks
        self._learner = learner
        self._lock = threading.Lock()
        self._rounds: dict[Key, Round] = {}
        self._beat = clock.monotonic()
        self._offset = self._drift()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            daemon=True,
            executors={
                "default": ThreadPoolExecutor(workers),
                "heartbeat": ThreadPoolExecutor(1),
                "learner": ThreadPoolExecutor(1),
            },
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(self._job_event, EVENT_JOB_MISSED | EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_listener(self._job_ran, EVENT_JOB_EXECUTED)

    # --------------------------------------------------------------------------------------- life and death

    def start(self) -> None:
        """Begins to tick. The roster's copies must be complete."""
        self._scheduler.add_job(
            self._heartbeat, IntervalTrigger(seconds=HEARTBEAT, timezone=UTC), id="heartbeat", executor="heartbeat"
        )
        if self._learner is not None:
            # In a thread of its own, so that a store that answers slowly about weeks keeps no tick waiting.
            self._scheduler.add_job(
                self._learn,
                IntervalTrigger(seconds=self._settings.interval, timezone=UTC),
                id="learner",
                executor="learner",
            )
        self._performer.start()
        self._scheduler.start()
        self.enrol()

    def stop(self, patience: float) -> bool:
        """No write begins any more. Waits `patience` seconds for calls under way -> whether all of them ended."""
        self._performer.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        until = self._clock.monotonic() + patience
        with self._lock:
            rounds = list(self._rounds.values())
        for one in rounds:
            if not one.running.acquire(timeout=max(0.0, until - self._clock.monotonic())):
                return False
            one.running.release()
        return True

    @property
    def alive(self) -> bool:
        """Whether the scheduler still runs its jobs."""
        return self._scheduler.running and self._clock.monotonic() - self._beat < 3 * HEARTBEAT

    def mind_clock(self) -> None:
        """Sets all jobs anew when the wall clock was moved: the scheduler counts in wall time. Ask every second."""
        offset = self._drift()
        if abs(offset - self._offset) < _JUMP:
            return
        self._report.clock_moved(offset - self._offset)
        self._offset = offset
        for job in self._scheduler.get_jobs():
            self._bring_forward(job.id, 0.0)
        self._scheduler.wakeup()

    def _drift(self) -> float:
        """Wall time less the steady one; read again if the process stood still between the two."""
        while True:
            before = self._clock.monotonic()
            wall = self._clock.now()
            if self._clock.monotonic() - before < _JUMP / 2:
                return wall - before

    def _heartbeat(self) -> None:
        self._beat = self._clock.monotonic()
        self.enrol()

    # ------------------------------------------------------------------------------------------- who is due

    def enrol(self) -> None:
        """Gives every app its job, and takes it from apps that are gone."""
        with self._lock:
            known = tuple(self._rounds)  # an app that comes while the copies are read is not gone
        apps = self._roster.refresh()
        with self._lock:
            gone = [app for app in known if app not in apps]
            new = [app for app in apps if app not in self._rounds]
            for app in gone:
                del self._rounds[app]
            for app in new:
                self._rounds[app] = Round(active=apps[app])
        for app in gone:
            self._report.gone(app)
            try:
                self._scheduler.remove_job(str(app))
            except JobLookupError:
                continue
        for place, app in enumerate(new):
            # Releases under way first; the others one after the other, not in one burst.
            self._employ(app, active=apps[app], within=0.0 if apps[app] else 0.05 * place)
        for app, active in apps.items():
            if self._pace(app, active=active) and not active:
                # No tick has seen its release end: the release is gone, and its claims may have stayed.
                self._bring_forward(str(app), self._settings.interval)

    def changed(self, kind: Kind, namespace: str, name: str, obj: Any) -> None:
        """A change in the cluster, from a watch; wakes the app that it concerns."""
        app = self._roster.concerned(kind, namespace, name, obj)
        if app is not None:
            self.wake(app)
            if kind is Kind.RELEASE and self._learner is not None:
                self._bring_forward("learner", MIN_GAP)  # it may wait for the look at the last hour

    def wake(self, app: Key) -> None:
        """Ticks an app as soon as it may."""
        with self._lock:
            one = self._rounds.get(app)
            known = one is not None
            if one is None:
                if not self._scheduler.running:
                    return
                one = self._rounds[app] = Round()
        if not known:
            self._employ(app, active=self._roster.active(app), within=0.0)
            return
        now = self._clock.monotonic()
        with self._lock:
            if one.running.locked():
                one.woken = True
                return
            at = max(now, one.ended + MIN_GAP, one.rest_until)
            if one.due and one.due <= at and one.due > now:
                return
            one.due = at
        self._run_when_due(str(app), one)

    def _employ(self, app: Key, *, active: bool, within: float) -> None:
        self._scheduler.add_job(
            self._run,
            self._trigger(active),
            args=(app,),
            id=str(app),
            replace_existing=True,
            next_run_time=self._in(within),
        )

    def _trigger(self, active: bool) -> IntervalTrigger:
        seconds = self._settings.interval if active else self._resync
        return IntervalTrigger(seconds=seconds, timezone=UTC, jitter=seconds / 10)

    def _pace(self, app: Key, *, active: bool) -> bool:
        """Ticks in the rhythm of a release, or of none -> whether that changed the job's rhythm."""
        with self._lock:
            one = self._rounds.get(app)
            if one is None or one.active == active:
                return False
            one.active = active
        try:
            self._scheduler.reschedule_job(str(app), trigger=self._trigger(active))
        except JobLookupError:
            self._employ(app, active=active, within=0.0)
        return True

    def _bring_forward(self, job: str, seconds: float) -> None:
        try:
            self._scheduler.modify_job(job, next_run_time=self._in(seconds))
        except JobLookupError:
            return  # the app went away in this moment

    def _run_when_due(self, job: str, one: Round) -> None:
        """Sets the next run to when it was asked for. Two may ask at once: what is written last is the latest word."""
        due = 0.0
        while True:
            with self._lock:
                if one.due in (0.0, due):
                    return
                due = one.due
            self._bring_forward(job, due - self._clock.monotonic())

    def _in(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC) + timedelta(seconds=max(0.0, seconds))

    # ------------------------------------------------------------------------------------------------ a tick

    def _run(self, app: Key) -> None:
        with self._lock:
            one = self._rounds.get(app)
        if one is None or self._performer.stopping() or not one.running.acquire(blocking=False):
            return
        began = self._clock.monotonic()
        again: float | None = None
        try:
            with self._lock:
                one.woken, one.due, one.began = False, 0.0, self._clock.now()
            again = self._tick(app, one, began)
        finally:
            with self._lock:
                # Together, so that a change sees either a tick that will look again, or none.
                one.ended = self._clock.monotonic()
                if one.woken:
                    soon = max(MIN_GAP, one.rest_until - one.ended)
                    again = soon if again is None else min(again, soon)
                one.due = one.ended + again if again is not None else 0.0
                one.running.release()
        with self._lock:
            gone = app not in self._rounds
        if gone:
            self._report.gone(app)  # it went while it was ticked, and the tick has told of it since
        elif again is not None and not self._performer.stopping():
            self._run_when_due(str(app), one)

    def _tick(self, app: Key, one: Round, began: float) -> float | None:
        """Seconds until the next tick, or None for the job's own rhythm."""
        try:
            result = self._performer.drive(self._ticks(app, self._clock.now(), self._settings))
        except Exception as error:
            one.failed(f"{type(error).__name__}: {error}")
            rest = one.rest(self._clock.monotonic(), self._settings.interval)
            self._report.crashed(app, error, one.times, rest)
            return rest
        seconds = self._clock.monotonic() - began
        if result is None:
            return None  # stopped in the middle; the next process goes on from what it sees
        active = self._roster.active(app) if result.record is None else not result.record.ended or result.record.watched
        self._pace(app, active=active)
        if result.failure is not None:
            one.failed(f"{result.failure.kind}: {result.failure.message}")
        else:
            one.went_well()
        self._report.ticked(app, result, seconds, one.times)
        if one.is_hot(self._clock.monotonic(), result.wrote):
            self._report.hot(app, MOST_WRITES)
            return COOL_DOWN
        return one.again_in(result, self._settings.interval, self._resync, active=active)

    def _learn(self) -> None:
        """Everything that is due, one piece after the other."""
        assert self._learner is not None
        for _ in range(MOST_LESSONS):
            if self._performer.stopping() or not self._learner.turn(self._performer.stopping):
                return

    # ----------------------------------------------------------------------------------- the scheduler's word

    def _job_event(self, event: Any) -> None:
        words = {EVENT_JOB_MISSED: "missed", EVENT_JOB_ERROR: "error", EVENT_JOB_MAX_INSTANCES: "overrun"}
        self._report.job_event(words[event.code], event.job_id)
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._skipped(event.job_id)

    def _skipped(self, job: str) -> None:
        """A run was due before the scheduler had taken note that the last one was over: what it was for still waits."""
        with self._lock:
            one = self._rounds.get(_key_of(job))
            if one is None or not one.due:
                return  # gone, or an interval that went by during a long tick
            one.due = max(self._clock.monotonic() + MIN_GAP, one.rest_until)
        self._run_when_due(job, one)

    def _job_ran(self, event: Any) -> None:
        key = _key_of(event.job_id)
        with self._lock:
            # Under the lock: what is told of an app must not come after the word that it is gone.
            if (one := self._rounds.get(key)) is not None:
                self._report.late(key, one.began - event.scheduled_run_time.timestamp())


def _key_of(job: str) -> Key:
    """The app or train of a job. The jobs that belong to none have no slash in their names, and no round."""
    namespace, _, name = job.partition("/")
    return TrainKey(namespace, name[6:]) if name.startswith("train/") else AppKey(namespace, name)
