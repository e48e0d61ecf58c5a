"""From what the loop sees to log lines and metrics; every sentence is the one that the record and the Event carry."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from controller.attempt import TickResult
from controller.record import stage_of
from controller.release.names import AppKey, Key
from controller.release.record import Entry, GateVerdict, Record
from controller.report.metrics import Metrics
from controller.requests.failure import FailureKind

_EVERY = 20  # of an unchanged fault, after the first ones, one line in so many ticks


class Report:
    """Tells the log and the metrics; called from the threads of many ticks."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics if metrics is not None else Metrics()
        self._log = structlog.get_logger("nightferry")
        self._notes: dict[Key, str] = {}
        self._untold = ""
        self.on_rollback: Callable[[Record], None] = lambda _: None
        self._notified: dict[str, str] = {}  # by notifier: "sent", or why it was not

    def ticked(self, app: Key, result: TickResult, seconds: float, times: int) -> None:
        """A tick ended. `times`: how often its failure came in a row."""
        numbers = self.metrics
        failure = result.failure
        numbers.ticks.labels("failed" if failure is not None else "turned" if result.entries else "quiet").inc()
        numbers.tick_seconds.observe(seconds)
        numbers.writes.inc(result.wrote)
        self._hold(app, result.record)
        for entry in result.entries:
            numbers.turns.labels(entry.kind).inc()
            self._log.info("turn", **_turn(app, result.release, entry, result.record))
            if entry.kind == "RollBack" and result.record is not None:
                self.on_rollback(result.record)
        if failure is not None and (times <= 3 or times % _EVERY == 0):
            self._log.warning(
                "tick failed",
                app=str(app),
                release=result.release,
                kind=failure.kind.value,
                because=failure.message,
                times=times,
            )
        if result.note != self._notes.get(app, ""):
            self._notes[app] = result.note
            if result.note:
                self._log.info("note", app=str(app), release=result.release, because=result.note)

    def crashed(self, app: Key, error: Exception, times: int, rest: float | None) -> None:
        """A tick raised. `rest`: seconds for which the app is left alone, or None for its usual rhythm."""
        self.metrics.ticks.labels("exception").inc()
        self.metrics.crashes.inc()
        trace = "".join(traceback.format_exception(error)) if times == 1 else None
        self._log.error(
            "tick crashed",
            app=str(app),
            error=f"{type(error).__name__}: {error}",
            times=times,
            rest=rest,
            **({"traceback": trace} if trace is not None else {}),
        )

    def performed(self, kind: str, outcome: str, seconds: float) -> None:
        """One request of a tick was answered."""
        self.metrics.requests.labels(kind, outcome).inc()
        self.metrics.request_seconds.labels(kind).observe(seconds)
        if outcome == FailureKind.CONFLICT.value:
            self.metrics.conflicts.inc()

    def untold(self, release: str, because: str) -> None:
        """An Event could not be written; it is not tried again."""
        if because != self._untold:
            self._untold = because
            self._log.warning("event not written", release=release, because=because)

    def noticed(self, notifier: str, outcome: str, because: str) -> None:
        """A notifier sent a notice, or did not: sent, later, refused."""
        self.metrics.notices.labels(notifier, outcome).inc()
        known, self._notified[notifier] = (
            self._notified.get(notifier, "sent"),
            outcome if outcome == "sent" else because,
        )
        if outcome != "sent" and because != known:
            self._log.warning("notice not sent", notifier=notifier, outcome=outcome, because=because)
        elif outcome == "sent" and known != "sent":
            self._log.info("notices are sent again", notifier=notifier)

    def late(self, app: Key, seconds: float) -> None:
        """A tick began so many seconds after it was due."""
        with self.metrics.present.lock:
            self.metrics.present.lag[app] = max(0.0, seconds)

    def hot(self, app: Key, bound: int) -> None:
        """An app wrote more than `bound` times in a minute and rests."""
        self.metrics.hot.inc()
        self._log.error("too many writes", app=str(app), bound=bound, because="this app rests for a minute")

    def learned(self, app: AppKey, what: str, outcome: str, took: float, because: str) -> None:
        """A look at history has ended: kept, same (nothing new), lost (somebody was faster), refused, unanswered."""
        numbers = self.metrics
        numbers.learned.labels(what, outcome).inc()
        numbers.learn_seconds.labels(what).observe(took)
        line = {"app": str(app), "task": what, "outcome": outcome, "seconds": round(took, 3), "because": because[:500]}
        if outcome in ("refused", "unanswered"):
            numbers.learn_failures.inc()
            self._log.warning("not learned", **line)
        else:
            self._log.info("learned", **line)

    def learner_crashed(self, app: AppKey, error: Exception) -> None:
        """Learning raised: a fault of ours, and no tick's."""
        self.metrics.learn_failures.inc()
        trace = "".join(traceback.format_exception(error))
        self._log.error("learner crashed", app=str(app), error=f"{type(error).__name__}: {error}", traceback=trace)

    def job_event(self, fault: str, job: str) -> None:
        """The scheduler missed, skipped or lost a run."""
        self.metrics.jobs.labels(fault).inc()
        if fault != "overrun":
            self._log.error("job fault", job=job, fault=fault)

    def clock_moved(self, seconds: float) -> None:
        """The wall clock was set."""
        self._log.warning("the wall clock moved", seconds=round(seconds, 1))

    def gone(self, app: Key) -> None:
        """An app has no policy and no release any more."""
        self._notes.pop(app, None)
        with self.metrics.present.lock:
            self.metrics.present.held.pop(app, None)
            self.metrics.present.lag.pop(app, None)

    def _hold(self, app: Key, record: Record | None) -> None:
        present = self.metrics.present
        with present.lock:
            if record is None or record.held is None or record.ended:
                present.held.pop(app, None)
            else:
                present.held[app] = record.held.reason.value


def _turn(app: Key, release: str, entry: Entry, record: Record | None) -> Mapping[str, Any]:
    """The fields of a turn's log line."""
    line: dict[str, Any] = {
        "app": str(app),
        "release": release,
        "kind": entry.kind,
        "phase": entry.phase.value,
        "because": entry.because,
        "batch": entry.stage,
    }
    if record is not None:
        line |= {"of": record.stages, "desired": record.desired, "epoch": record.epoch}
        line |= {"contender": record.ready[0], "incumbent": record.ready[1]}
        if entry.kind == "Advance" and (stage := stage_of(record)) is not None:
            line["ordered"] = stage.contender  # pods; those that were ready before it stand beside it
        if record.cause is not None:
            line["cause"] = record.cause.value
        if record.held is not None:
            line["held"] = record.held.reason.value
    if entry.verdicts:
        line["verdicts"] = [_verdict(one) for one in entry.verdicts]
    return line


def _verdict(one: GateVerdict) -> Mapping[str, Any]:
    effect = one.evidence.get("effect") or {}
    exposure = one.evidence.get("exposure") or {}
    return {
        "gate": one.gate,
        "verdict": one.verdict.value,
        "ratio": effect.get("ratio"),
        "interval": effect.get("interval"),
        "requests": exposure.get("requests"),
    }
