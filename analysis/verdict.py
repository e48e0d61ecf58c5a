"""A verdict, and the evidence that must accompany it wherever it goes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from analysis.figures import kept
from analysis.learned import Standing
from analysis.windows import ContenderWindows


class Verdict(StrEnum):
    """What the numbers of one gate say; never an exception, never a boolean."""

    HEALTHY = "Healthy"
    UNDECIDED = "Undecided"
    BLIND = "Blind"
    SHARED = "Shared"
    DEGRADED = "Degraded"

    @property
    def severity(self) -> int:
        """Rank in the order Healthy < Undecided < Blind < Shared < Degraded."""
        return SEVERITY[self]


SEVERITY: Final[dict[Verdict, int]] = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe verdict; without any verdict nothing was seen, which is Blind."""
    return max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.BLIND)


class NoData(StrEnum):
    """Why an answer, a pod or a side cannot be used. Absence is a value: each of these means hold."""

    NO_SERIES = "NoSeries"
    NO_WINDOW = "NoWindow"
    NO_TRAFFIC = "NoTraffic"
    TOO_FEW_EVENTS = "TooFewEvents"
    STALE = "Stale"
    NON_FINITE = "NonFinite"
    NEGATIVE = "Negative"
    DUPLICATE = "Duplicate"
    MISALIGNED = "Misaligned"
    MALFORMED = "Malformed"
    BUCKETS_DIFFER = "BucketsDiffer"
    BUCKETS_TOO_COARSE = "BucketsTooCoarse"
    UNREACHABLE = "Unreachable"
    QUERY_REFUSED = "QueryRefused"
    ERROR_STATUS = "ErrorStatus"
    PARTIAL = "Partial"
    WRONG_TYPE = "WrongType"
    TOO_LARGE = "TooLarge"
    TOO_FEW_PODS = "TooFewPods"
    TOO_YOUNG = "TooYoung"
    MIXED_ROLES = "MixedRoles"
    CONSTANT = "Constant"
    NO_HISTORY = "NoHistory"


@dataclass(frozen=True, slots=True)
class Absence:
    """No usable data: the reason, and in words where it was met."""

    reason: NoData
    detail: str


ASSUMED: Final = Standing()
"""What stands behind a gate that has learned nothing."""


SHARE: Final = "share"
PER_SECOND: Final = "perSecond"
LEVEL: Final = "level"
"""What the two rates of an effect are: shares of requests, events per pod and second, or levels of a gauge."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Contender over incumbent as a ratio of event rates, with its interval.

    ratio: point estimate, None without incumbent events. low, high: ends of the interval; high is None when the
    data does not bound it. rates: one per side, in the unit that measure names; shares of requests lie in [0, 1].
    """

    ratio: float | None
    low: float
    high: float | None
    contender_rate: float
    incumbent_rate: float
    measure: str = SHARE


