"""The memory of what was learned: it comes back as it was, or not at all."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.band_terms import Series, Unit
from analysis.learned import AgeCurve, Guarantee, Learned, LearnedCounts, LearnedLevels, NotLearned, Scale, Variation
from analysis.learning.band import learn_band
from controller.baseline import (
    BASELINE_VERSION,
    MAX_AGE,
    MAX_OBJECT,
    Baseline,
    learning_digest,
    overall,
    restored,
    to_object,
)
from policies.baseline import BaselineStatus
from tests.controller.learning.builders import COUNTS, DAY, LATENCY, LEVELS, NOW, WINDOW, a_baseline
from tests.policies.builders import a_gate, a_policy

DIGEST = learning_digest(a_policy(), WINDOW)


def kept(baseline: Baseline) -> dict[str, Any]:
    """The object as the cluster would give it back."""
    written = to_object(baseline, namespace="shop", name="checkout", policy_uid="6a1b")
    found: dict[str, Any] = json.loads(json.dumps(written))
    return found


def read(obj: Any, *, digest: str = DIGEST, now: float = NOW) -> Baseline | NotLearned:
    return restored(obj, digest=digest, now=now)


def refused(obj: Any, **how: Any) -> NotLearned:
    found = read(obj, **how)
    assert isinstance(found, NotLearned), found
    assert found.detail.isprintable()
    assert len(found.detail) < 300
    return found


def signed(obj: dict[str, Any], payload: str, encoding: str = "json") -> dict[str, Any]:
    """The object with another payload whose checksum is right: what only a fault of ours, or malice, would write."""
    import hashlib

    out = copy.deepcopy(obj)
    out["status"] |= {
        "payload": payload,
        "encoding": encoding,
        "checksum": f"sha256:{hashlib.sha256(payload.encode()).hexdigest()}",
    }
    return out


def test_everything_that_was_learned_comes_back() -> None:
    before = a_baseline()
    after = read(kept(before))
    assert isinstance(after, Baseline)
    assert after == before
    # Once more through the object it is the same to the last bit.
    assert read(kept(after)) == after


def test_pods_that_are_better_when_young_are_believed() -> None:
    before = a_baseline(gates={"errors": replace(COUNTS, age=AgeCurve(-0.6, 120.0))})
    assert read(kept(before)) == before


def test_numbers_keep_six_digits_and_times_their_second() -> None:
    precise = replace(COUNTS, rate=0.123456789, calibration=replace(COUNTS.calibration, change=12345.678))
    before = a_baseline(gates={"errors": precise}, learned_at=NOW - 60.1234)
    after = read(kept(before))
    assert isinstance(after, Baseline)
    errors = after.gates["errors"]
    assert isinstance(errors, LearnedCounts)
    assert errors.rate == 0.123457
    assert errors.calibration.change == 12345.7
    assert abs(after.learned_at - before.learned_at) < 0.001


def test_a_band_of_four_weeks_comes_back() -> None:
    import numpy as np

    rng = np.random.default_rng(3)
    at = np.arange(28 * 288)
    values = 0.005 * np.exp(0.3 * np.sin(2 * np.pi * at / 288) + 0.1 * rng.standard_normal(at.size))
    band = learn_band(Series(NOW - 28 * DAY, values), Unit.SHARE)
    assert not isinstance(band, NotLearned)
    after = read(kept(a_baseline(bands={"errors": band})))
    assert isinstance(after, Baseline)
    found = after.bands["errors"]
    assert not isinstance(found, NotLearned)
    assert (found.start, found.end, found.unit) == (band.start, band.end, band.unit)
    assert found.upper_tail.spread == pytest.approx(band.upper_tail.spread, rel=1e-5)
    assert np.allclose(found.profile, band.profile, rtol=1e-5)


def test_the_object_belongs_to_its_policy_and_says_in_words_what_it_holds() -> None:
    obj = kept(a_baseline())
    assert obj["metadata"]["ownerReferences"] == [
        {"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleasePolicy", "name": "checkout", "uid": "6a1b"}
    ]
    status = obj["status"]
    assert status["segments"] == 84
    assert status["coverage"] == "98%"
    assert [one["status"] for one in status["gates"]] == ["calibrated", "noise changed", "calibrated", "not learned"]
    # What is written is what the cluster's schema names: the API server drops everything else.
    assert {key for key, value in status.items() if value is not None} <= {
        field.alias or name for name, field in BaselineStatus.model_fields.items()
    }
    BaselineStatus.model_validate(status)


def test_a_patch_can_take_the_last_look_away() -> None:
    assert kept(a_baseline(present=None))["status"]["present"] is None


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        ({"a": COUNTS, "b": LATENCY}, "noise changed"),
        ({"a": COUNTS, "b": LEVELS}, "calibrated"),
        ({"a": COUNTS, "b": NotLearned("TooFewPods", "")}, "partly learned"),
        ({"a": NotLearned("TooFewPods", "")}, "not learned"),
        ({}, "not learned"),
    ],
)
def test_the_state_of_all_gates_is_that_of_the_weakest(gates: dict[str, Learned], told: str) -> None:
    assert overall(a_baseline(gates=gates)) == told


# --------------------------------------------------------------------------------------------------- distrust


def test_b8_one_changed_character_is_enough() -> None:
    obj = kept(a_baseline())
    payload = obj["status"]["payload"]
    place = payload.index("0.005")
    obj["status"]["payload"] = payload[:place] + "0.006" + payload[place + 5 :]
    assert refused(obj).reason == "Corrupt"


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_b8_whatever_is_broken_off_or_bent_is_never_believed(data: st.DataObject) -> None:
    obj = kept(a_baseline())
    payload: str = obj["status"]["payload"]
    how = data.draw(st.sampled_from(["cut", "bent", "doubled", "empty"]))
    place = data.draw(st.integers(0, len(payload) - 1))
    if how == "bent":
        other = data.draw(st.characters(codec="utf-8").filter(lambda char: char != payload[place]))
        obj["status"]["payload"] = payload[:place] + other + payload[place + 1 :]
    else:
        obj["status"]["payload"] = {"cut": payload[:place], "doubled": payload + payload, "empty": ""}[how]
    assert refused(obj).reason == "Corrupt"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_KEYS = ["version", "payload", "checksum", "encoding", "policyDigest"]


@given(status=st.dictionaries(st.sampled_from(_KEYS), _JSON) | _JSON)
@settings(max_examples=200, deadline=None)
def test_b8_an_object_that_we_did_not_write_is_no_exception(status: Any) -> None:
    assert isinstance(read({"status": status}), NotLearned)
    assert isinstance(read({}), NotLearned)


@given(change=_JSON, data=st.data())
@settings(max_examples=300, deadline=None)
def test_b8_a_payload_with_the_right_checksum_still_has_to_make_sense(change: Any, data: st.DataObject) -> None:
    obj = kept(a_baseline())
    payload = json.loads(obj["status"]["payload"])
    node: Any = payload
    for _ in range(data.draw(st.integers(1, 5))):
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        parent, node = node, node[key]
    parent[key] = change
    found = read(signed(obj, json.dumps(payload)))  # never an exception, whatever it is
    if isinstance(found, Baseline):
        for gate in found.gates.values():
            if isinstance(gate, LearnedCounts):
                assert math.isfinite(gate.rate)
                assert gate.calibration.first.spread > 0.0


@pytest.mark.parametrize(
    "bad",
    [
        replace(COUNTS, noise=replace(COUNTS.noise, variation=Variation((math.inf,), (math.nan,)))),
        replace(COUNTS, noise=replace(COUNTS.noise, variation=Variation((math.inf, 1.0), (0.1,)))),
        replace(COUNTS, noise=replace(COUNTS.noise, variation=Variation((1.0,), (-0.1,)))),
        replace(COUNTS, calibration=replace(COUNTS.calibration, first=Scale(0.0, 0.0))),
        replace(COUNTS, calibration=replace(COUNTS.calibration, change=math.inf)),
        replace(COUNTS, rate=-0.1),
        replace(COUNTS, standing=replace(COUNTS.standing, alpha=2.0)),
        replace(COUNTS, age=AgeCurve(-1.2, 120.0)),
        replace(LEVELS, levels=(1.0, math.nan)),
    ],
)
def test_numbers_that_no_learner_finds_are_not_believed(bad: Learned) -> None:
    assert refused(kept(a_baseline(gates={"errors": bad}))).reason == "Corrupt"


def test_a_baseline_of_another_version_policy_or_age_is_learned_anew() -> None:
    obj = kept(a_baseline())
    assert refused(obj, digest="other").reason == "OtherPolicy"
    assert refused(obj, now=NOW + MAX_AGE).reason == "Old"
    assert refused(obj, now=NOW - DAY).reason == "Corrupt"  # from the future
    later = copy.deepcopy(obj)
    later["status"]["version"] = BASELINE_VERSION + 1
    assert refused(later).reason == "OtherVersion"
    assert isinstance(read(obj, now=NOW + MAX_AGE - 3600.0), Baseline)


def test_the_digest_changes_with_what_is_learned_for_and_with_nothing_else() -> None:
    base = learning_digest(a_policy(), WINDOW)
    assert learning_digest(a_policy(deadline={"batch": "12m"}, historyLimit=5, onBlind={"hold": "5m"}), WINDOW) == base
    changed = [
        a_policy(gates=[a_gate(tolerate="2x")]),
        a_policy(promise={"falseRollback": "2%"}),
        a_policy(observe={"atMost": "30m"}),
        a_policy(strategy={"twin": {"batches": 2}}),
        a_policy(target={"deployment": "payments"}),
        a_policy(metrics={"pod": "kubernetes_pod_name"}),
        a_policy(baseline={"history": "14d"}),
    ]
    digests = {base, learning_digest(a_policy(), 60.0), *(learning_digest(one, WINDOW) for one in changed)}
    assert len(digests) == 2 + len(changed)


# ------------------------------------------------------------------------------------------------------- size


def test_thirty_two_gates_with_two_hundred_levels_each_fit_into_the_object() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    gates: dict[str, Learned] = {
        f"gauge-{n}": LearnedLevels(
            tuple((18.0 + rng.standard_normal(200)).tolist()),
            0.02,
            0.0,
            COUNTS.calibration,
            COUNTS.standing,
            tuple(f"checkout-6c7d8f9b54-{i:05d}" for i in range(200)),
        )
        for n in range(32)
    }
    obj = kept(a_baseline(gates=gates))
    assert len(json.dumps(obj)) <= MAX_OBJECT
    assert obj["status"]["encoding"] == "json+gzip+base64"
    after = read(obj)
    assert isinstance(after, Baseline)
    assert all(isinstance(one, LearnedLevels) for one in after.gates.values())


def test_long_reasons_of_many_gates_leave_the_object_within_its_bounds() -> None:
    why = NotLearned("NoSeries", "x" * 500)
    obj = kept(a_baseline(gates={f"gate-{n}": why for n in range(32)}, bands={f"gate-{n}": why for n in range(32)}))
    assert len(json.dumps(obj)) <= MAX_OBJECT
    after = read(obj)
    assert isinstance(after, Baseline)
    assert after.gates["gate-31"] == why


def test_what_does_not_fit_is_named_and_the_rest_stays() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    big = replace(LEVELS, levels=tuple(rng.standard_normal(40_000).tolist()))
    obj = kept(a_baseline(gates={"errors": COUNTS, "memory": big}))
    assert len(json.dumps(obj)) <= MAX_OBJECT
    after = read(obj)
    assert isinstance(after, Baseline)
    assert after.gates["errors"] == COUNTS
    memory = after.gates["memory"]
    assert isinstance(memory, NotLearned)
    assert memory.reason == "TooLarge"


def test_a_payload_that_inflates_without_end_is_given_up() -> None:
    bomb = base64.b64encode(gzip.compress(b" " * 50_000_000, 9, mtime=0)).decode()
    obj = signed(kept(a_baseline()), bomb, "json+gzip+base64")
    assert refused(obj).reason == "Corrupt"


def test_the_guarantee_is_part_of_what_is_kept() -> None:
    after = read(kept(a_baseline(gates={"latency": LATENCY})))
    assert isinstance(after, Baseline)
    found = after.gates["latency"]
    assert not isinstance(found, NotLearned)
    assert found.standing.guarantee is Guarantee.NOISE_CHANGED
