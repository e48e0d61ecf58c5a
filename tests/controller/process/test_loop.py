"""The loop: many apps side by side, none of them twice at once, and a fault that stays where it is."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from controller.attempt import TickResult
from controller.cluster.cache import Kind
from controller.loop import SystemClock
from controller.release.names import AppKey
from controller.release.record import Held, Record
from controller.release.vocabulary import HoldReason, Phase
from controller.report import Report
from controller.requests import Answer, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPolicy
from controller.requests.writes import DeleteRelease, WriteEvent, WriteRecord
from controller.rhythm import LONGEST_BACKOFF, MOST_HURRY, MOST_WRITES, SAME, rest_after
from tests.controller.process.apps import (
    CHECKOUT,
    SEARCH,
    Copies,
    Shell,
    Ticking,
    Times,
    eventually,
    policy,
    quiet,
    release,
    running,
)


def under_way(*apps: str) -> Copies:
    """Apps with a release each."""
    return Copies(*(policy(app) for app in apps), releases=tuple(release(f"{app}-1", app, "Batch") for app in apps))


def metric(report: Report, name: str, **labels: str) -> float:
    value = report.metrics.registry.get_sample_value(name, labels)
    return 0.0 if value is None else value


# H8: one app's tick raises at every turn. The other app must not notice.
def test_an_exception_in_one_app_leaves_the_ticks_of_the_others_alone() -> None:
    times, report = Times(), Report()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        if app == CHECKOUT:
            raise ZeroDivisionError("a bug of ours")
        return (yield from quiet(app))

    with running(under_way("checkout", "search"), ticks, interval=0.1, report=report):
        eventually(lambda: times.count(SEARCH) >= 12 and times.count(CHECKOUT) >= SAME + 3)
    broken = times.of(CHECKOUT)
    eventually(lambda: metric(report, "nightferry_tick_exceptions_total") == times.count(CHECKOUT))
    # After three identical ones it rests longer each time: 0.2 s, 0.4 s, 0.8 s instead of 0.1 s.
    for number, (one, following) in enumerate(pairwise(broken), 1):
        if number >= SAME:
            assert following - one >= 0.99 * rest_after(number, 0.1)


def test_a_fault_that_lasts_for_days_has_its_longest_rest() -> None:
    rests = [rest_after(times, 10.0) for times in (SAME, SAME + 1, SAME + 2, 20, 5000)]
    assert rests == [20.0, 40.0, 80.0, LONGEST_BACKOFF, LONGEST_BACKOFF]


def test_an_app_whose_fault_passes_ticks_as_before() -> None:
    times = Times()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        if times.count(app) <= 2:
            raise RuntimeError("once or twice")
        return (yield from quiet(app))

    with running(under_way("checkout"), ticks, interval=0.1):
        eventually(lambda: times.count(CHECKOUT) >= 8)


# H10: a tick that takes longer than the interval is skipped over, never doubled and never queued.
def test_no_app_is_ever_ticked_twice_at_once() -> None:
    inside, most, times = 0, 0, Times()
    lock = threading.Lock()

    def ticks(app: AppKey) -> Ticking:
        nonlocal inside, most
        times.note(app)
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.35)
        with lock:
            inside -= 1
        return (yield from quiet(app))

    report = Report()
    with running(under_way("checkout"), ticks, interval=0.1, report=report) as loop:
        for _ in range(30):
            loop.wake(CHECKOUT)
            threading.Event().wait(0.03)
        eventually(lambda: times.count(CHECKOUT) >= 3)
    assert most == 1
    assert metric(report, "nightferry_job_faults_total", fault="missed") == 0


def test_a_slow_app_does_not_delay_another_one() -> None:
    times, over = Times(), threading.Event()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        if app == CHECKOUT:
            over.wait(60.0)
        return (yield from quiet(app))

    with running(under_way("checkout", "search"), ticks, interval=0.1):
        eventually(lambda: times.count(CHECKOUT) == 1)
        before = times.count(SEARCH)
        try:
            eventually(lambda: times.count(SEARCH) >= before + 8)
            assert times.count(CHECKOUT) == 1, "it is in its first tick all the time"
        finally:
            over.set()


def test_an_app_without_a_release_is_woken_by_one_and_by_little_else() -> None:
    times, copies = Times(), Copies(policy("checkout"))

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        active = any((one.get("status") or {}).get("phase") != "Succeeded" for one in copies.releases)
        record = Record() if active else None
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, record=record)

    with running(copies, ticks, interval=0.15) as loop:
        eventually(lambda: times.count(CHECKOUT) == 1)
        threading.Event().wait(0.5)
        assert times.count(CHECKOUT) == 1, "an idle app rests until the slow round"
        asked = release("checkout-1", "checkout")
        copies.releases.append(asked)
        loop.changed(Kind.RELEASE, "shop", "checkout-1", asked)
        eventually(lambda: times.count(CHECKOUT) >= 2)  # within half of a slow round
        eventually(lambda: times.count(CHECKOUT) >= 5)  # now in the rhythm of a release


# The API server did not answer when the app was looked at: whatever that hid is not left to the slow round.
def test_an_idle_app_that_could_not_be_looked_at_is_tried_again_soon() -> None:
    times, copies = Times(), Copies(policy("checkout"))

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield ReadPolicy(app.namespace, app.policy)
        return (
            TickResult(app, failure=Failure(FailureKind.NO_KIND, "no such kind"))
            if times.count(app) < 3
            else TickResult(app)
        )

    with running(copies, ticks, interval=0.1):
        eventually(lambda: times.count(CHECKOUT) == 3)
        threading.Event().wait(0.8)
        assert times.count(CHECKOUT) == 3, "and once it was looked at it rests"


# A Release object was deleted, and no watch told of it: what it left behind is looked for at once.
def test_an_app_whose_release_vanished_is_looked_at_once_more() -> None:
    times, copies = Times(), under_way("checkout")
    with running(copies, lambda app: _noted(times, app), interval=0.3) as loop:
        eventually(lambda: times.count(CHECKOUT) >= 2)
        copies.releases.clear()
        without = time.monotonic()
        loop.enrol()
        eventually(lambda: times.of(CHECKOUT)[-1] > without)
        eventually(lambda: times.rests(CHECKOUT, 1.2))  # four times its rhythm under a release


def test_a_release_that_nobody_announced_is_found_in_the_next_round() -> None:
    times, copies = Times(), Copies()
    with running(copies, lambda app: _noted(times, app), interval=0.1) as loop:
        copies.policies.append(policy("checkout"))
        loop.enrol()
        eventually(lambda: times.count(CHECKOUT) == 1)
        copies.releases.append(release("checkout-1", "checkout", "Canary"))
        loop.enrol()
        eventually(lambda: times.count(CHECKOUT) >= 4)


# Everything is read anew at the moment in which a policy arrives: its app must not wait for the next round.
def test_an_app_that_arrives_while_everything_is_read_anew_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    times, report, copies, gone = Times(), Report(), Copies(policy("checkout")), list[AppKey]()
    with running(copies, lambda app: _noted(times, app), report=report) as loop:
        read = copies.read_all

        def arrives(kind: Kind, namespace: str | None = None) -> Any:
            if kind is Kind.RELEASE:
                copies.policies.append(policy("search"))
                loop.changed(Kind.POLICY, "shop", "search", policy("search"))
            return read(kind, namespace)

        monkeypatch.setattr(copies, "read_all", arrives)
        monkeypatch.setattr(report, "gone", gone.append)
        loop.enrol()
        eventually(lambda: times.count(SEARCH) >= 1)
    assert gone == []


def test_an_app_that_is_gone_is_ticked_no_more() -> None:
    times, copies = Times(), under_way("checkout", "search")
    report = Report()
    with running(copies, lambda app: _noted(times, app), interval=0.1, report=report) as loop:
        eventually(lambda: times.count(CHECKOUT) >= 2)
        eventually(lambda: b'app="checkout"' in report.metrics.text())
        del copies.policies[0], copies.releases[0]
        loop.enrol()
        before, others = times.count(CHECKOUT), times.count(SEARCH)
        eventually(lambda: times.count(SEARCH) >= others + 4)
        assert times.count(CHECKOUT) <= before + 1, "one was under way"
    assert b'app="checkout"' not in report.metrics.text()


# The policy is deleted while its app is ticked, and the tick tells of a hold: no metric may speak of it for ever.
def test_what_a_tick_tells_of_an_app_that_went_meanwhile_is_forgotten() -> None:
    entered, go, report = threading.Event(), threading.Event(), Report()
    held = Record(phase=Phase.CANARY, held=Held(HoldReason.BLIND, 0.0, None, "rollBack", "no data"))
    copies = under_way("checkout")

    def ticks(app: AppKey) -> Ticking:
        yield ReadPolicy(app.namespace, app.policy)
        entered.set()
        go.wait(60.0)
        return TickResult(app, record=held)

    with running(copies, ticks, report=report) as loop:
        assert entered.wait(60.0)
        copies.policies.clear()
        copies.releases.clear()
        loop.enrol()
        go.set()
        eventually(lambda: metric(report, "nightferry_ticks_total", outcome="quiet") == 1)
        eventually(lambda: b'app="checkout"' not in report.metrics.text())


def _noted(times: Times, app: AppKey) -> Ticking:
    times.note(app)
    return (yield from quiet(app))


def test_again_soon_comes_soon() -> None:
    times = Times()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, record=Record(), wrote=1, again_in=0.1)

    with running(under_way("checkout"), ticks, interval=30.0):
        eventually(lambda: times.count(CHECKOUT) >= 5)


# K32: a tick that asks for the next one and moves nothing is a loop without an end.
def test_hurry_without_a_write_ends_in_the_usual_rhythm() -> None:
    times = Times()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, record=Record(), again_in=0.1)

    with running(under_way("checkout"), ticks, interval=30.0):
        eventually(lambda: times.count(CHECKOUT) > MOST_HURRY)
        threading.Event().wait(0.6)
        assert times.count(CHECKOUT) == MOST_HURRY + 1


# K32: whatever the reason, an app that writes like mad is held, with an alarm.
def test_an_app_that_writes_too_much_rests() -> None:
    times, report = Times(), Report()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, record=Record(), wrote=MOST_WRITES // 2, again_in=0.1)

    with running(under_way("checkout"), ticks, interval=30.0, report=report) as loop:
        eventually(lambda: metric(report, "nightferry_write_cap_hits_total") == 1)
        before = times.count(CHECKOUT)
        loop.wake(CHECKOUT)
        threading.Event().wait(0.8)
        assert times.count(CHECKOUT) == before == 3


def test_a_race_lost_again_and_again_gets_no_hurry() -> None:
    times = Times()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, failure=Failure(FailureKind.CONFLICT, "somebody wrote"), again_in=0.1, wrote=0)

    with running(under_way("checkout"), ticks, interval=30.0):
        eventually(lambda: times.count(CHECKOUT) == SAME)
        threading.Event().wait(0.6)
        assert times.count(CHECKOUT) == SAME


def test_a_change_during_a_tick_is_looked_at_after_it() -> None:
    times, entered, go = Times(), threading.Event(), threading.Event()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        entered.set()
        go.wait(60.0)
        return (yield from quiet(app))

    with running(under_way("checkout"), ticks, interval=30.0) as loop:
        entered.wait(60.0)
        loop.wake(CHECKOUT)
        go.set()
        eventually(lambda: times.count(CHECKOUT) == 2)


# H10: the tick asks for a late look, as one does whose notice waits for its notifier; the change must not wait for it.
def test_a_change_during_a_tick_is_not_put_off_by_what_the_tick_asks_for() -> None:
    times, entered, go = Times(), threading.Event(), threading.Event()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        entered.set()
        go.wait(60.0)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, again_in=50.0)

    with running(Copies(policy("checkout")), ticks) as loop:
        entered.wait(60.0)
        loop.wake(CHECKOUT)
        go.set()
        eventually(lambda: times.count(CHECKOUT) == 2)


# H10: on a busy machine a run is due before the scheduler knows that the last one is over, and it skips it.
def test_a_change_is_not_lost_while_a_tick_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    times, report = Times(), Report()
    arranged, at_its_end, go = (threading.Event() for _ in range(3))

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        arranged.wait(60.0)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, again_in=50.0)

    with running(Copies(policy("checkout")), ticks, report=report) as loop:
        forward = loop._bring_forward

        def slowly(job: str, seconds: float) -> None:
            if seconds > 40.0 and not go.is_set():
                at_its_end.set()
                go.wait(60.0)
            forward(job, seconds)

        monkeypatch.setattr(loop, "_bring_forward", slowly)
        arranged.set()
        assert at_its_end.wait(60.0)
        loop.wake(CHECKOUT)
        eventually(lambda: metric(report, "nightferry_job_faults_total", fault="overrun") >= 1)
        go.set()
        eventually(lambda: times.count(CHECKOUT) >= 2)


# The same of an app that rests: what was skipped waits for the end of its rest.
def test_a_run_that_was_skipped_keeps_the_rest() -> None:
    copies = under_way("checkout")
    with running(copies, quiet, interval=60.0) as loop:
        one = loop._rounds[CHECKOUT]
        eventually(lambda: one.ended and not one.running.locked())
        one.rest_until = one.due = time.monotonic() + 50.0
        loop._skipped(str(CHECKOUT))
        assert one.due == one.rest_until


# A notifier is dead, and its notices are asked about once a minute: what watches goes on in its own rhythm.
def test_what_a_tick_asks_for_never_slows_down_an_app_under_way() -> None:
    times = Times()

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield ReadPolicy(app.namespace, app.policy)
        return TickResult(app, record=Record(), again_in=50.0)

    with running(under_way("checkout"), ticks, interval=0.1):
        eventually(lambda: times.count(CHECKOUT) >= 4)


# H3: SIGTERM comes while a tick is between its two writes. The second one must not happen.
def test_after_a_stop_no_write_begins() -> None:
    in_write, go = threading.Event(), threading.Event()
    first = WriteRecord("shop", "checkout-1", "7", {})

    def answers(request: Any) -> None:
        if request is first:
            in_write.set()
            go.wait(60.0)

    shell = Shell(answers)

    def ticks(app: AppKey) -> Ticking:
        yield first
        yield DeleteRelease("shop", "checkout-0", "uid")
        return TickResult(app)

    with running(under_way("checkout"), ticks, shell=shell) as loop:
        assert in_write.wait(60.0)

        def answers_once_it_stops() -> None:
            eventually(loop._performer.stopping)
            go.set()

        threading.Thread(target=answers_once_it_stops).start()
        assert loop.stop(60.0) is True
        assert go.is_set(), "the call under way was waited for"
    assert shell.performed == [first]


def test_a_stop_does_not_wait_for_a_silent_server() -> None:
    silent, answered = threading.Event(), threading.Event()

    def answers(request: Request) -> Answer:
        silent.wait(60.0)
        answered.set()
        return None

    shell = Shell(answers)
    with running(under_way("checkout"), quiet, shell=shell) as loop:
        eventually(lambda: shell.performed)
        assert loop.stop(0.3) is False
        assert not answered.is_set()
        silent.set()


# K30: the events of a release are refused, or take for ever. The release goes on as if nothing were.
def test_events_neither_fail_nor_delay_a_tick() -> None:
    never, times = threading.Event(), Times()

    def answers(request: Any) -> Any:
        if isinstance(request, WriteEvent):
            never.wait(60.0)
            return Failure(FailureKind.FORBIDDEN, "no events here")
        return None

    shell = Shell(answers)

    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        yield WriteEvent("shop", f"e{times.count(app)}", "checkout-1", "uid", "Normal", "Advance", "on it goes", 0.0)
        return TickResult(app, record=Record(), wrote=1)

    with running(under_way("checkout"), ticks, interval=0.1, shell=shell):
        eventually(lambda: times.count(CHECKOUT) >= 5 and shell.performed)
        assert len(shell.performed) == 1, "the first one still hangs"
        never.set()
        eventually(lambda: len(shell.performed) >= 5)
    assert [request.name for request in shell.performed[:5] if isinstance(request, WriteEvent)] == [
        "e1",
        "e2",
        "e3",
        "e4",
        "e5",
    ]


def test_each_tick_begins_anew_and_a_gates_question_goes_to_the_store() -> None:
    shell, times = Shell(), Times()
    with running(under_way("checkout"), lambda app: _noted(times, app), interval=0.1, shell=shell):
        eventually(lambda: times.count(CHECKOUT) >= 3)
    eventually(lambda: shell.begun == times.count(CHECKOUT))


class MovableClock(SystemClock):
    """A wall clock that somebody sets."""

    moved = 0.0

    def now(self) -> float:
        return super().now() + self.moved


# The scheduler counts in wall time: a clock that was set would leave every job where the old time had put it.
def test_a_wall_clock_that_is_set_sets_the_jobs_anew() -> None:
    clock, times = MovableClock(), Times()
    with running(under_way("checkout"), lambda app: _noted(times, app), interval=30.0, clock=clock) as loop:
        eventually(lambda: times.count(CHECKOUT) == 1)
        loop.mind_clock()
        threading.Event().wait(0.3)
        assert times.count(CHECKOUT) == 1, "nothing happened to the clock"
        clock.moved = -3600.0
        loop.mind_clock()
        eventually(lambda: times.count(CHECKOUT) == 2)
        assert loop.alive
