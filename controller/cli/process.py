"""The controller as a process: its parts wired together, and its end on a signal."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from controller.cli.alerting import Policies, hearing, receiver
from controller.cli.ends import Refusal
from controller.cluster.baselines import Baselines, Copies
from controller.cluster.cache import Cache, Kind
from controller.cluster.connection import Connection
from controller.cluster.shell import Cluster
from controller.configuration import Configuration
from controller.learning.learner import Learner
from controller.loop import Loop, SystemClock
from controller.metrics import Sources
from controller.outside import Endpoints
from controller.outside.courier import Courier
from controller.performing import Performer
from controller.policy_files import PolicyFiles
from controller.report import Report
from controller.report.delivery import Deliveries
from controller.report.logs import configure
from controller.report.metrics import CONTENT_TYPE, product_version
from controller.report.server import Page, Server, words
from controller.roster import Roster

CACHE_BOUND = 90.0  # seconds: the reflectors hear the server at least every minute
_FIRST_POLICIES = 5.0  # seconds for which the ticks wait for the folder of policies
_PATIENCE = 3.0  # seconds for calls under way at the end; with the rest of the way out below five


@dataclass(frozen=True, slots=True)
class Process:
    """What `nightferry run` was asked to be."""

    configuration: Configuration
    policies: Path | None
    home: str  # the namespace of policy files that name none
    debug: bool = False


def run(process: Process, connection: Connection, clock: SystemClock) -> None:
    """Runs until SIGTERM or SIGINT, then ends the process itself with exit code 0. Raises Refusal."""
    began = clock.monotonic()
    configure(clock.now, debug=process.debug)
    log = structlog.get_logger("nightferry")
    faulthandler.enable()  # a fault below Python would else end the process without a word
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    told = process.configuration
    report = Report()
    # The cache tells the loop, and the loop reads the cache: the first change comes after both exist.
    cache = Cache(
        connection,
        clock,
        namespace=told.namespace,
        seed=os.getpid(),
        on_change=lambda *change: loop.changed(*change),  # noqa: PLW0108 - the loop does not exist yet
    )
    roster = Roster(cache)
    shell = Cluster(connection, cache, clock, cache_bound=CACHE_BOUND)
    sources = Sources(told.sources, clock)
    settings = replace(told.settings, learns=True)
    courier = Courier.of(told.notifiers, clock, report.noticed)
    alertmanagers, ear = hearing(told.alerts, report, clock)
    performer = Performer(shell, sources, clock, report, Endpoints(told.endpoints, clock), courier, alertmanagers)
    baselines = Baselines(connection, cache, bound=CACHE_BOUND)
    learner = Learner(Copies(cache), baselines, sources.history, settings, clock, report)
    loop = Loop(performer, roster, clock, settings, report, learner=learner)
    _show(report, cache, roster, courier, learner, clock)
    started = threading.Event()

    def healthy() -> Page:
        return words(200, "alive") if not started.is_set() or loop.alive else words(500, "the scheduler stands still")

    def ready() -> Page:
        if stop.is_set():
            return words(503, "stopping")
        if not cache.synced or not started.is_set():
            return words(503, "the watch cache is not complete yet")
        age = cache.age()
        return (
            words(200, "ready") if age <= CACHE_BOUND else words(503, f"the API server was last heard {age:.0f} s ago")
        )

    routes: dict[str, Callable[[], Page]] = {
        "/metrics": lambda: (200, CONTENT_TYPE, report.metrics.text()),
        "/healthz": healthy,
        "/readyz": ready,
    }
    try:
        server = Server(told.listen, routes)
    except OSError as error:
        raise Refusal(f"cannot listen on {told.listen[0]}:{told.listen[1]}: {error.strerror or error}") from None
    policies = Policies(cache, CACHE_BOUND)
    posts = receiver(told.alerts, alertmanagers, connection, shell, policies, roster, loop.wake, clock, ear)
    server.start()
    log.info("starting", version=product_version(), api=connection.host, port=server.port, interval=told.interval)
    files = PolicyFiles(process.policies, process.home, connection, report) if process.policies is not None else None
    cache.start()
    if _synced(cache, clock, stop):
        if files is not None:
            _begin_to_apply(files, clock, told.interval, stop)
        loop.start()
        started.set()
        if posts is not None:
            posts.start()  # before the copies are complete an alert would concern nobody
            log.info("listening for alerts", port=posts.port)
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        log.info("ready", seconds=round(clock.monotonic() - began, 3), port=server.port)
        while not clock.wait(stop, 1.0):
            loop.mind_clock()
    log.info("stopping", because="asked to stop")
    if posts is not None and started.is_set():
        posts.stop()
    ended = loop.stop(_PATIENCE)
    log.info("stopped", calls="ended" if ended else "abandoned")
    # Threads that wait for a silent server must not keep the process: everything that matters is in the cluster.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _begin_to_apply(files: PolicyFiles, clock: SystemClock, interval: float, stop: threading.Event) -> None:
    """Applies the folder in a thread of its own, and waits a moment for its first round."""
    # A server that is slow to answer must keep neither the end nor the clock waiting.
    once = threading.Event()
    args = (files, clock, interval, stop, once)
    threading.Thread(target=_apply, args=args, name="policies", daemon=True).start()
    until = clock.monotonic() + _FIRST_POLICIES
    while not (once.is_set() or stop.is_set()) and clock.monotonic() < until:
        clock.wait(once, 0.1)


def _show(report: Report, cache: Cache, roster: Roster, courier: Courier, learner: Learner, clock: SystemClock) -> None:
    """What the metrics read when they are asked for."""
    present = report.metrics.present
    present.phases = roster.phases
    present.cache_age = cache.age
    present.notices = courier.waiting
    present.delivery = Deliveries(lambda: cache.read_all(Kind.RELEASE), clock.now).collect
    present.baseline_ages = lambda: {app: max(0.0, clock.now() - at) for app, at in learner.learned_at().items()}


def _apply(
    files: PolicyFiles, clock: SystemClock, interval: float, stop: threading.Event, once: threading.Event
) -> None:
    """Applies the folder of policies at every interval, until the process is asked to stop; `once` it was tried."""
    log = structlog.get_logger("nightferry")
    while not stop.is_set():
        try:
            files.apply(stop.is_set)
        except Exception:
            log.exception("policies could not be applied")  # a fault of ours; the next round tries again
        once.set()
        clock.wait(stop, interval)


def _synced(cache: Cache, clock: SystemClock, stop: threading.Event) -> bool:
    """Waits until the watch cache is complete -> True, or until the process is asked to stop -> False."""
    log = structlog.get_logger("nightferry")
    told: dict[Kind, str] = {}
    tries = 0
    while not cache.synced:
        if clock.wait(stop, 0.05 if tries < 40 else 0.5):
            return False
        tries += 1
        for kind in Kind:
            trouble = cache.trouble(kind, CACHE_BOUND)
            if tries > 20 and trouble is not None and told.get(kind) != trouble.message:
                told[kind] = trouble.message
                log.warning("waiting for the API server", kind=kind.value, because=trouble.message)
    return not stop.is_set()
