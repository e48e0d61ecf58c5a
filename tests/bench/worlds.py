"""Simulated fleets for the gates: pods, requests and errors per window, with the noise of real services.

Generators of the published figures: ten pods, sixty looks of 30 s, one contender pod, then three, then five.
Everything is drawn from the generator that is passed in; nothing else is random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.samples import Histogram, Tally
from analysis.special import FloatArray
from analysis.verdict import Freshness

WINDOW = 30.0
LOOKS = 60
STAGES = ((0, 1), (20, 3), (40, 5))


@dataclass(frozen=True, slots=True)
class World:
    """How a fleet behaves when nothing is wrong.

    rate: requests/s of the whole fleet. base: error rate. pod_sd: sd of a pod's own log error rate. window_cv2 and
    memory: squared variation and AR(1) memory of a pod's window noise. bursts: share of windows with tenfold errors.
    shock: sd of the log of what all pods share, AR(.9).
    """

    name: str
    rate: float = 100.0
    base: float = 0.005
    pods: int = 10
    pod_sd: float = 0.0
    window_cv2: float = 0.0
    memory: float = 0.0
    bursts: float = 0.0
    shock: float = 0.4
    weight_sd: float = 0.15
    stages: tuple[tuple[int, int], ...] = STAGES


CLEAN = World("S0 no pod noise")
MODERATE = World("S1 pod sd .10", pod_sd=0.10, window_cv2=0.3, memory=0.6)
HEAVY = World("S2 pod sd .25, bursts", pod_sd=0.25, window_cv2=1.0, memory=0.8, bursts=0.005, shock=0.6)
QUIET = World("S3 5 requests/s", rate=5.0, pod_sd=0.10, window_cv2=0.3, memory=0.6)
BUSY = World("S4 1000 requests/s", rate=1000.0, pod_sd=0.10, window_cv2=0.3, memory=0.6)
ASSUMED = World("pod sd .15, as assumed", pod_sd=0.15)
WORLDS = (CLEAN, ASSUMED, MODERATE, HEAVY, QUIET, BUSY)


@dataclass(frozen=True, slots=True)
class Regression:
    """What is wrong with the contender from look `onset`, on all its pods or only the first.

    Errors times `factor`, and `points` (a share of requests) more of them: those share the pod's own noise and not what
    moves all pods.
    """

    factor: float = 1.0
    onset: int = 0
    one_pod: bool = False
    points: float = 0.0


def _ar1(rng: np.random.Generator, shape: tuple[int, int], memory: float, sd: float) -> FloatArray:
    """Stationary Gaussian AR(1) along the last axis."""
    fresh = rng.normal(size=shape) * sd
    out = np.empty(shape)
    out[:, 0] = fresh[:, 0]
    for u in range(1, shape[1]):
        out[:, u] = memory * out[:, u - 1] + math.sqrt(1.0 - memory**2) * fresh[:, u]
    return out


@dataclass(frozen=True, slots=True)
class Pods:
    """A fleet in which nothing is wrong: names, and per pod and window requests and error rates.

    The contender pods come first, and are `contenders` at the end. shock: what of the rates all pods share, a factor
    per window. Old pods stop where new ones take over; the new pods have pod effects of their own.
    """

    names: tuple[str, ...]
    requests: FloatArray
    rate: FloatArray
    shock: FloatArray
    contenders: int


def fleet(rng: np.random.Generator, world: World) -> Pods:
    """Draw a fleet."""
    last = world.stages[-1][1]
    pods = last + world.pods
    share = np.exp(rng.normal(size=(pods, 1)) * world.weight_sd)
    alive = np.zeros((pods, LOOKS))
    for since, count in world.stages:
        alive[:, since:] = 0.0
        alive[:count, since:] = 1.0
        alive[last : last + world.pods - count, since:] = 1.0
    load = np.exp(0.3 * np.sin(2 * np.pi * np.arange(LOOKS) / LOOKS + rng.uniform(0, 2 * np.pi)))
    weight = share * alive
    mean = weight / weight.sum(axis=0) * world.rate * WINDOW * load
    requests = rng.poisson(mean).astype(np.float64)
    noise_sd = math.sqrt(math.log1p(world.window_cv2))
    own = rng.normal(size=(pods, 1)) * world.pod_sd
    shock = _ar1(rng, (1, LOOKS), 0.9, world.shock)
    log_rate = own + shock
    if noise_sd:
        log_rate = log_rate + _ar1(rng, (pods, LOOKS), world.memory, noise_sd) - noise_sd**2 / 2
    log_rate = log_rate + math.log(10.0) * (rng.random((pods, LOOKS)) < world.bursts)
    names = tuple(f"new-{i}" for i in range(last)) + tuple(f"old-{i}" for i in range(world.pods))
    return Pods(names, requests, np.minimum(world.base * np.exp(log_rate), 0.9), np.exp(shock), last)


def error_release(rng: np.random.Generator, world: World, wrong: Regression) -> Tally:
    """A whole release as exact counts; errors are binomial."""
    pods = fleet(rng, world)
    hit = np.zeros(pods.rate.shape, dtype=np.bool_)
    hit[: 1 if wrong.one_pod else pods.contenders, wrong.onset :] = True
    worse = pods.rate * wrong.factor + wrong.points * pods.rate / (world.base * pods.shock)
    rate = np.minimum(np.where(hit, worse, pods.rate), 0.95)
    errors = rng.binomial(pods.requests.astype(np.int64), rate).astype(np.float64)
    return as_tally(pods.names, pods.requests, errors, pods.contenders)


def as_tally(names: tuple[str, ...], requests: FloatArray, events: FloatArray, contenders: int) -> Tally:
    """Counts as the data layer would hand them over."""
    looks = requests.shape[1]
    ends = WINDOW * np.arange(1, looks + 1)
    mine = np.arange(len(names)) < contenders
    freshness = Freshness(last_contender_end=float(ends[-1]), contender_windows=looks)
    return Tally(names, mine, requests, events, requests > 0, ends, WINDOW, freshness)


def latency_release(
    rng: np.random.Generator, world: World, *, scale: float = 1.0, slow_share: float = 0.0, speed_sd: float = 0.03
) -> Histogram:
    """A whole release as bucket counts: log-normal latency (median 80 ms, log sd .8) on Prometheus' default buckets.

    scale: the contender's latency times this. slow_share: share of contender requests that take 2 s more. speed_sd: sd
    of a pod's own log speed; world.pod_sd and window noise act on the log of the speed at a fifth of their size.
    """
    pods = fleet(rng, world)
    names, requests, contenders = pods.names, pods.requests, pods.contenders
    bounds = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
    speed = 0.2 * (np.log(pods.rate) - math.log(world.base)) + rng.normal(size=(len(names), 1)) * speed_sd
    speed[:contenders] += math.log(scale)
    slow = np.zeros((len(names), 1))
    slow[:contenders] = slow_share
    z = (np.log(bounds)[:, None, None] - math.log(0.08) - speed[None]) / 0.8
    below = _phi(z) * (1.0 - slow) + slow * (bounds[:, None, None] >= 2.5) * _phi(z)
    left, cumulative = requests.astype(np.int64), np.zeros_like(z)
    done = np.zeros_like(requests)
    reached = np.zeros_like(requests)
    for j in range(bounds.size):
        chance = np.clip((below[j] - reached) / np.maximum(1.0 - reached, 1e-12), 0.0, 1.0)
        here = rng.binomial(left, chance)
        left = left - here
        done = done + here
        cumulative[j] = done
        reached = below[j]
    tally = as_tally(names, requests, np.zeros_like(requests), contenders)
    return Histogram(bounds, requests[None] - cumulative, tally)


def _phi(z: FloatArray) -> FloatArray:
    from analysis.special import normal_cdf

    return normal_cdf(z)
