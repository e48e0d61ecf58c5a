"""What is allowed for before pods are compared: young pods and the route mix change what events are due."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from analysis.learned import AgeCurve
from analysis.samples import REST, Tally


def aged(tally: Tally, born: Mapping[str, float], curve: AgeCurve, power: float = 1.0, most: float = math.inf) -> Tally:
    """The same events over exposures that count a young pod for w(age)^power old ones, at most `most` of them.

    born: start times in seconds; a pod without one counts as old. A window counts by the age at its middle.
    """
    known = np.array([born.get(pod, -math.inf) for pod in tally.pods])
    age = (tally.ends - 0.5 * tally.window)[None, :] - known[:, None]
    return replace(tally, exposure=tally.exposure * np.minimum(curve.of(age) ** power, most))


def mixed(tally: Tally, mix: tuple[tuple[str, float], ...]) -> Tally:
    """The same events over requests that count by their stratum.

    A stratum that history did not know counts as the rest. A tally that is not split keeps its requests as they are.
    The result is no longer split.
    """
    if tally.strata is None or not mix:
        return replace(tally, strata=None)
    known: Mapping[str, float] = dict(mix)
    other = known.get(REST, 1.0)
    rho = np.array([known.get(name, other) for name in tally.strata.names])
    return replace(tally, exposure=np.tensordot(rho, tally.strata.exposure, axes=1), strata=None)