@dataclass(frozen=True, slots=True)
class Onset:
    """When the harm began, where that was not at the first window, and what both sides did since; see `analysis.onset`.

    at: when it began; first, last: beginning and end of all windows that were counted; seconds since the epoch.
    requests, rates: contender and incumbent since `at`, as in `Exposure` and `Effect`. ratio: None without incumbent
    events since then.
    """

    at: float
    first: float
    last: float
    requests: tuple[float, float]
    rates: tuple[float, float]
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much was seen, in windows in which both sides reported."""

    contender_requests: float = 0.0
    incumbent_requests: float = 0.0
    contender_events: float = 0.0
    incumbent_events: float = 0.0
    contender_pods: int = 0
    incumbent_pods: int = 0
    windows: int = 0
    minutes: float = 0.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """How recent and how much, counted in windows with samples and never in wall time.

    last_contender_end: end of the last usable contender window (seconds since the epoch), None without one.
    contender_windows: settled windows in which at least one contender pod had usable data (the soak).
    silent: expected contender pods without a recent usable window.
    voided: pod-windows lost to resets, restarts and holes.
    """

    last_contender_end: float | None = None
    contender_windows: int = 0
    silent: tuple[str, ...] = ()
    voided: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verdict with everything needed to explain it, dispute it and store it.

    log_evidence / threshold: natural log of the evidence against "no change" and what it must exceed.
    margin_evidence / margin_threshold: the same against "inside the margin". Degraded needs both, or a broken limit.
    onset: of Degraded, where the harm began later than the observation. leaning: the evidence is above the threshold at
    which a release stops going on by itself. could_hide: the largest harm that is not ruled out, in the gate's own
    measure (a ratio of error rates, of latencies, of throughputs); None when nothing is ruled out. boundary, quantiles:
    latency only, in seconds; quantiles is ((name, contender, incumbent), ...). windows: those that were counted, None
    where there is no usable one; no part of what is stored.
    """

    verdict: Verdict
    because: str
    would_change: str
    exposure: Exposure = Exposure()
    freshness: Freshness = Freshness()
    effect: Effect | None = None
    onset: Onset | None = None
    log_evidence: float = 0.0
    threshold: float = 0.0
    margin_evidence: float = 0.0
    margin_threshold: float = 0.0
    standing: Standing = ASSUMED
    leaning: bool = False
    could_hide: float | None = None
    no_data: NoData | None = None
    blame: str | None = None
    limit_broken: bool = False
    boundary: float | None = None
    quantiles: tuple[tuple[str, float | None, float | None], ...] = ()
    warnings: tuple[str, ...] = ()
    windows: ContenderWindows | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON types, four significant digits, empty fields left out; at most about 1 KiB as JSON."""
        seen = self.exposure
        out: dict[str, object] = {
            "verdict": self.verdict.value,
            "because": _short(self.because, 280),
            "wouldChange": _short(self.would_change, 160),
            "exposure": {
                "requests": [kept(seen.contender_requests), kept(seen.incumbent_requests)],
                "events": [kept(seen.contender_events), kept(seen.incumbent_events)],
                "pods": [seen.contender_pods, seen.incumbent_pods],
                "windows": seen.windows,
                "minutes": kept(seen.minutes),
            },
            "logEvidence": [kept(self.log_evidence), kept(self.threshold)],
            "marginEvidence": [kept(self.margin_evidence), kept(self.margin_threshold)],
            "guarantee": str(self.standing),
        }
        if self.leaning:
            out["leaning"] = True
        if self.could_hide is not None and math.isfinite(self.could_hide):
            out["couldHide"] = kept(self.could_hide)
        if self.effect is not None:
            out["effect"] = {
                "ratio": kept(self.effect.ratio),
                "interval": [kept(self.effect.low), kept(self.effect.high)],
                "rates": [kept(self.effect.contender_rate), kept(self.effect.incumbent_rate)],
            }
            if self.effect.measure != SHARE:
                out["measure"] = self.effect.measure
        if self.onset is not None:
            began = self.onset
            out["onset"] = {
                "at": round(began.at),
                "span": [round(began.first), round(began.last)],
                "requests": [kept(each) for each in began.requests],
                "rates": [kept(each) for each in began.rates],
                "ratio": kept(began.ratio),
            }
        if self.freshness.last_contender_end is not None:
            out["lastSample"] = round(self.freshness.last_contender_end, 3)
        if self.no_data is not None:
            out["noData"] = self.no_data.value
        if self.blame is not None:
            out["blame"] = _short(self.blame, 63)
        if self.limit_broken:
            out["limitBroken"] = True
        if self.boundary is not None:
            out["boundary"] = kept(self.boundary)
        if self.quantiles:
            out["quantiles"] = {name: [kept(ours), kept(theirs)] for name, ours, theirs in self.quantiles}
        if self.warnings:
            out["warnings"] = [_short(text, 90) for text in self.warnings[:2]]
        return out


def blind(absence: Absence, *, exposure: Exposure | None = None, freshness: Freshness | None = None) -> Evidence:
    """Evidence of having no usable data: neither a pass nor a failure."""
    return Evidence(
        verdict=Verdict.BLIND,
        because=f"No usable data ({absence.reason.value}): {absence.detail}",
        would_change="usable samples of contender and incumbent in the same settled windows",
        exposure=exposure or Exposure(),
        freshness=freshness or Freshness(),
        no_data=absence.reason,
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
