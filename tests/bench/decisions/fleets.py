"""Simulated fleets, many side by side: releases with a harm in them, and the history that a gate learns from.

The generator is that of `tests.bench.worlds`, drawn for a whole batch of releases at once: ten pods, a look every 30 s,
one contender pod, then three, then five. A service is a world; its pods are drawn anew for every release and segment,
because every rollout makes new pods. Everything is drawn from the generator that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.samples import BoolArray, Histogram, Strata, Tally
from analysis.special import FloatArray
from analysis.verdict import Freshness
from tests.bench.worlds import LOOKS, WINDOW, World

BOUNDS = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
"""Prometheus' default buckets, in seconds."""

ROUTES = ("browse", "pay")
PAY_SHARE = 0.20
PAY_SHIFTED = 0.35
PAY_ERRORS = 8.5
"""The route mix: what share of requests pays, what share after a shift, and how many times the errors paying has."""


OLD = -1e6
NOW = 28 * 86400.0
"""When simulated releases begin, in seconds; their history is the 28 days before."""


@dataclass(frozen=True, slots=True)
class Harm:
    """What is wrong with a contender.

    Errors times `factor` from look `onset`, growing to it over `ramp` looks, on all its pods or only the first. young:
    extra errors of a newborn pod (x1.5 is 0.5) that decay over `young_seconds`; that is no harm of the version. pay:
    the share of the contender's requests on the route with more errors; None without routes.
    """

    factor: float = 1.0
    onset: int = 0
    ramp: int = 0
    one_pod: bool = False
    young: float = 0.0
    young_seconds: float = 180.0
    pay: float | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Which pods live when: alive (pods, looks), the contender's rows first, and the look at which each was born.

    born of a pod that is older than the data is a large negative number of looks.
    """

    alive: BoolArray
    contenders: int
    born: FloatArray
    names: tuple[str, ...]

    @property
    def contender(self) -> BoolArray:
        """(pods,) flags."""
        result: BoolArray = np.arange(len(self.names)) < self.contenders
        return result

    def births(self, begin: float = NOW) -> dict[str, float]:
        """Start times in seconds of the pods that were born in the data."""
        return {
            name: begin + WINDOW * born for name, born in zip(self.names, self.born.tolist(), strict=True) if born > OLD
        }

    def age(self) -> FloatArray:
        """Seconds of life at the middle of each window, shape (pods, looks)."""
        looks = np.arange(self.alive.shape[1])
        result: FloatArray = (looks[None, :] + 0.5 - self.born[:, None]) * WINDOW
        return result


def release_layout(world: World) -> Layout:
    """The plan of a release: new pods take over in stages, each at the cost of an old one."""
    last = world.stages[-1][1]
    pods = last + world.pods
    alive = np.zeros((pods, LOOKS), dtype=np.bool_)
    born = np.full(pods, OLD)
    before = 0
    for since, count in world.stages:
        alive[:, since:] = False
        alive[:count, since:] = True
        alive[last : last + world.pods - count, since:] = True
        born[before:count] = since
        before = count
    names = tuple(f"new-{i}" for i in range(last)) + tuple(f"old-{i}" for i in range(world.pods))
    return Layout(alive, last, born, names)


def steady_layout(pods: int, looks: int, prefix: str = "pod") -> Layout:
    """A fleet that nobody releases: no contender."""
    names = tuple(f"{prefix}-{i}" for i in range(pods))
    return Layout(np.ones((pods, looks), dtype=np.bool_), 0, np.full(pods, OLD), names)


@dataclass(frozen=True, slots=True)
class Batch:
    """Exact counts of many releases of one layout.

    requests, events, seen: shape (releases, pods, looks), zero where void. routes: requests and events per route, shape
    (routes, releases, pods, looks), None without routes.
    """

    layout: Layout
    requests: FloatArray
    events: FloatArray
    seen: BoolArray
    routes: tuple[FloatArray, FloatArray] | None = None

    def __len__(self) -> int:
        return int(self.requests.shape[0])

    def tally(self, number: int, begin: float = NOW) -> Tally:
        """One release as the data layer would hand it over; it begins at `begin` seconds."""
        strata = None
        if self.routes is not None:
            strata = Strata(ROUTES, self.routes[0][:, number], self.routes[1][:, number])
        return counted(self.layout, self.requests[number], self.events[number], self.seen[number], begin, strata)

    def with_holes(self, holes: BoolArray) -> Batch:
        """The same with pod-windows void where `holes` says so."""
        seen = self.seen & ~holes
        routes = None
        if self.routes is not None:
            routes = (np.where(seen, self.routes[0], 0.0), np.where(seen, self.routes[1], 0.0))
        return Batch(self.layout, np.where(seen, self.requests, 0.0), np.where(seen, self.events, 0.0), seen, routes)


def counted(
    layout: Layout,
    requests: FloatArray,
    events: FloatArray,
    seen: BoolArray,
    begin: float = NOW,
    strata: Strata | None = None,
) -> Tally:
    """Counts of one release or segment as the data layer would hand them over."""
    looks = requests.shape[1]
    ends = begin + WINDOW * np.arange(1, looks + 1)
    freshness = Freshness(last_contender_end=float(ends[-1]), contender_windows=looks)
    return Tally(layout.names, layout.contender, requests, events, seen, ends, WINDOW, freshness, strata)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Healthy fleets before anything goes wrong: expected requests, requests, and error rates of each pod-window.

    shapes (releases, pods, looks); shock, what moves all pods together, is (releases, 1, looks).
    """

    world: World
    layout: Layout
    requests: FloatArray
    rate: FloatArray
    shock: FloatArray


