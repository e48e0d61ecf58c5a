"""The laws of the kernel, each with its name and its sentence, as functions over a write and over an ending.

A law of `WRITE_LAWS` sees every write that was applied, in the world as it is right after it; a law of `STANDING_LAWS`
sees the world at every answer; a law of `END_LAWS` sees a night that came to rest. Each returns what breaks it, or "".
The letters are those of the project's page of faults and invariants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.simulation.world import World
from tests.kernel.alarms import alarm_wins
from tests.kernel.asking import readable
from tests.kernel.belief import evidence, monotonous, one_version, quarantined, soak
from tests.kernel.capacity import availability, availability_of_a_write, settling, surge_of_a_write
from tests.kernel.course import direction_of_ignorance, ended_hold, legal_moves, lent, one_end, one_writer, restored
from tests.kernel.holds import alone, judged, step
from tests.kernel.hours import in_its_hours
from tests.kernel.memory import Memory, Moment
from tests.kernel.routes import forward_in_ignorance, reached, reached_by_a_write
from tests.kernel.writing import SECRET, blast_radius, bounded_record, bounded_tick, intent_first, no_secret


@dataclass(frozen=True, slots=True)
class Law:
    """A law: its name, its sentence, and what breaks it."""

    name: str
    says: str
    broken: Callable[[Moment], str]


class Broken(AssertionError):
    """A law is broken; the message has the law, its sentence and the numbers."""

    def __init__(self, name: str, says: str, how: str) -> None:
        super().__init__(f"{name}: {says} {how}")
        self.law = name


CORE_LAWS = (
    Law("S1 availability of a write", "Whoever lowers a slot leaves D - U available, even if only ready pods go.",
        availability_of_a_write),
    Law("S2 surge", "No write raises a slot above D, nor both together above D + S.", surge_of_a_write),
    Law("S3 positive evidence", "No batch and no success without a healthy verdict on data of this tick.", evidence),
    Law("S4 analysed is promoted", "What succeeds is the version that was bound and judged.", one_version),
    Law("S5 one end", "A release ends once, and its end is absorbing.", one_end),
    Law("S5 legal moves", "Phases move by the table, epochs and sequences only rise.", legal_moves),
    Law("S6 rollback restores", "RolledBack means: the incumbent is at D and ready, the contender is gone.", restored),
    Law("S6 success gives back", "Succeeded means: every field that was borrowed is as it was.", lent),
    Law("S7 direction of ignorance", "Who cannot read does not raise the contender.", direction_of_ignorance),
    Law("S8 one writer", "One release moves an app, and no older epoch moves it.", one_writer),
    Law("S13 blast radius", "We write our fields of our two Deployments and delete none.", blast_radius),
    Law("S14 intent first", "Every write of a slot stands in the record before it is made.", intent_first),
    Law("S15 soak", "A batch is left only after its least observation with all its pods.", soak),
    Law("S18 no secrets", "A secret of the app never appears in what we write about it.", no_secret),
    Law("S19 bounded record", "A record has at most 64 KiB.", bounded_record),
    Law("S19 bounded tick", "A tick makes a bounded number of requests.", bounded_tick),
    Law("S20 monotonous policy", "No edit loosens the policy of a running release.", monotonous),
    Law("S21 quarantine", "Nothing goes forward that was turned back for a fault of its own, until somebody lifts it.",
        quarantined),
    Law("S22 hours", "Nothing begins and no batch follows outside its hours; what goes back has none.", in_its_hours),
    Law("L6 no false freeze", "Every hold says why, until when and what then.", ended_hold),
)  # fmt: skip
# Of what is switched rather than scaled.
ROUTE_LAWS = (
    Law("W24 traffic of a write", "No write leaves a Service with less than D - U pods, or less than it had.",
        reached_by_a_write),
    Law("S7 traffic in ignorance", "Who cannot read sends no request to the contender.", forward_in_ignorance),
)  # fmt: skip
# Of a rollout that is held by its own fields.
HOLD_LAWS = (
    Law("S1 S2 a step", "A step ends within its stage, and takes no incumbent that is needed.", step),
    Law("S6 one version is left", "After a rollout that was held, one version runs.", alone),
)
# Of alerts.
ALERT_LAWS = (
    Law("L2 the alert wins", "No step forward is made while an alert fires that turns back, or could not be read.",
        alarm_wins),
)  # fmt: skip
WRITE_LAWS = CORE_LAWS + ROUTE_LAWS + HOLD_LAWS + ALERT_LAWS


@dataclass(frozen=True, slots=True)
class Standing:
    """A law about the world at any time."""

    name: str
    says: str
    broken: Callable[[World, Memory], str]


STANDING_LAWS = (
    Standing("S1 availability", "Nothing of ours takes the app below D - U.", availability),
    Standing("S4 settings", "No version that should run names a ConfigMap that is not there.", readable),
    Standing("W24 traffic", "A Service that something could serve is never empty by our hand.", reached),
    Standing("S2 judged", "No contender beyond its stage comes by our hand.", judged),
    Standing("S15 settling", "Remembers since when a stage has all its pods.", settling),
)


def judge_write(now: Moment, laws: tuple[Law, ...] = WRITE_LAWS) -> None:
    """Raise Broken for the first law that this write breaks."""
    for law in laws:
        if how := law.broken(now):
            raise Broken(law.name, law.says, how)


def judge_standing(world: World, memory: Memory) -> None:
    for law in STANDING_LAWS:
        if how := law.broken(world, memory):
            if law.broken is availability and memory.lying:
                continue  # a lie about pods cannot be seen through: only S1 against the served list holds
            raise Broken(law.name, law.says, how)


__all__ = [
    "CORE_LAWS",
    "HOLD_LAWS",
    "ROUTE_LAWS",
    "SECRET",
    "STANDING_LAWS",
    "WRITE_LAWS",
    "Broken",
    "Law",
    "Standing",
    "judge_standing",
    "judge_write",
]
