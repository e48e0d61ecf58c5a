"""Figures of a release on the bed: CPU and API requests per tick, and how soon a crash loop or an abort turns it back.

Everything is real: pods under load, the Prometheus that scrapes them, the controller as a process of its own. Times are
taken from the API server's own watch, not from the controller.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure, Measured
from tests.bench.machine import counted, cpu_seconds, load
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.identities import CONTROLLER, Identity
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import CONFIGURATION, Controller
from tests.cluster.stories.story import APP, Story

REPLICAS = 10
WINDOW = 2.0  # seconds; `Controller` configures it
WINDOWS = 60
WATCHED = 60.0  # seconds
REPEATS = 3
SETTLE = 5.0  # seconds
LATE = 15.0  # seconds: the tick of the shipped configuration

TICK_CPU = Figure(
    "tick-cpu", f"own CPU per tick of a release, 2 gates, {REPLICAS} pods, 60 windows and more", "ms", 30.0
)
TICK_REQUESTS = Figure("tick-requests", "API requests per tick of an unchanged release", "", 3.0)
CRASH = Figure("crash", "third restart visible to first restoring write, tick 1 s", "s", 2.0)
CRASH_LATE = Figure("crash-late", "the same, tick 15 s", "s", LATE + 1)
ABORT = Figure("abort", "abort written to first restoring write, tick 1 s", "s", 1.0)
ABORT_LATE = Figure("abort-late", "the same, tick 15 s", "s", LATE)

# A canary that is watched for an hour, whatever its gates say.
LONG_CANARY = {"observe": {"atLeast": "1h", "atMost": "2h"}, "deadline": {"release": "6h"}}


class PacedStory(Story):
    """A story whose controller ticks at an interval of its own."""

    def __init__(self, bed: Bed, site: Site, scratch: Path, interval: float) -> None:
        super().__init__(bed, site, scratch)
        self._interval = interval

    def starts_controller(
        self,
        *,
        prometheus: str | None = None,
        identity: Identity = CONTROLLER,
        namespaced: bool = True,
        template: str = CONFIGURATION,
    ) -> Controller:
        """The controller of a story, with --interval."""
        controller = Controller(
            self.scratch / "controller",
            kubeconfig=self.bed.kubeconfig(identity, namespace=self.site.name),
            prometheus=prometheus or self.bed.prometheus_url,
            namespace=self.site.name if namespaced else None,
            template=template,
            more=("--interval", f"{self._interval:g}s"),
        )
        controller.start()
        self.controller = controller
        self._ends.callback(controller.stop)
        return controller


@contextmanager
def story(bed: Bed, scratch: Path, name: str, interval: float = 1.0) -> Iterator[PacedStory]:
    """A story in a namespace of its own. What goes wrong in it shows the end of the controller's log."""
    with bed.namespace(f"bench-{name}") as site:
        found = PacedStory(bed, site, scratch / site.name, interval)
        try:
            yield found
        except Exception as error:
            if found.controller is not None:
                error.add_note(found.controller.tail(20))
            raise
        finally:
            found.close()


def measure_ticks(bed: Bed, scratch: Path) -> Iterator[Measured]:
    """A canary under observation: nothing changes, and both gates are asked at every tick."""
    before = load()
    with story(bed, scratch, "ticks") as told:
        told.opens(replicas=REPLICAS, policy=LONG_CANARY)
        release = told.asks_for("v2")
        _await_canary(told, release)
        settled = told.releases.elapsed
        # Evidence is computed over all windows of the release, so the dear ticks are the late ones.
        eventually(
            lambda: told.releases.elapsed - settled > WINDOWS * WINDOW,
            within=WINDOWS * WINDOW + 30,
            what="the release has been observed for 60 windows",
            every=1.0,
        )
        spent, ticks, asked = [], [], []
        queries = 0.0
        for _ in range(REPEATS):
            cpu, page, requests = _numbers(told)
            time.sleep(WATCHED / REPEATS)
            cpu_after, page_after, requests_after = _numbers(told)
            count = counted(page_after, "nightferry_ticks_total") - counted(page, "nightferry_ticks_total")
            if counted(page_after, "nightferry_ticks_total", outcome="quiet") == 0 or count == 0:
                raise RuntimeError("no tick of an unchanged release was seen")
            ticks.append(count)
            spent.append(1000 * (cpu_after - cpu) / count)
            asked.append((requests_after - requests) / count)
            asking = {"kind": "FetchCounts"}
            name = "nightferry_requests_total"
            queries += counted(page_after, name, **asking) - counted(page, name, **asking)
        last = told.releases.last(release)
        if last.phase != "Canary" or last.held:
            raise RuntimeError(f"the release did not stay as it was: {last}")
    per_tick = queries / sum(ticks)
    yield Measured(
        TICK_CPU,
        tuple(spent),
        load(before),
        f"over {sum(ticks):.0f} ticks of 1 s, watches and {per_tick:.1f} queries a tick included",
    )
    yield Measured(
        TICK_REQUESTS, tuple(asked), load(before), "reads and writes in the audit log; a watch opened anew is one"
    )


def measure_crash(bed: Bed, scratch: Path) -> Iterator[Measured]:
    """A contender that ends after a second, again and again, until it is turned back."""
    for figure, interval in ((CRASH, 1.0), (CRASH_LATE, LATE)):
        before = load()
        values = tuple(_crash_to_write(bed, scratch, interval) for _ in range(REPEATS))
        yield Measured(
            figure, values, load(before), "the pod's change wakes the app; the tick is only the latest moment"
        )


def measure_abort(bed: Bed, scratch: Path) -> Iterator[Measured]:
    """A person aborts a release under observation in its canary."""
    for figure, interval in ((ABORT, 1.0), (ABORT_LATE, LATE)):
        before = load()
        values = tuple(_abort_to_write(bed, scratch, interval) for _ in range(REPEATS))
        yield Measured(
            figure, values, load(before), "the change of the Release wakes the app; the tick is only the latest moment"
        )


def _numbers(told: Story) -> tuple[float, str, int]:
    """CPU seconds, the metrics page, and the number of API requests of the controller so far."""
    assert told.controller is not None
    requests = told.bed.requests(CONTROLLER, namespace=told.site.name)
    return cpu_seconds(told.controller.pid), told.controller.read_page("/metrics")[1], len(requests)


def _await_canary(told: Story, release: str) -> None:
    """Waits until the canary has taken an incumbent's place, and a little longer, so that no change is under way."""
    told.releases.await_phase(release, "Canary", within=120)
    eventually(lambda: told.replicas(APP) == told.desired - 1, within=60, what="the canary has taken a place")
    time.sleep(SETTLE)


def _crash_to_write(bed: Bed, scratch: Path, interval: float) -> float:
    with story(bed, scratch, "crash", interval) as told:
        told.opens()
        release = told.asks_for("v2-crash1")
        turned = told.releases.await_phase(release, "RollingBack", within=120)
        if turned.cause != "CrashLoop":
            raise RuntimeError(f"it turned back for another reason: {turned}")
        third, seen = told.third_restart()
        return told.await_restoring_write(after=third).seconds - seen


def _abort_to_write(bed: Bed, scratch: Path, interval: float) -> float:
    with story(bed, scratch, "abort", interval) as told:
        told.opens(policy=LONG_CANARY)
        release = told.asks_for("v2")
        _await_canary(told, release)
        began = told.now()
        aborted = told.patches_release(release, {"abort": {"reason": "measured"}})
        return told.await_restoring_write(after=aborted, within=60).seconds - began
