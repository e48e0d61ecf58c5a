"""Webhook gates: when an endpoint is called, under which id, and what counts as an answer."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.verdict import Verdict
from controller.release.names import AppKey
from controller.release.record import Inquiry
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import Spoken
from controller.webhooks import begun, call, call_id, due, heard, next_call, standing
from policies.schema import Gate, Webhook
from tests.controller.builders import NOW, UID, a_policy, a_record

SINCE = NOW - 30.0


def a_hook(**fields: Any) -> tuple[Gate, Webhook]:
    gate = a_policy(gates=[{"name": "qa", "webhook": {"endpoint": "qa-room", **fields}}]).spec.gates[0]
    assert gate.webhook is not None
    return gate, gate.webhook


def after(answer: Spoken | Failure, **before: Any) -> Inquiry:
    return heard(replace(Inquiry("qa", 0, SINCE), **before), a_hook()[1], answer)


def said(answer: Spoken | Failure, now: float = NOW) -> tuple[Verdict, str]:
    found = standing(after(answer), a_hook()[1], now)
    return found.verdict, found.because


def body(**told: Any) -> Spoken:
    return Spoken(200, json.dumps(told).encode())


# ------------------------------------------------------------------------------------------------ when


def test_calls_come_at_once_then_ever_later_and_no_two_releases_keep_step() -> None:
    times = [due(UID, "qa", 0, n) for n in range(8)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == 0.0
    for gap, wait in zip(gaps, (15, 30, 60, 60, 60, 60, 60), strict=True):
        assert wait <= gap <= 1.25 * wait
    assert times == [due(UID, "qa", 0, n) for n in range(8)]
    assert due("another", "qa", 0, 3) != due(UID, "qa", 0, 3)


def test_the_same_try_has_the_same_id_and_no_other_has() -> None:
    gate, hook = a_hook()
    asked = [
        call(AppKey("shop", "checkout"), "checkout-7", uid, replace_name(gate, name), hook, a_record(stage=stage), n)
        for uid in ("a", "b") for name in ("qa", "other") for stage in (0, 1) for n in (0, 1)
    ]  # fmt: skip
    assert len({each.id for each in asked}) == len(asked)
    assert call_id("a", "qa", 0, 0) == asked[0].id
    assert asked[0].endpoint == "qa-room"


def replace_name(gate: Gate, name: str) -> Gate:
    return gate.model_copy(update={"name": name})


def test_an_endpoint_is_told_what_is_released_and_nothing_secret() -> None:
    gate, hook = a_hook()
    record = a_record(stage=2)
    asked = call(AppKey("shop", "checkout"), "checkout-7", UID, gate, hook, record, 0)
    assert record.incumbent is not None and record.contender is not None
    assert asked.payload == {
        "app": "checkout",
        "namespace": "shop",
        "release": "checkout-7",
        "gate": "qa",
        "stage": 2,
        "stages": 4,
        "versions": {"incumbent": record.incumbent.digest, "contender": record.contender.digest},
    }


@pytest.mark.parametrize(
    ("inquiry", "number"),
    [
        (Inquiry("qa", 0, NOW), 0),
        (Inquiry("qa", 0, NOW - 5.0, tries=1), None),
        (Inquiry("qa", 0, NOW - 20.0, tries=1), 1),
        (Inquiry("qa", 0, NOW - 20.0, tries=1, said=Verdict.UNDECIDED), 1),
        (Inquiry("qa", 0, NOW - 20.0, tries=1, said=Verdict.BLIND), 1),
        (Inquiry("qa", 0, NOW - 20.0, tries=1, said=Verdict.HEALTHY), None),
        (Inquiry("qa", 0, NOW - 20.0, tries=1, said=Verdict.DEGRADED), None),
        (Inquiry("qa", 0, NOW - 301.0, tries=1), None),
    ],
)
def test_whether_a_call_is_due(inquiry: Inquiry, number: int | None) -> None:
    assert next_call(inquiry, UID, a_hook()[1], NOW) == number


def test_a_later_stage_asks_anew() -> None:
    gate, _ = a_hook()
    before = Inquiry("qa", 0, SINCE, tries=3, said=Verdict.HEALTHY)
    assert begun(gate, 0, before, NOW) is before
    assert begun(gate, 1, before, NOW) == Inquiry("qa", 1, NOW)


# ------------------------------------------------------------------------------------------------ what


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (body(verdict="healthy"), Verdict.HEALTHY),
        (body(verdict="degraded", because="one cent is missing"), Verdict.DEGRADED),
        (body(verdict="undecided"), Verdict.UNDECIDED),
        (Spoken(204), Verdict.HEALTHY),
        (Spoken(200, b"  \n"), Verdict.HEALTHY),
        (Spoken(503), Verdict.UNDECIDED),
        (Spoken(503, b'{"verdict": "degraded"}'), Verdict.UNDECIDED),
        (Spoken(429), Verdict.UNDECIDED),
        (Spoken(401), Verdict.BLIND),
        (Spoken(404, b'{"verdict": "healthy"}'), Verdict.BLIND),
        (Spoken(302, b'{"verdict": "healthy"}'), Verdict.BLIND),
        (Failure(FailureKind.UNAVAILABLE, "timed out"), Verdict.UNDECIDED),
        (Failure(FailureKind.ABSENT, "no such endpoint"), Verdict.BLIND),
        (Failure(FailureKind.UNAUTHORIZED, "/secret cannot be read"), Verdict.BLIND),
        (body(verdict="Healthy"), Verdict.BLIND),
        (body(verdict=True), Verdict.BLIND),
        (body(verdict=["healthy"]), Verdict.BLIND),
        (body(status="ok"), Verdict.BLIND),
        (Spoken(200, b'["healthy"]'), Verdict.BLIND),
        (Spoken(200, b"healthy"), Verdict.BLIND),
        (Spoken(200, b"\xff\xfe"), Verdict.BLIND),
        (Spoken(200, b"[" * 100_000), Verdict.BLIND),
        (Spoken(200, b"NaN"), Verdict.BLIND),
        (Spoken(0), Verdict.BLIND),
        (Spoken(999), Verdict.BLIND),
    ],
)
def test_what_an_answer_means(answer: Spoken | Failure, verdict: Verdict) -> None:
    found, because = said(answer)
    assert found is verdict, because
    assert because.isprintable()


def test_no_answer_in_time_is_blindness_and_undecided_stays_undecided() -> None:
    late = SINCE + 301.0
    assert said(Failure(FailureKind.UNAVAILABLE, "timed out"), late)[0] is Verdict.BLIND
    assert said(Spoken(503), late)[0] is Verdict.BLIND
    assert said(body(verdict="undecided"), late)[0] is Verdict.UNDECIDED
    assert said(body(verdict="healthy"), late)[0] is Verdict.HEALTHY
    assert standing(Inquiry("qa", 0, SINCE), a_hook()[1], late).verdict is Verdict.BLIND


def test_an_earlier_answer_is_forgotten_when_a_later_call_has_none() -> None:
    undecided = after(body(verdict="undecided"))
    assert (undecided.said, undecided.tries) == (Verdict.UNDECIDED, 1)
    silent = heard(undecided, a_hook()[1], Failure(FailureKind.UNAVAILABLE, "timed out"))
    assert (silent.said, silent.tries) == (None, 2)


@given(st.integers(0, 999), st.binary(max_size=200))
def test_whatever_is_answered_only_a_clear_word_moves_a_release(status: int, told: bytes) -> None:
    verdict, because = said(Spoken(status, told))
    assert because.isprintable() and len(because) < 500
    if verdict is Verdict.HEALTHY:
        assert 200 <= status < 300 and (not told.strip() or json.loads(told)["verdict"] == "healthy")
    if verdict is Verdict.DEGRADED:
        assert 200 <= status < 300 and json.loads(told)["verdict"] == "degraded"


@given(st.text(max_size=2000))
def test_an_endpoints_own_words_stay_on_one_line(words: str) -> None:
    _, because = said(body(verdict="degraded", because=words))
    assert because.isprintable()
    assert len(because) < 400
