"""Route mix: what a request of each stratum is worth, so that a shift of traffic does not look like a worse version.

A release may move traffic from a route with few errors to one with many. Requests are therefore counted in units of an
average request of history: n* = Σ_r n_r ρ_r, with ρ_r the stratum's rate over the overall rate. The contender's share
of n* is then its share of the errors to expect, whatever it serves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.allowance import mixed
from analysis.assumptions import MIX_PRIOR_EVENTS, MIX_ROUNDS, MOST_STRATA
from analysis.learned import NotLearned
from analysis.samples import REST, Strata, Tally
from analysis.special import FloatArray

__all__ = ["Mix", "learned_mix", "mixed"]

Mix = tuple[tuple[str, float], ...]


def learned_mix(segments: Sequence[Tally]) -> Mix | NotLearned:
    """ρ per stratum, the ten with most requests and the rest, from stretches of history.

    Events of stratum r in window u are Poisson with mean n_ru ρ_r R_u: the overall rate R_u of each window is its own,
    so that an hour with many errors does not count against the routes that are busy in it. Fitted by proportional
    scaling (R = Σx / Σnρ, ρ = Σx / ΣnR in turns), which climbs the likelihood; each ρ is drawn towards the rate of all
    by a handful of events. Scaled so that Σ n ρ = Σ n over history.
    """
    split = [segment.strata for segment in segments if segment.strata is not None and segment.ends.size]
    if not split:
        return NotLearned("NoStrata", "the requests of history are not split by the label of the mix")
    names = _largest(split)
    requests = np.concatenate([_by_name(one, one.exposure, names) for one in split], axis=1)
    events = np.concatenate([_by_name(one, one.events, names) for one in split], axis=1)
    if events.sum() <= 0.0:
        return NotLearned("NoEvents", "no stratum of history has an event: their rates cannot be told apart")
    rho = np.ones(len(names))
    for _ in range(MIX_ROUNDS):
        weighed = rho @ requests
        rate = np.divide(events.sum(axis=0), weighed, out=np.zeros_like(weighed), where=weighed > 0.0)
        before, rho = rho, (events.sum(axis=1) + MIX_PRIOR_EVENTS) / (requests @ rate + MIX_PRIOR_EVENTS)
        if np.allclose(rho, before, rtol=1e-9, atol=0.0):
            break
    rho *= requests.sum() / float((rho @ requests).sum())
    return tuple((name, float(value)) for name, value in zip(names, rho, strict=True))


def _largest(split: Sequence[Strata]) -> list[str]:
    """Names of the ten strata with most requests, and REST for whatever else there is."""
    totals: dict[str, float] = {}
    for one in split:
        for name, requests in zip(one.names, one.exposure.sum(axis=(1, 2)).tolist(), strict=True):
            totals[name] = totals.get(name, 0.0) + requests
    named = sorted((name for name in totals if name != REST), key=lambda name: (-totals[name], name))
    kept, left = named[:MOST_STRATA], named[MOST_STRATA:]
    return [*kept, REST] if left or totals.get(REST, 0.0) > 0.0 else kept


def _by_name(one: Strata, counts: FloatArray, names: Sequence[str]) -> FloatArray:
    """Counts summed over pods in the order of `names`, whatever has another name under REST."""
    out = np.zeros((len(names), counts.shape[2]))
    for name, many in zip(one.names, counts, strict=True):
        out[names.index(name) if name in names else len(names) - 1] += many.sum(axis=0)
    return out
