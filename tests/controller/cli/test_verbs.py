"""The verbs of people: each is one field of one Release, with a clear word where it is not to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.applying import applied
from controller.release.decision import Finish, Hold, RollBack
from controller.release.names import CLAIM_ANNOTATION
from controller.release.observation import Claim
from controller.release.record import Record
from controller.release.vocabulary import Cause, HoldReason, Phase
from controller.slots import claim_text
from tests.controller.apiserver import ApiServer
from tests.controller.cli.world import T0, Nightferry, deployment, ended, has_release, moving

SUCCEEDED = ended(Phase.SUCCEEDED, Cause.COMPLETED)
STRANDED = ended(Phase.NEEDS_HUMAN, Cause.FIELD_FIGHT)


def held(reason: HoldReason, stage: int = 0) -> Record:
    return applied(moving(stage), Hold(reason, "and so it waits", T0 + 900.0, "rollBack"), (), T0 + 300.0)


def wish(api: ApiServer) -> dict[str, Any]:
    """The spec of the one patch that was written."""
    [(method, plural, body)] = api.writes
    assert (method, plural) == ("PATCH", "releases")
    assert set(body) == {"metadata", "spec"}
    assert set(body["metadata"]) == {"resourceVersion"}
    spec: dict[str, Any] = body["spec"]
    return spec


def test_pause_and_resume(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(1))
    assert nightferry("pause", "checkout").out == "release shop/checkout-1 is paused\n"
    assert wish(app) == {"paused": True}
    assert nightferry("pause", "checkout").out == "release shop/checkout-1 was paused already\n"
    app.writes.clear()
    assert nightferry("resume", "checkout").code == 0
    assert wish(app) == {"paused": False}
    assert nightferry("resume", "checkout").out == "release shop/checkout-1 was not paused\n"
    assert len(app.writes) == 1


def test_resume_does_not_pretend_to_end_another_hold(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", held(HoldReason.BLIND))
    assert "it is held: Blind: and so it waits" in nightferry("resume", "checkout").refusal
    assert app.writes == []


@pytest.mark.parametrize("reason", [HoldReason.MANUAL, HoldReason.UNDECIDED])
@pytest.mark.parametrize("stage", [0, 3])
def test_promote_names_the_stage_that_waits(
    app: ApiServer, nightferry: Nightferry, reason: HoldReason, stage: int
) -> None:
    has_release(app, "checkout-1", held(reason, stage))
    assert nightferry("promote", "checkout").code == 0
    assert wish(app) == {"promote": {"batch": stage}}


def test_promote_skips_no_observation_unless_told_so(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(2))
    assert "its batch 2 is being moved or watched" in nightferry("promote", "checkout").refusal
    assert app.writes == []
    assert nightferry("promote", "checkout", "--now").code == 0
    assert wish(app) == {"promote": {"batch": 2}}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (held(HoldReason.BLIND), "held for another reason, Blind"),
        (held(HoldReason.DEGRADED), "held for another reason, Degraded"),
        (held(HoldReason.PAUSED_BY_PERSON), "`nightferry resume checkout` lets it go on"),
        (applied(moving(1), RollBack(Cause.GATE, "worse"), (), T0 + 200), "is in phase RollingBack"),
        (None, "is in phase Queued"),
    ],
)
def test_promote_passes_no_gate_that_says_no(
    app: ApiServer, nightferry: Nightferry, record: Record | None, words: str
) -> None:
    has_release(app, "checkout-1", record)
    for arguments in (["promote", "checkout"], ["promote", "checkout", "--now"]):
        assert words in nightferry(*arguments).refusal
    assert app.writes == []


def test_abort_with_and_without_a_reason(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(1))
    assert nightferry("abort", "checkout", "--reason", "it smells").out == "release shop/checkout-1 turns back\n"
    assert wish(app) == {"abort": {"reason": "it smells"}}
    assert nightferry("abort", "checkout").out == "release shop/checkout-1 turns back already\n"
    assert len(app.writes) == 1
    app.writes.clear()
    has_release(app, "checkout-1", moving(1))
    nightferry("abort", "checkout")
    assert wish(app) == {"abort": {"reason": "asked by alice"}}


def test_a_way_back_is_not_paused(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", applied(moving(1), RollBack(Cause.GATE, "worse"), (), T0 + 200))
    assert "a way back is not paused" in nightferry("pause", "checkout").refusal


@pytest.mark.parametrize("verb", ["pause", "resume", "promote", "abort"])
def test_verbs_without_a_release_say_what_can_still_be_done(app: ApiServer, nightferry: Nightferry, verb: str) -> None:
    assert "never had one" in nightferry(verb, "checkout").refusal
    has_release(app, "checkout-1", SUCCEEDED)
    assert "ended Succeeded; `nightferry rollback checkout`" in nightferry(verb, "checkout").refusal
    has_release(app, "checkout-2", STRANDED)
    assert "ended NeedsHuman; `nightferry restore checkout`" in nightferry(verb, "checkout").refusal
    assert "no policy nothing in namespace shop" in nightferry(verb, "nothing").refusal
    assert app.writes == []


def test_verbs_find_the_release_that_moves_not_the_newest(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(1))
    has_release(app, "checkout-2", None)  # queued behind it
    nightferry("pause", "checkout")
    assert app.objects["releases", "shop", "checkout-1"]["spec"]["paused"] is True


# The controller writes its record at any moment: the wish is judged anew on what it wrote.
def test_a_wish_overtaken_by_the_controller_is_written_on_the_new_object(
    app: ApiServer, nightferry: Nightferry
) -> None:
    has_release(app, "checkout-1", held(HoldReason.MANUAL))
    overtakes = iter([True, True, False])

    def before(key: tuple[str, str, str]) -> None:
        if next(overtakes):
            app.change(key, {"status": {"because": "newer numbers"}})

    app.before_patch = before
    assert nightferry("promote", "checkout").code == 0
    assert wish(app) == {"promote": {"batch": 0}}


def test_a_release_that_ends_meanwhile_is_not_written(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", moving(1))
    app.before_patch = lambda key: app.change(key, {"status": {"phase": "Succeeded"}})
    assert "ended Succeeded" in nightferry("pause", "checkout").refusal
    assert app.writes == []


# ------------------------------------------------------------------------------------------------- ways back


def asked(api: ApiServer) -> dict[str, Any]:
    [(method, plural, body)] = api.writes
    assert (method, plural) == ("POST", "releases")
    spec: dict[str, Any] = body["spec"]
    return spec


def test_rollback_names_the_newest_success(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", SUCCEEDED)
    has_release(app, "checkout-2", SUCCEEDED)
    has_release(app, "checkout-3", ended(Phase.ROLLED_BACK, Cause.GATE))
    said = nightferry("rollback", "checkout", "--reason", "a bug")
    assert "rollback of checkout-2" in said.out
    assert asked(app) == {
        "policy": "checkout", "rollbackOf": "checkout-2", "reason": "a bug", "requestedBy": "alice",
    }  # fmt: skip


def test_rollback_refuses_where_there_is_nothing_to_go_back_to(app: ApiServer, nightferry: Nightferry) -> None:
    assert "no release that succeeded" in nightferry("rollback", "checkout").refusal
    has_release(app, "checkout-1", SUCCEEDED)
    has_release(app, "checkout-2", moving(1))
    assert "`nightferry abort checkout` turns it back" in nightferry("rollback", "checkout").refusal
    assert app.writes == []


def test_restore_names_the_release_that_needs_a_person(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", STRANDED)
    has_release(app, "checkout-2", ended(Phase.CANCELLED, Cause.REFUSED))
    assert "restore of checkout-1" in nightferry("restore", "checkout").out
    assert asked(app)["restoreOf"] == "checkout-1"


def test_restore_is_asked_for_once(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", STRANDED)
    has_release(app, "checkout-2", ended(Phase.ROLLED_BACK, Cause.RESTORED), restoreOf="checkout-1")
    assert "nothing to restore" in nightferry("restore", "checkout").refusal
    assert app.writes == []


# Somebody deleted the record in mid-release: the claim on the Deployment still knows the way back.
def test_restore_finds_the_claim_of_a_release_whose_record_is_gone(app: ApiServer, nightferry: Nightferry) -> None:
    claim = Claim("checkout-gone", "uid-gone", "incumbent", Phase.BATCH, 3, 6, 10)
    slot = deployment("app")
    slot["metadata"] = {"annotations": {CLAIM_ANNOTATION: claim_text(claim)}}
    app.put("deployments", "checkout", slot)
    assert nightferry("restore", "checkout").code == 0
    assert asked(app)["restoreOf"] == "checkout-gone"


# Right after a success the claims are still there for a moment. To restore "it" would undo the success.
def test_restore_does_not_undo_a_success(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", SUCCEEDED)
    claim = Claim("checkout-1", "uid-checkout-1", "contender", Phase.BATCH, 3, 10, 10)
    slot = deployment("app")
    slot["metadata"] = {"annotations": {CLAIM_ANNOTATION: claim_text(claim)}}
    app.put("deployments", "checkout-twin", slot)
    assert "nothing to restore" in nightferry("restore", "checkout").refusal


def test_a_restore_that_rolled_back_is_a_success(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", STRANDED)
    end = replace(ended(Phase.ROLLED_BACK, Cause.RESTORED), origin="restore")

    def read(key: tuple[str, str, str]) -> None:
        if key[0] == "releases" and key[2] != "checkout-1":
            from controller.record import to_status

            app.change(key, {"status": to_status(end, generation=1, policy_name="checkout")})

    app.on_read = read
    said = nightferry("restore", "checkout", "--wait")
    assert said.code == 0
    assert said.err == ""


# ------------------------------------------------------------------------------------------------------------ lift


def turned_back(cause: Cause) -> Record:
    """A record at its end after a way back for this cause."""
    turning = applied(moving(2), RollBack(cause, "errors x3.1"), (), T0 + 300.0)
    return applied(turning, Finish(Phase.ROLLED_BACK, cause, "the incumbent is back"), (), T0 + 400.0)


def test_lift_names_the_release_and_the_version(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", turned_back(Cause.GATE))
    told = "version bbbbbbbbbbbb of release shop/checkout-1"
    said = nightferry("lift", "checkout-1", "--reason", "the database was upgraded")
    assert said.out == f"{told} may be tried again\n"
    assert wish(app) == {"lift": {"reason": "the database was upgraded"}}
    assert nightferry("lift", "checkout-1", "--reason", "x").out == f"{told} was free to be tried again already\n"
    assert len(app.writes) == 1


def test_lift_needs_a_reason(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", turned_back(Cause.GATE))
    assert "--reason" in nightferry("lift", "checkout-1").refusal
    assert "--reason" in nightferry("lift", "checkout-1", "--reason", "  ").refusal
    assert app.writes == []


def test_a_reason_of_several_lines_is_recorded_as_one(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", turned_back(Cause.GATE))
    assert nightferry("lift", "checkout-1", "--reason", "upgraded\n\n\tat \x1b[31mnoon\u2028 ").code == 0
    assert wish(app) == {"lift": {"reason": "upgraded at [31mnoon"}}


def test_a_reason_that_is_too_long_is_refused_before_anything_is_written(
    app: ApiServer, nightferry: Nightferry
) -> None:
    has_release(app, "checkout-1", moving(2))
    said = nightferry("abort", "checkout", "--reason", "x" * 1025)
    assert "found 1025 characters; allowed: a text of 1 to 1024" in said.refusal
    assert app.writes == []
    assert nightferry("abort", "checkout", "--reason", "latency is up\nsee the ticket").code == 0
    assert wish(app) == {"abort": {"reason": "latency is up see the ticket"}}


def test_lift_refuses_a_release_that_keeps_no_version_out(app: ApiServer, nightferry: Nightferry) -> None:
    has_release(app, "checkout-1", turned_back(Cause.BLIND))
    has_release(app, "checkout-2", SUCCEEDED)
    has_release(app, "checkout-3", moving(1))
    has_release(app, "checkout-4", ended(Phase.CANCELLED, Cause.QUARANTINED, "run `nightferry lift checkout-1`"))
    assert "turned back for Blind, which says nothing" in nightferry("lift", "checkout-1", "--reason", "x").refusal
    assert "ended Succeeded and did not turn back" in nightferry("lift", "checkout-2", "--reason", "x").refusal
    assert "is in phase Batch" in nightferry("lift", "checkout-3", "--reason", "x").refusal
    assert "run `nightferry lift checkout-1`" in nightferry("lift", "checkout-4", "--reason", "x").refusal
    assert "no release nothing" in nightferry("lift", "nothing", "--reason", "x").refusal
    assert app.writes == []
