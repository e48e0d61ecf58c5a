"""The writes of rolling, out of hand-built looks: one Deployment, two ReplicaSets, and what people do to both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from controller.findings import Refusal
from controller.release.observation import Claim, Observation, PodState, ReplicaSetState
from controller.release.plan import PatchSlot
from controller.release.record import Record, SlotRecord
from controller.release.vocabulary import Phase
from controller.requests.looks import Neighbours
from controller.slots import claim_text, slot_state, template_digest
from controller.strategies.rolling import Rolling
from controller.strategies.rolling_fields import NEVER_AVAILABLE, NO_DEADLINE, held
from policies.schema import ReleasePolicySpec
from tests.controller.builders import APP, NOW, UID, a_policy, a_template

OLD, NEW, THIRD = a_template("app:v1"), a_template("app:v2"), a_template("app:v3")
OLD_DIGEST, NEW_DIGEST, THIRD_DIGEST = template_digest(OLD), template_digest(NEW), template_digest(THIRD)
OWN = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
SAVED = json.dumps({"incumbent": OLD_DIGEST, "spec.minReadySeconds": 5, "spec.paused": None,
                    "spec.progressDeadlineSeconds": 600, "spec.strategy": OWN})  # fmt: skip
ROLLING = Rolling()


def a_rolling(surge: int = 1, unavailable: int = 0, **more: Any) -> ReleasePolicySpec:
    rolling = {"canary": 1, "batches": ["50%", "100%"], "maxSurge": surge, "maxUnavailable": unavailable, **more}
    return a_policy(strategy={"rolling": rolling}).spec


@dataclass
class Look:
    """A release of ten pods in batch 1 (6 + 5), held; each test changes what it is about."""

    incumbent: int = 6
    contender: int = 5
    ready_contenders: int | None = None
    desired: int = 10
    template: Any = field(default_factory=lambda: NEW)
    spec: dict[str, Any] = field(default_factory=lambda: held(1, 0, paused=True))
    claimed: dict[str, Any] = field(default_factory=dict)
    phase: Phase = Phase.BATCH
    stage: int = 1
    observed: bool = True
    old_min_ready: float = 5.0
    third: tuple[int, int] = (0, 0)  # pods of a third template, and how many of them are ready

    @property
    def record(self) -> Record:
        return Record(
            phase=self.phase, epoch=2, desired=self.desired, stage=self.stage, stages=3,
            incumbent=SlotRecord("checkout", "uid-d", OLD_DIGEST, ("checkout-old",)),
            contender=SlotRecord("checkout", "uid-d", NEW_DIGEST, ("checkout-new",)),
        )  # fmt: skip

    def seen(self, policy: ReleasePolicySpec | None = None) -> Observation:
        said = {"phase": self.phase, "digest": NEW_DIGEST, "paused": True, "uid": UID, **self.claimed}
        claim = Claim(
            "rel", role="incumbent", epoch=2, replicas=self.desired, desired=self.desired, saved=SAVED, **said
        )
        raw = {
            "metadata": {"name": "checkout", "uid": "uid-d", "resourceVersion": "7", "generation": 3,
                         "annotations": {"nightferry.dev/claim": claim_text(claim)}},
            "spec": {"replicas": self.desired, "selector": {"matchLabels": {"app": "checkout"}},
                     "template": self.template, **self.spec},
            "status": {"observedGeneration": 3 if self.observed else 2, "availableReplicas": self.incumbent},
        }  # fmt: skip
        sets = (
            ReplicaSetState("checkout-old", "u1", "checkout", "old", OLD_DIGEST, self.incumbent, self.old_min_ready, 1,
                            OLD),
            ReplicaSetState("checkout-new", "u2", "checkout", "new", NEW_DIGEST, self.contender,
                            float(NEVER_AVAILABLE), 2, NEW),
            ReplicaSetState("checkout-third", "u3", "checkout", "third", THIRD_DIGEST, self.third[0],
                            float(NEVER_AVAILABLE), 3, THIRD),
        )  # fmt: skip
        ready = self.contender if self.ready_contenders is None else self.ready_contenders
        pods = (*_pods("old", self.incumbent, self.incumbent), *_pods("new", self.contender, ready))
        pods = (*pods, *_pods("third", *self.third))
        cast = ROLLING.cast(policy or a_rolling(), self.record, {"checkout": slot_state(raw)}, sets, pods)
        return Observation(
            app=APP, release="rel", uid=UID, now=NOW, incumbent=cast.incumbent, contender=cast.contender,
            incumbents=cast.incumbents, contenders=cast.contenders, replica_sets=sets,
        )  # fmt: skip

    def write(self, policy: ReleasePolicySpec | None = None, *, still: bool = False) -> PatchSlot | None:
        """The one write of this look, or None."""
        chosen = policy or a_rolling()
        writes = ROLLING.move(self.record, self.seen(chosen), chosen, still=still).writes
        assert len(writes) <= 1
        write = writes[0] if writes else None
        assert write is None or isinstance(write, PatchSlot)
        return write


def _pods(hashed: str, there: int, ready: int) -> tuple[PodState, ...]:
    return tuple(
        PodState(f"checkout-{hashed}-{n}", f"checkout-{hashed}", ready=n < ready, ready_since=NOW - 600,
                 labels={"app": "checkout", "pod-template-hash": hashed})
        for n in range(there)
    )  # fmt: skip


def fields_of(write: PatchSlot | None) -> dict[str, Any]:
    assert write is not None
    return dict(write.fields or {})


def fences(write: PatchSlot | None) -> tuple[int, int]:
    rolling = fields_of(write)["strategy"]["rollingUpdate"]
    return rolling["maxSurge"], rolling["maxUnavailable"]


# ------------------------------------------------------------------------------------------------- one Deployment


def test_the_stages_keep_the_surge_beside_each_batch_and_end_with_the_hand_back() -> None:
    stages = ROLLING.stages(a_rolling(), 10)
    assert [(one.contender, one.incumbent) for one in stages] == [(1, 10), (5, 6), (10, 1), (10, 0)]
    assert [one.gated for one in stages] == [True, True, True, False]
    assert stages[-1].name == "hand back"


def test_both_sides_are_views_of_one_deployment() -> None:
    seen = Look().seen()
    assert seen.incumbent is not None
    assert seen.contender is not None
    assert (seen.incumbent.replicas, seen.incumbent.digest) == (6, OLD_DIGEST)
    assert (seen.contender.replicas, seen.contender.digest) == (5, NEW_DIGEST)
    assert seen.incumbent.min_ready == seen.contender.min_ready == 5.0  # people's own, not ours
    assert (len(seen.incumbents), len(seen.contenders)) == (6, 5)


def test_any_other_template_shows_as_a_contender_that_changed() -> None:
    restarted = {**NEW, "metadata": {**NEW["metadata"], "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}
    for template in (a_template("app:v3"), OLD, restarted):
        contender = Look(template=template).seen().contender
        assert contender is not None
        assert contender.digest != NEW_DIGEST


def test_the_incumbents_template_by_our_own_hand_is_no_change_of_the_contender() -> None:
    contender = Look(template=OLD, claimed={"digest": OLD_DIGEST, "paused": False}).seen().contender
    assert contender is not None
    assert contender.digest == NEW_DIGEST


# --------------------------------------------------------------------------------------------------------- steps


def test_a_batch_that_is_there_and_paused_is_settled_and_left_alone() -> None:
    look = Look()
    assert look.write() is None
    assert ROLLING.unsettled(look.record, look.seen(), a_rolling()) == ""


def test_a_step_takes_as_many_incumbents_as_ready_contenders_stand_in_for_and_is_unpaused() -> None:
    write = Look(incumbent=8, contender=3, spec=held(1, 0, paused=True)).write()
    assert (fences(write), fields_of(write)["paused"]) == ((1, 3), False)
    assert write is not None
    assert write.claim is not None
    assert write.claim.paused is False
    assert write.replicas is None  # D is people's


def test_no_step_before_the_contenders_of_the_last_one_are_ready() -> None:
    assert Look(incumbent=8, contender=3, ready_contenders=2, spec=held(1, 0, paused=True)).write() is None


def test_a_step_that_has_come_to_rest_is_paused_and_one_that_has_not_is_waited_for() -> None:
    moving = held(1, 3, paused=False)
    assert fields_of(Look(incumbent=7, contender=4, spec=moving, claimed={"paused": False}).write())["paused"] is True
    assert Look(incumbent=8, contender=3, spec=moving, claimed={"paused": False}).write() is None
    # A hold does not wait.
    still = Look(incumbent=8, contender=3, spec=moving, claimed={"paused": False}).write(still=True)
    assert fields_of(still)["paused"] is True


def test_a_hold_makes_no_step() -> None:
    assert Look(incumbent=8, contender=3, spec=held(1, 0, paused=True)).write(still=True) is None


def test_nothing_is_lowered_on_what_the_controllers_have_not_seen_or_count_otherwise() -> None:
    assert Look(incumbent=8, contender=3, spec=held(1, 0, paused=True), observed=False).write() is None
    look = Look(incumbent=8, contender=3, spec=held(1, 0, paused=True))
    seen = look.seen()
    assert seen.contender is not None
    raw = {**seen.contender.raw, "status": {"observedGeneration": 3, "availableReplicas": 9}}
    counted = replace(seen, contender=replace(seen.contender, raw=raw))
    assert ROLLING.move(look.record, counted, a_rolling(), still=False).writes == ()


# --------------------------------------------------------------------------------------------------------- drift


@pytest.mark.parametrize(("incumbent", "contender"), [(3, 8), (5, 6), (0, 10)])
def test_contenders_beyond_the_stage_go_by_the_native_way_back(incumbent: int, contender: int) -> None:
    write = Look(incumbent=incumbent, contender=contender).write(still=True)
    assert write is not None
    assert write.template == OLD
    assert (fields_of(write)["minReadySeconds"], fields_of(write)["paused"], fences(write)) == (5, False, (1, 0))


def test_once_the_split_fits_the_contender_is_held_again_with_template_and_min_ready_in_one_patch() -> None:
    back = {**held(1, 0, paused=False), "minReadySeconds": 5}
    look = Look(incumbent=6, contender=4, template=OLD, spec=back, claimed={"digest": OLD_DIGEST, "paused": False})
    write = look.write()
    assert write is not None
    assert write.template == NEW
    assert (fields_of(write)["minReadySeconds"], fields_of(write)["paused"]) == (NEVER_AVAILABLE, True)


def test_an_app_scaled_to_nothing_gets_the_incumbents_template_so_that_it_comes_up_again() -> None:
    write = Look(incumbent=0, contender=0, desired=0).write()
    assert write is not None
    assert (write.template, fields_of(write)["paused"]) == (OLD, True)


def test_an_incumbent_that_has_inherited_our_min_ready_is_put_right_before_the_next_step() -> None:
    write = Look(incumbent=8, contender=3, spec=held(1, 0, paused=True), old_min_ready=float(NEVER_AVAILABLE)).write()
    assert write is not None
    assert write.template == OLD


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"paused": False}, "checkout.paused@3"),
        ({"minReadySeconds": 5}, "checkout.minReadySeconds@3"),
        ({"progressDeadlineSeconds": 600}, "checkout.progressDeadlineSeconds@3"),
        ({"strategy": OWN}, "checkout.strategy@3"),
    ],
)
def test_a_field_that_somebody_sets_back_is_counted_once_and_written_again(change: dict[str, Any], name: str) -> None:
    look = Look(spec={**held(1, 0, paused=True), **change})
    assert ROLLING.noticed(look.record, look.seen()) == (10, (name,))
    assert fields_of(look.write())["paused"] is True


def test_replicas_are_peoples_and_no_reversal() -> None:
    look = Look()
    look.desired = 14
    assert ROLLING.noticed(replace(look.record, desired=10), look.seen()) == (14, ())


def test_a_pause_is_ours_where_our_claim_says_so() -> None:
    assert ROLLING.paused_by(Look().record, Look().seen()) is None
    theirs = Look(claimed={"paused": False})
    assert ROLLING.paused_by(theirs.record, theirs.seen()) == ("someone", "checkout")
    assert theirs.write() is None


# --------------------------------------------------------------------------------------------- a third template


@pytest.mark.parametrize(("surge", "unavailable", "rest"), [(1, 0, (1, 0)), (3, 2, (3, 0)), (0, 2, (0, 1))])
def test_at_rest_the_fences_are_those_under_which_nothing_is_lost_if_somebody_sets_it_free(
    surge: int, unavailable: int, rest: tuple[int, int]
) -> None:
    policy = a_rolling(surge, unavailable)
    moved = Look(incumbent=5 + surge, spec=held(surge, 5 - surge, paused=False), claimed={"paused": False})
    assert fences(moved.write(policy)) == rest
    opened = Look(incumbent=5 + surge, spec=held(surge, 5 - surge, paused=True))
    assert (fences(opened.write(policy)), fields_of(opened.write(policy))["paused"]) == (rest, True)


def test_pods_of_a_third_template_are_taken_out_and_nothing_else_before_the_way_back() -> None:
    open_: dict[str, Any] = {"template": THIRD, "spec": held(1, 0, paused=False), "phase": Phase.ROLLING_BACK}
    claimed = {"phase": Phase.BATCH}
    # Un-paused, nobody knows how many pods of it are being made: it is paused first, and seen by its controller.
    first = Look(incumbent=6, contender=5, claimed=claimed, **open_).write()
    assert first is not None
    assert (first.template, fences(first), fields_of(first)["paused"]) == (None, (1, 0), True)
    third = {**open_, "spec": held(1, 0, paused=True)}
    assert Look(incumbent=6, contender=4, third=(1, 0), observed=False, claimed=claimed, **third).write() is None
    write = Look(incumbent=6, contender=4, third=(1, 0), claimed=claimed, **third).write()
    assert write is not None
    # At 6 + 4 of 10 with these fences, both versions stay as they are: only the third may go.
    assert (write.template, fences(write), fields_of(write)["paused"]) == (NEW, (0, 4), False)
    swept = Look(incumbent=6, contender=4, third=(1, 0), claimed={"phase": Phase.ROLLING_BACK, "paused": False},
                 spec=held(0, 4, paused=False), phase=Phase.ROLLING_BACK)  # fmt: skip
    assert swept.write() is None
    assert ROLLING.noticed(swept.record, swept.seen())[1] == ()
    # Pods that serve are as good as the contenders', which leave first.
    ready = Look(incumbent=6, contender=4, third=(1, 1), claimed=claimed, **third).write()
    assert ready is not None
    assert ready.template == OLD


def test_no_stage_is_settled_beside_pods_of_a_third_template() -> None:
    look = Look(incumbent=6, contender=4, third=(1, 1))
    assert "another template" in ROLLING.unsettled(look.record, look.seen(), a_rolling())
    assert fences(look.write()) == (0, 4)
    assert look.write(still=True) is None


# --------------------------------------------------------------------------------------------------- giving back


def test_the_hand_back_gives_the_policys_bounds_until_the_pods_have_moved_and_then_the_owners() -> None:
    look = Look(incumbent=1, contender=10, stage=3, spec=held(1, 0, paused=True))
    write = look.write()
    given = fields_of(write)
    assert (given["minReadySeconds"], given["progressDeadlineSeconds"], given["paused"]) == (5, 600, None)
    assert fences(write) == (1, 0)  # the Deployment's own 25 % would let two incumbents go at once
    assert write is not None
    assert write.template is None
    gone = Look(incumbent=0, contender=10, stage=3, spec=given, claimed={"paused": False})
    assert fields_of(gone.write())["strategy"] == OWN
    home = Look(incumbent=0, contender=10, stage=3, spec={**given, "strategy": OWN}, claimed={"paused": False})
    assert home.write() is None
    assert ROLLING.unsettled(home.record, home.seen(), a_rolling()) == ""


def test_what_was_given_back_is_not_taken_back_when_a_pod_is_lost_or_a_change_is_not_seen_yet() -> None:
    home = {"minReadySeconds": 5, "progressDeadlineSeconds": 600, "strategy": OWN, "paused": None}
    given: dict[str, Any] = {"stage": 3, "spec": home, "claimed": {"paused": False}}
    assert Look(incumbent=0, contender=10, observed=False, **given).write() is None
    assert Look(incumbent=0, contender=10, ready_contenders=9, **given).write() is None
    back: dict[str, Any] = {"phase": Phase.ROLLING_BACK, "template": OLD, "spec": home,
            "claimed": {"digest": OLD_DIGEST, "paused": False}}  # fmt: skip
    assert Look(incumbent=10, contender=0, observed=False, **back).write() is None


def test_the_owners_bounds_come_at_once_where_they_promise_no_less_than_the_policy() -> None:
    look = Look(incumbent=1, contender=10, stage=3, spec=held(1, 0, paused=True))
    assert fields_of(look.write(a_rolling(3, 2)))["strategy"] == OWN


def test_the_way_back_is_one_patch_with_the_incumbents_template_and_the_owners_fields() -> None:
    look = Look(phase=Phase.ROLLING_BACK, claimed={"phase": Phase.BATCH})
    write = look.write(a_rolling(3, 2))
    assert write is not None
    assert write.template == OLD
    assert fields_of(write) == {"minReadySeconds": 5, "progressDeadlineSeconds": 600, "strategy": OWN, "paused": None}
    assert ROLLING.unrestored(look.record, look.seen(), a_rolling(3, 2)) != ""


def test_a_rollback_asks_nobody_who_pauses_it() -> None:
    home = {"minReadySeconds": 5, "progressDeadlineSeconds": 600, "strategy": OWN, "paused": True}
    look = Look(phase=Phase.ROLLING_BACK, template=OLD, spec=home, claimed={"digest": OLD_DIGEST, "paused": False})
    assert fields_of(look.write(a_rolling(3, 2)))["paused"] is None
    assert ROLLING.noticed(look.record, look.seen()) == (10, ("checkout.paused@3",))


# ----------------------------------------------------------------------------------------------------- beginning


def _idle(**spec: Any) -> Observation:
    raw = {
        "metadata": {"name": "checkout", "uid": "uid-d", "generation": 1, "resourceVersion": "7"},
        "spec": {"replicas": 10, "selector": {"matchLabels": {"app": "checkout"}}, "template": OLD, "strategy": OWN,
                 **spec},
        "status": {"observedGeneration": 1},
    }  # fmt: skip
    sets = (ReplicaSetState("checkout-old", "u1", "checkout", "old", OLD_DIGEST, 10, 0.0, 1, OLD),)
    cast = ROLLING.cast(a_rolling(), Record(), {"checkout": slot_state(raw)}, sets, _pods("old", 10, 10))
    return Observation(
        app=APP, release="rel", uid=UID, now=NOW, incumbent=cast.incumbent, contender=cast.contender,
        incumbents=cast.incumbents, contenders=cast.contenders, replica_sets=sets,
    )  # fmt: skip


def test_the_preparation_is_one_patch_paused_with_template_and_min_ready_together() -> None:
    seen = _idle()
    record = Record(phase=Phase.PREFLIGHT, saved=ROLLING.saved(a_rolling(), seen))
    (write,) = ROLLING.prepare(record, seen, NEW).writes
    assert isinstance(write, PatchSlot)
    assert write.template == NEW
    assert write.replicas is None
    assert fields_of(write) == held(1, 0, paused=True)
    assert fields_of(write)["progressDeadlineSeconds"] == NO_DEADLINE
    assert write.claim is not None
    assert json.loads(write.claim.saved)["incumbent"] == OLD_DIGEST
    assert json.loads(record.saved[0].fields)["spec.strategy"] == OWN


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"strategy": {"type": "Recreate"}}, "Recreate"),
        ({"revisionHistoryLimit": 0}, "revisionHistoryLimit"),
        ({"minReadySeconds": NEVER_AVAILABLE}, "minReadySeconds"),
    ],
)
def test_a_deployment_that_could_not_be_led_back_is_refused(spec: dict[str, Any], word: str) -> None:
    found = ROLLING.problems(a_rolling(), Record(), _idle(**spec), Neighbours())
    assert isinstance(found, Refusal)
    assert word in found.because


def test_an_ordinary_deployment_is_not_refused() -> None:
    assert ROLLING.problems(a_rolling(), Record(), _idle(), Neighbours()) is None


def test_a_gitops_owner_of_the_fields_that_are_held_is_refused_and_one_of_template_and_replicas_is_not() -> None:
    def owned(*fields: str) -> Observation:
        seen = _idle()
        assert seen.contender is not None
        entry = {
            "manager": "argocd-controller",
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:spec": {f"f:{name}": {} for name in fields}},
        }
        raw = {**seen.contender.raw, "metadata": {**seen.contender.raw["metadata"], "managedFields": [entry]}}
        return replace(seen, contender=replace(seen.contender, raw=raw))

    assert ROLLING.problems(a_rolling(), Record(), owned("template", "replicas"), Neighbours()) is None
    found = ROLLING.problems(a_rolling(), Record(), owned("strategy"), Neighbours())
    assert isinstance(found, Refusal)
    assert "ignoreDifferences" in found.because