def draw(rng: np.random.Generator, world: World, layout: Layout, releases: int) -> Drawn:
    """Healthy fleets of a world."""
    shape = (releases, *layout.alive.shape)
    requests = _requests(rng, world, layout, releases)
    log_rate, shock = _log_rate(rng, world, shape, rng.normal(size=(*shape[:2], 1)))
    return Drawn(world, layout, requests, np.minimum(world.base * np.exp(log_rate), 0.9), np.exp(shock))


def another_metric(rng: np.random.Generator, world: World, drawn: Drawn) -> Drawn:
    """A second kind of event on the same requests: other pod effects, other noise, another common shock."""
    shape = drawn.requests.shape
    log_rate, shock = _log_rate(rng, world, shape, rng.normal(size=(*shape[:2], 1)))
    return replace(drawn, rate=np.minimum(world.base * np.exp(log_rate), 0.9), shock=np.exp(shock))


def _requests(rng: np.random.Generator, world: World, layout: Layout, releases: int) -> FloatArray:
    pods, looks = layout.alive.shape
    share = np.exp(rng.normal(size=(releases, pods, 1)) * world.weight_sd)
    phase = rng.uniform(0, 2 * np.pi, size=(releases, 1, 1))
    load = np.exp(0.3 * np.sin(2 * np.pi * np.arange(looks) / LOOKS + phase))
    weight = share * layout.alive
    mean = weight / weight.sum(axis=1, keepdims=True) * world.rate * WINDOW * load
    counts: FloatArray = rng.poisson(mean).astype(np.float64)
    return counts


