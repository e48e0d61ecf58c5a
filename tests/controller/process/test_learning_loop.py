"""The learner beside the ticks: it never keeps one waiting, its faults stay its own, and it stops when asked to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.cluster.cache import Kind
from controller.release.names import AppKey
from controller.report import Report
from tests.controller.process.apps import CHECKOUT, Copies, Ticking, Times, eventually, policy, quiet, release, running


class Teacher:
    """Does what a test says in each turn."""

    def __init__(self, turn: Callable[[int], bool] = lambda _: False) -> None:
        self.turns = 0
        self._turn = turn

    def turn(self, stopping: Callable[[], bool]) -> bool:
        self.turns += 1
        return self._turn(self.turns)


def metric(report: Report, name: str, **labels: str) -> float:
    value = report.metrics.registry.get_sample_value(name, labels)
    return 0.0 if value is None else value


def under_way() -> Copies:
    return Copies(policy("checkout"), releases=(release("checkout-1", "checkout", "Batch"),))


def noting(times: Times) -> Callable[[AppKey], Ticking]:
    def ticks(app: AppKey) -> Ticking:
        times.note(app)
        return (yield from quiet(app))

    return ticks


def test_a_store_that_takes_seconds_about_weeks_delays_no_tick() -> None:
    times, asked, answered = Times(), threading.Event(), threading.Event()

    def slow(turn: int) -> bool:
        asked.set()
        return answered.wait(60.0)

    with running(under_way(), noting(times), interval=0.1, learner=Teacher(slow)):
        eventually(asked.is_set)
        before = times.count(CHECKOUT)
        try:
            eventually(lambda: times.count(CHECKOUT) - before >= 5)
        finally:
            answered.set()


def test_everything_that_is_due_is_done_in_one_go_and_then_it_rests() -> None:
    teacher = Teacher(lambda turn: turn % 8 != 0)
    with running(under_way(), noting(Times()), interval=60.0, learner=teacher) as loop:
        loop.changed(Kind.RELEASE, "shop", "checkout-2", release("checkout-2", "checkout"))
        eventually(lambda: teacher.turns >= 8)
        threading.Event().wait(0.3)
        assert teacher.turns == 8


def test_a_fault_of_the_learner_is_counted_and_it_goes_on() -> None:
    times, report = Times(), Report()

    def broken(turn: int) -> bool:
        raise ZeroDivisionError("a bug of ours")

    teacher = Teacher(broken)
    with running(under_way(), noting(times), interval=0.1, learner=teacher, report=report):
        eventually(lambda: teacher.turns >= 3)
        before = times.count(CHECKOUT)
        eventually(lambda: times.count(CHECKOUT) >= before + 3)
        eventually(lambda: metric(report, "nightferry_job_faults_total", fault="error") >= 3)


def test_a_new_release_calls_the_learner_at_once() -> None:
    teacher = Teacher()
    copies = Copies(policy("checkout"))
    with running(copies, noting(Times()), interval=60.0, learner=teacher) as loop:
        before = teacher.turns
        loop.changed(Kind.RELEASE, "shop", "checkout-2", release("checkout-2", "checkout"))
        eventually(lambda: teacher.turns > before)


def test_a_stop_reaches_the_learner_between_two_questions() -> None:
    begun, ended = threading.Event(), threading.Event()

    class Asking:
        def turn(self, stopping: Callable[[], bool]) -> bool:
            begun.set()
            while not stopping():
                threading.Event().wait(0.02)
            ended.set()
            return False

    with running(under_way(), noting(Times()), interval=0.1, learner=Asking()):
        assert begun.wait(30.0)
        threading.Event().wait(0.1)
        assert not ended.is_set()
    assert ended.wait(30.0)


def test_what_the_learner_did_is_counted_by_task_and_outcome() -> None:
    report = Report()
    report.learned(CHECKOUT, "learn", "kept", 2.0, "nothing was learned yet")
    report.learned(CHECKOUT, "present", "unanswered", 0.5, "no connection")
    report.learner_crashed(CHECKOUT, ValueError("ours"))
    assert metric(report, "nightferry_learn_runs_total", task="learn", outcome="kept") == 1
    assert metric(report, "nightferry_learn_failures_total") == 2
    assert metric(report, "nightferry_learn_duration_seconds_sum", task="learn") == 2.0
    report.metrics.present.baseline_ages = lambda: {CHECKOUT: 90.0}
    assert metric(report, "nightferry_baseline_age_seconds", namespace="shop", app="checkout") == 90.0
