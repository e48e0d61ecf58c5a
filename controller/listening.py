"""The part of a tick that asks what fires: once before it is decided, and once more right before it is written down.

The second reading closes the gap: an alert that began while the gates were asked, or while the cluster was looked at
again, is not lost against the advance that this very tick would make. What was seen to fire at the first reading is
not forgotten at the second: an alert that flickers has fired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller import firing
from controller.attempt import Reading, seconds
from controller.firing import Level
from controller.inbox import Told
from controller.progress import span
from controller.record import noted
from controller.release.names import AppKey
from controller.release.observation import Firing, Observation
from controller.release.record import Record
from controller.release.vocabulary import FORWARD, Phase
from controller.requests import objects_in
from controller.requests.failure import Failure
from controller.requests.looks import ReadReleases
from controller.requests.outside import FiringAlerts
from policies.schema import OnAlert, ReleasePolicySpec

_MOST_OTHERS = 5
NIGHT = 12 * 3600.0  # seconds within which another release is one of the same night


def concerned(record: Record, policy: ReleasePolicySpec) -> tuple[OnAlert, ...]:
    """The alerts that matter to a release at this moment: none where gates have no say, and none on the way back."""
    if record.phase not in FORWARD or record.skip_gates or record.origin != "change":
        return ()
    return policy.alerts or ()


def posted(record: Record, policy: ReleasePolicySpec, posts: Sequence[Told]) -> Level:
    """What posts alone say, without asking anybody."""
    if record.phase is Phase.ROLLING_BACK:
        return Level(late=firing.with_inbox(Level(), policy.alerts or (), posts).active)
    return firing.with_inbox(Level(), concerned(record, policy), posts)


def ask_level(alerts: Sequence[OnAlert], inbox: Sequence[Told], now: float) -> Reading[Level]:
    """What fires now and what posts have told; nothing is asked for a policy without alerts."""
    if not alerts:
        return Level()
    answer = yield firing.question(alerts)
    if isinstance(answer, FiringAlerts):
        seen = firing.level(alerts, answer, now)
    else:
        seen = Level(unheard=answer.message if isinstance(answer, Failure) else "no answer")
    return firing.with_inbox(seen, alerts, inbox)


def both(first: Level, second: Level) -> Level:
    """Two readings of one tick as one: what fired at either fires, and who could not be asked at the end is unheard."""
    known = {each.fingerprint: each for each in first.active} | {each.fingerprint: each for each in second.active}
    return Level(firing.ordered(known.values()), second.muted or first.muted, unheard=second.unheard)


def with_alerts(
    seen: Observation, heard: Level, record: Record, policy: ReleasePolicySpec, others: tuple[str, ...] = ()
) -> Observation:
    """The observation with what counts against this release; in mode observe nothing does."""
    if not concerned(record, policy) or policy.mode == "observe":
        return seen
    counting: tuple[Firing, ...] | None = firing.counting(heard.active, record, seen.now)
    if heard.unheard and not counting:
        counting = None
    return replace(seen, firing=counting, unheard=heard.unheard, others=others)


def noted_alerts(record: Record, heard: Level, policy: ReleasePolicySpec, now: float) -> Record:
    """The record with a line for each alert that changes nothing: it is evidence all the same."""
    idle = heard.active if policy.mode == "observe" else ()
    for part, found, why in (
        ("muted", heard.muted, "it is silenced or inhibited in Alertmanager, and does not count"),
        ("late", heard.late, "the release is going back already"),
        ("idle", idle, "mode observe decides nothing"),
    ):
        told = firing.graver(firing.counting(found, record, now))
        new = [each for each in told if not firing.is_known(record, each, part)]
        new = [each for each in new if part != "late" or not firing.is_known(record, each, "charged")]
        if new:
            record = firing.remembered(record, new, part, now)
            record = noted(record, "Alert", f"{firing.described(new, now)}; {why}", now)
    return record


def ask_others(app: AppKey, now: float) -> Reading[tuple[str, ...]]:
    """The other releases of the namespace that could be to blame: those under way, and those of the last hours."""
    answer = yield ReadReleases(app.namespace, "")
    found = [_other(each, now) for each in objects_in(answer) if (each.get("spec") or {}).get("policy") != app.policy]
    told = sorted(filter(None, found))
    more = (f"and {len(told) - _MOST_OTHERS} more",) if len(told) > _MOST_OTHERS else ()
    return (*(text for _, text in told[:_MOST_OTHERS]), *more)


def _other(release: Mapping[str, object], now: float) -> tuple[float, str] | None:
    """(age, words) of a release that has moved something lately; None for any other."""
    status, metadata = release.get("status"), release.get("metadata")
    if not isinstance(status, Mapping) or not isinstance(metadata, Mapping):
        return None
    phase, batch = str(status.get("phase") or ""), status.get("batchText")
    if phase in ("", "Queued", "Preflight", "Cancelled"):
        return None
    try:
        age = max(0.0, now - seconds(str(status.get("since") or "")))
    except ValueError:
        return None
    if age > NIGHT:
        return None
    where = f"{phase} {batch}" if batch and phase in ("Canary", "Batch") else phase
    return age, f"{status.get('app')}/{metadata.get('name')} ({where} for {span(age)})"