def _log_rate(
    rng: np.random.Generator, world: World, shape: tuple[int, ...], own: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log of each pod-window's rate over the base rate, and the part that all pods share. own: pod effects, sd 1."""
    releases, pods, looks = shape
    shock = _ar1(rng, (releases, 1, looks), 0.9, world.shock)
    log_rate = own * world.pod_sd + shock
    noise_sd = math.sqrt(math.log1p(world.window_cv2))
    if noise_sd:
        log_rate = log_rate + _ar1(rng, (releases, pods, looks), world.memory, noise_sd) - noise_sd**2 / 2
    if world.bursts:
        log_rate = log_rate + math.log(10.0) * (rng.random((releases, pods, looks)) < world.bursts)
    return np.broadcast_to(log_rate, (releases, pods, looks)), shock


def _ar1(rng: np.random.Generator, shape: tuple[int, ...], memory: float, sd: float) -> FloatArray:
    """Stationary Gaussian AR(1) along the last axis."""
    out = rng.normal(size=shape) * sd
    fresh = math.sqrt(1.0 - memory**2)
    for u in range(1, shape[-1]):
        out[..., u] = memory * out[..., u - 1] + fresh * out[..., u]
    return out


def excess(layout: Layout, harm: Harm) -> FloatArray:
    """By what each pod-window's error rate is multiplied, shape (pods, looks)."""
    looks = np.arange(layout.alive.shape[1])
    grown = np.clip((looks - harm.onset + 1) / max(harm.ramp, 1), 0.0, 1.0)
    factor = np.exp(math.log(harm.factor) * np.where(looks >= harm.onset, grown, 0.0))
    out = np.ones(layout.alive.shape)
    out[: 1 if harm.one_pod else layout.contenders] = factor
    if harm.young:
        out = out * (1.0 + harm.young * np.exp(-np.maximum(layout.age(), 0.0) / harm.young_seconds))
    return out


def errors(rng: np.random.Generator, drawn: Drawn, harm: Harm) -> Batch:
    """Binomial errors of fleets whose contender has something wrong."""
    seen = np.broadcast_to(drawn.layout.alive, drawn.requests.shape)
    rate = np.minimum(drawn.rate * excess(drawn.layout, harm), 0.95)
    if harm.pay is None:
        events = rng.binomial(drawn.requests.astype(np.int64), rate).astype(np.float64)
        return Batch(drawn.layout, drawn.requests, events, seen)
    share = np.where(drawn.layout.contender, harm.pay, PAY_SHARE)[None, :, None]
    paying = rng.binomial(drawn.requests.astype(np.int64), share).astype(np.float64)
    asked = np.stack([drawn.requests - paying, paying])
    # The base rate is the overall one at the usual mix.
    usual = 1.0 - PAY_SHARE + PAY_SHARE * PAY_ERRORS
    factors = np.array([1.0, PAY_ERRORS])[:, None, None, None] / usual
    failed = rng.binomial(asked.astype(np.int64), np.minimum(rate[None] * factors, 0.95)).astype(np.float64)
    return Batch(drawn.layout, drawn.requests, failed.sum(axis=0), seen, (asked, failed))


def releases_of(rng: np.random.Generator, world: World, harm: Harm, releases: int) -> Batch:
    """Whole releases."""
    return errors(rng, draw(rng, world, release_layout(world), releases), harm)


def history(
    rng: np.random.Generator, world: World, segments: int, *, pay: bool = False, looks: int = LOOKS
) -> tuple[Tally, ...]:
    """Segments of healthy fleets on different days: other pods each time."""
    batch = errors(
        rng, draw(rng, world, steady_layout(world.pods, looks), segments), Harm(pay=PAY_SHARE if pay else None)
    )
    return segments_of(batch)


def segments_of(batch: Batch) -> tuple[Tally, ...]:
    """A batch without contenders as segments of history, spread over the days, each with other pods."""
    count, (pods, looks) = len(batch), batch.layout.alive.shape
    renamed = (replace(batch, layout=steady_layout(pods, looks, f"day{k}")) for k in range(count))
    return tuple(one.tally(k, segment_begin(k, count)) for k, one in enumerate(renamed))


def segment_begin(number: int, segments: int) -> float:
    """When a segment of history began: spread evenly over the 28 days, on whole windows."""
    return math.floor(number * NOW / segments / WINDOW) * WINDOW


def rollouts(rng: np.random.Generator, world: World, harm: Harm, count: int) -> tuple[Batch, ...]:
    """Past rollouts with their young pods; harm says how young pods fare."""
    return tuple(releases_of(rng, world, harm, 1) for _ in range(count))


def one_fleet(rng: np.random.Generator, worlds: Sequence[tuple[int, World]]) -> Tally:
    """One fleet for hours, its noise that of each world in turn for so many looks; a pod keeps its rank among pods."""
    looks = sum(length for length, _ in worlds)
    first = worlds[0][1]
    layout = steady_layout(first.pods, looks, "now")
    own = rng.normal(size=(1, first.pods, 1))
    requests = _requests(rng, first, layout, 1)
    rates = [_log_rate(rng, world, (1, first.pods, length), own)[0] for length, world in worlds]
    rate = np.minimum(first.base * np.exp(np.concatenate(rates, axis=2)), 0.9)
    drawn = Drawn(first, layout, requests, rate, np.ones((1, 1, looks)))
    return errors(rng, drawn, Harm()).tally(0, NOW - looks * WINDOW)


def outage(drawn: Drawn, *, since: int, looks: int, factor: float) -> Drawn:
    """A dependency fails for a while: every pod's errors times `factor`."""
    hit = np.ones(drawn.rate.shape[2])
    hit[since : since + looks] = factor
    return replace(drawn, rate=np.minimum(drawn.rate * hit, 0.9), shock=drawn.shock * hit)


def missed_scrapes(rng: np.random.Generator, batch: Batch, share: float) -> BoolArray:
    """Pod-windows lost because a scrape at one of their ends is missing."""
    releases, pods, looks = batch.requests.shape
    lost = rng.random((releases, pods, looks + 1)) < share
    return lost[:, :, 1:] | lost[:, :, :-1]


def resets(rng: np.random.Generator, batch: Batch, share: float) -> BoolArray:
    """Pod-windows lost because the container restarted in them."""
    return rng.random(batch.requests.shape) < share


@dataclass(frozen=True, slots=True)
class Slowness:
    """What is wrong with a contender's latency: times `scale`, and `slow_share` of requests that take 2 s more."""

    scale: float = 1.0
    slow_share: float = 0.0


@dataclass(frozen=True, slots=True)
class SlowBatch:
    """Requests of many releases, and those slower than each of BOUNDS: (bounds, releases, pods, looks)."""

    batch: Batch
    slower: FloatArray = field(repr=False)

    def histogram(self, number: int, begin: float = NOW) -> Histogram:
        """One release as the data layer would hand it over."""
        return Histogram(BOUNDS, self.slower[:, number], self.batch.tally(number, begin))


def latencies(rng: np.random.Generator, drawn: Drawn, wrong: Slowness, *, speed_sd: float = 0.03) -> SlowBatch:
    """Log-normal latency, median 80 ms, log sd .8; noise acts on the log of the speed at a fifth of its size."""
    shape = drawn.requests.shape
    mine = drawn.layout.contender[None, :, None]
    speed = 0.2 * np.log(drawn.rate / drawn.world.base) + rng.normal(size=(*shape[:2], 1)) * speed_sd
    speed = speed + np.where(mine, math.log(wrong.scale), 0.0)
    slow = np.where(mine, wrong.slow_share, 0.0)
    left = drawn.requests.astype(np.int64)
    slower = np.zeros((BOUNDS.size, *shape))
    reached = np.zeros(shape)
    for j, bound in enumerate(BOUNDS):
        below = normal_cdf_fast((math.log(bound) - math.log(0.08) - speed) / 0.8)
        below = below * (1.0 - slow) + slow * (bound >= 2.5) * below
        chance = np.clip((below - reached) / np.maximum(1.0 - reached, 1e-12), 0.0, 1.0)
        left = left - rng.binomial(left, chance)
        slower[j] = left
        reached = below
    seen = np.broadcast_to(drawn.layout.alive, shape)
    return SlowBatch(Batch(drawn.layout, drawn.requests, np.zeros(shape), seen), slower)


def normal_cdf_fast(z: FloatArray) -> FloatArray:
    """Φ(z) by scipy, which is quicker than the element-wise one of the product on large arrays."""
    from scipy.special import ndtr

    result: FloatArray = ndtr(z)
    return result


def slow_history(rng: np.random.Generator, world: World, segments: int, *, looks: int = LOOKS) -> tuple[Histogram, ...]:
    """Segments of healthy fleets on different days, as histograms."""
    batch = latencies(rng, draw(rng, world, steady_layout(world.pods, looks), segments), Slowness())
    out = []
    for k in range(segments):
        layout = steady_layout(world.pods, looks, f"day{k}")
        out.append(replace(batch, batch=replace(batch.batch, layout=layout)).histogram(k, segment_begin(k, segments)))
    return tuple(out)
