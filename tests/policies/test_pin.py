"""The digest, and row Y15: an edit reaches a running release only where it is tighter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.load import PolicyRefused, digest, load_text, tighten, to_object
from policies.schema import Gate, ReleasePolicy
from tests.policies.builders import ERRORS, GAUGE, LATENCY, THROUGHPUT, a_gate, a_policy


def tightened(pinned: dict[str, Any], edited: dict[str, Any]) -> ReleasePolicy:
    return tighten(a_policy(**pinned), a_policy(**edited))


def test_digests_are_twelve_hex_digits_of_the_meaning() -> None:
    assert digest(a_policy()) == digest(a_policy(mode="enforce", deadline={"batch": "600s"}))
    assert digest(a_policy()) == digest(a_policy(gates=[a_gate(tolerate="1.250x", required=True)]))
    assert digest(a_policy()) != digest(a_policy(mode="observe"))
    assert len(digest(a_policy())) == 12
    assert set(digest(a_policy())) <= set("0123456789abcdef")


def test_the_digest_of_a_policy_does_not_move_between_versions() -> None:
    # Records of running releases hold it: a change here needs a migration.
    assert digest(a_policy()) == "0b4229e5c9a1"


def test_fields_of_a_later_version_move_the_digest_only_where_they_say_something_new() -> None:
    plain = digest(a_policy())
    written_out = a_policy(
        promise={"falsePause": "5%"},
        onShared={"hold": "15m", "then": "pause"},
        baseline={"history": "28d", "minimum": "3d", "season": "week"},
    )
    assert digest(written_out) == plain
    for changed in (
        {"promise": {"falsePause": "6%"}},
        {"onShared": {"hold": "1m"}},
        {"baseline": {"season": "day"}},
        {"gates": [a_gate(errorRatio=ERRORS["errorRatio"] | {"mix": "route"})]},
    ):
        assert digest(a_policy(**changed)) != plain, changed


PAGE: dict[str, Any] = {"match": {"service": "checkout", "severity": "page"}}
SLOW: dict[str, Any] = {"match": {"service": "checkout"}, "then": "pause"}


@pytest.mark.parametrize(
    ("pinned", "edited", "holds"),
    [
        (None, [PAGE], [("page", "rollBack", False)]),
        ([PAGE], None, [("page", "rollBack", False)]),
        ([PAGE], [SLOW], [("page", "rollBack", False), ("", "pause", False)]),
        ([SLOW], [{**SLOW, "then": "rollBack"}], [("", "rollBack", False)]),
        ([PAGE], [{**PAGE, "then": "pause"}], [("page", "rollBack", False)]),
        ([PAGE], [{**PAGE, "evenSilenced": True}], [("page", "rollBack", True)]),
        ([{**PAGE, "evenSilenced": True}], [PAGE], [("page", "rollBack", True)]),
    ],
)
def test_y15_an_edit_may_add_alerts_and_make_them_graver_and_takes_none_away(
    pinned: list[Any] | None, edited: list[Any] | None, holds: list[tuple[str, str, bool]]
) -> None:
    def with_alerts(alerts: list[Any] | None) -> dict[str, Any]:
        return {} if alerts is None else {"alerts": alerts}

    found = tightened(with_alerts(pinned), with_alerts(edited)).spec.alerts or ()
    assert [(each.match.get("severity", ""), each.then, each.even_silenced) for each in found] == holds


def test_what_fires_already_is_asked_before_the_start_only_and_moves_no_digest_at_its_default() -> None:
    assert digest(a_policy(alreadyFiring="refuse")) == digest(a_policy())
    assert digest(a_policy(alreadyFiring="ignore")) != digest(a_policy())
    assert tightened({}, {"alreadyFiring": "ignore"}).spec.already_firing == "refuse"


def test_a_file_and_the_object_of_the_cluster_have_one_digest() -> None:
    text = """\
kind: ReleasePolicy
apiVersion: nightferry.dev/v1alpha1
metadata: {name: checkout, labels: {team: shop}}
spec:
  gates: [{errorRatio: {requests: http_requests_total, errors: 'http_requests_total{ code =~ "5.." }'}, name: errors}]
  strategy: {twin: {batches: 4}}
  target: {deployment: checkout}
"""
    (document,) = load_text(text)
    assert document.policy is not None
    assert digest(document.policy) == digest(a_policy())


def test_an_edit_without_a_difference_changes_nothing() -> None:
    assert tightened({}, {}) == a_policy()


@pytest.mark.parametrize(
    ("loose", "tight"),
    [
        ({"mode": "observe"}, {"mode": "enforce"}),
        ({"observe": {"atLeast": "1m"}}, {"observe": {"atLeast": "3m"}}),
        ({"observe": {"onUndecided": "advance"}}, {"observe": {"onUndecided": "pause"}}),
        ({"observe": {"onUndecided": "pause"}}, {"observe": {"onUndecided": "rollBack"}}),
        ({"onDegraded": "pause"}, {"onDegraded": "rollBack"}),
        ({"onBlind": {"hold": "10m", "then": "pause"}}, {"onBlind": {"hold": "5m", "then": "rollBack"}}),
        ({"onShared": {"hold": "15m", "then": "pause"}}, {"onShared": {"hold": "5m", "then": "rollBack"}}),
        ({"gates": [a_gate(GAUGE)]}, {"gates": [a_gate(GAUGE, limit=1_000_000)]}),
        ({"gates": [a_gate(GAUGE, limit=2_000_000)]}, {"gates": [a_gate(GAUGE, limit=1_000_000, tolerate="1.05x")]}),
        (
            {"gates": [a_gate(GAUGE, gauge=GAUGE["gauge"] | {"worse": "lower"}, limit=5)]},
            {"gates": [a_gate(GAUGE, gauge=GAUGE["gauge"] | {"worse": "lower"}, limit=8.5)]},
        ),
        ({"gates": [a_gate(THROUGHPUT)]}, {"gates": [a_gate(THROUGHPUT, tolerate="1.1x")]}),
        ({"gates": [a_gate()]}, {"gates": [a_gate(), a_gate(GAUGE), a_gate(THROUGHPUT)]}),
        ({"deadline": {"batch": "10m", "release": "4h"}}, {"deadline": {"batch": "5m", "release": "2h"}}),
        ({"strategy": {"twin": {}}}, {"strategy": {"twin": {"advance": {"canary": "manual"}}}}),
        ({"strategy": {"twin": {}}}, {"strategy": {"twin": {"advance": {"batches": "manual"}}}}),
        ({"mode": "observe", "gates": [a_gate(required=False)]}, {"mode": "observe", "gates": [a_gate(required=True)]}),
        ({"gates": [a_gate()]}, {"gates": [a_gate(tolerate="1.1x")]}),
        ({"gates": [a_gate(tolerate="0.3pp")]}, {"gates": [a_gate(tolerate="0.1pp")]}),
        ({"gates": [a_gate()]}, {"gates": [a_gate(limit="5%")]}),
        ({"gates": [a_gate(limit="5%")]}, {"gates": [a_gate(limit="2%")]}),
        ({"gates": [a_gate()]}, {"gates": [a_gate(), a_gate(LATENCY)]}),
        (
            {"gates": [a_gate(LATENCY)]},
            {"gates": [a_gate(latency=LATENCY["latency"] | {"objective": "300ms"}, name="latency", limit="5%")]}
            | {"gates": [{"name": "latency", "latency": LATENCY["latency"] | {"objective": "300ms"}, "limit": "5%"}]},
        ),
        (
            {"gates": [{"name": "l", "latency": LATENCY["latency"] | {"objective": "400ms"}, "limit": "5%"}]},
            {"gates": [{"name": "l", "latency": LATENCY["latency"] | {"objective": "300ms"}, "limit": "5%"}]},
        ),
    ],
)
def test_what_is_tighter_is_taken_over_and_never_taken_back(loose: dict[str, Any], tight: dict[str, Any]) -> None:
    assert tightened(loose, tight).spec == a_policy(**tight).spec
    assert tightened(tight, loose).spec == a_policy(**tight).spec


@pytest.mark.parametrize(
    "edited",
    [
        {"target": {"deployment": "search"}},
        {"metrics": {"pod": "kubernetes_pod"}},
        {"strategy": {"twin": {"canary": 3, "batches": 2, "maxSurge": 3, "maxUnavailable": 1}}},
        {"observe": {"atMost": "1h"}},
        {"promise": {"falseRollback": "5%"}},
        {"promise": {"falsePause": "20%"}},
        {"baseline": {"history": "14d", "season": "day"}},
        {"gates": [a_gate(errorRatio=ERRORS["errorRatio"] | {"mix": "route"}, limit="1%")]},
        {"gates": [a_gate(GAUGE, name="errors", limit=1)]},
        {"historyLimit": 3},
        {"gates": [a_gate(errorRatio={"errors": "other_total", "requests": "http_requests_total"}, limit="1%")]},
        {"gates": [a_gate(LATENCY, name="errors")]},
        {"gates": [a_gate(tolerate="0.1pp")]},
    ],
)
def test_what_is_neither_tighter_nor_looser_stays_as_pinned(edited: dict[str, Any]) -> None:
    assert tightened({}, edited) == a_policy()


@pytest.mark.parametrize(
    "edited",
    [
        a_gate(GAUGE, gauge={"query": 'go_goroutines{pod="$pods"}'}, limit=1),
        a_gate(GAUGE, gauge=GAUGE["gauge"] | {"worse": "lower"}, limit=1),
        a_gate(THROUGHPUT, name="memory", tolerate="1.01x"),
    ],
)
def test_a_gauge_that_measures_something_else_stays_as_pinned(edited: dict[str, Any]) -> None:
    assert tightened({"gates": [a_gate(GAUGE)]}, {"gates": [edited]}) == a_policy(gates=[a_gate(GAUGE)])


def test_a_throughput_gate_of_another_direction_stays_as_pinned() -> None:
    either = a_gate(THROUGHPUT, throughput=THROUGHPUT["throughput"] | {"worse": "either"}, tolerate="1.1x")
    assert tightened({"gates": [a_gate(THROUGHPUT)]}, {"gates": [either]}) == a_policy(gates=[a_gate(THROUGHPUT)])


def test_a_gate_that_was_removed_goes_on_counting() -> None:
    result = tightened({"gates": [a_gate(), a_gate(LATENCY)]}, {"gates": [a_gate(LATENCY, tolerate="1.05x")]})
    assert [(gate.name, gate.margin.ratio) for gate in result.spec.gates] == [("errors", 1.25), ("latency", 1.05)]


def test_a_gate_of_another_measure_with_an_old_name_is_not_added_either() -> None:
    result = tightened({}, {"gates": [a_gate(LATENCY, name="errors"), a_gate(LATENCY)]})
    assert [(gate.name, gate.kind) for gate in result.spec.gates] == [("errors", "errorRatio"), ("latency", "latency")]


def test_a_new_gate_that_does_not_fit_the_pinned_labels_is_left_out() -> None:
    pinned = {"metrics": {"pod": "kubernetes_pod"}}
    new = {"name": "b", "errorRatio": {"errors": 'x{kubernetes_pod="a"}', "requests": "y"}}
    assert tightened(pinned, {"gates": [a_gate(), new]}) == a_policy(**pinned)


def test_tightening_never_makes_a_policy_contradict_itself() -> None:
    # The edit's deadline fits its own observation, but not the pinned one: that field stays, the rest is taken.
    edited = {"observe": {"atLeast": "10s", "atMost": "1m"}, "deadline": {"batch": "1m", "release": "2m"}}
    result = tightened({}, edited)
    assert result.spec.deadline.release == a_policy().spec.deadline.release
    assert result.spec.deadline.batch.seconds == 60
    assert tightened({}, {"observe": {"atLeast": "30m", "atMost": "1h"}}).spec.observe.at_least.seconds == 20 * 60


def gate_name(gate: Any) -> str:
    return str(gate["name"])


words = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["observe", "enforce"]),
        "onDegraded": st.sampled_from(["pause", "rollBack"]),
        "observe": st.fixed_dictionaries(
            {},
            optional={
                "atLeast": st.sampled_from(["10s", "1m", "5m"]),
                "atMost": st.sampled_from(["5m", "30m"]),
                "onUndecided": st.sampled_from(["pause", "advance", "rollBack"]),
            },
        ),
        "onBlind": st.fixed_dictionaries(
            {}, optional={"hold": st.sampled_from(["1m", "1h"]), "then": st.sampled_from(["pause", "rollBack"])}
        ),
        "deadline": st.fixed_dictionaries(
            {}, optional={"batch": st.sampled_from(["1m", "1h"]), "release": st.sampled_from(["40m", "1h", "8h"])}
        ),
        "strategy": st.fixed_dictionaries(
            {
                "twin": st.fixed_dictionaries(
                    {},
                    optional={
                        "batches": st.sampled_from([1, 4, ["50%", "100%"]]),
                        "advance": st.fixed_dictionaries({}, optional={"canary": st.sampled_from(["auto", "manual"])}),
                    },
                )
            }
        ),
        "gates": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["a", "b"]), "errorRatio": st.just(ERRORS["errorRatio"])},
                    optional={
                        "required": st.booleans(),
                        "tolerate": st.sampled_from(["1.1x", "2x", "0.1pp", "1pp"]),
                        "limit": st.sampled_from(["1%", "9%"]),
                    },
                ),
                st.fixed_dictionaries(
                    {
                        "name": st.sampled_from(["a", "c"]),
                        "latency": st.sampled_from(["100ms", "1s"]).map(
                            lambda objective: LATENCY["latency"] | {"objective": objective}
                        ),
                    },
                    optional={"required": st.booleans(), "limit": st.sampled_from(["1%", "9%"])},
                ),
            ),
            min_size=1,
            max_size=3,
            unique_by=gate_name,
        ),
    },
)


def legal(spec: dict[str, Any]) -> bool:
    try:
        a_policy(**spec)
    except PolicyRefused:
        return False
    return True


policies = words.filter(legal).map(lambda spec: a_policy(**spec))


SMOKE = {"name": "smoke", "job": {"template": "configMap/checkout-smoke", "timeout": "5m"}}
QA = {"name": "qa", "webhook": {"endpoint": "qa-room", "at": [1, 2], "timeout": "5m"}}
EDGE = ERRORS | {"by": {"label": "version", "incumbent": "a", "contender": "b"}}


def outside(gate: dict[str, Any], **fields: Any) -> dict[str, Any]:
    (kind,) = set(gate) & {"job", "webhook"}
    return gate | {kind: gate[kind] | fields}


@pytest.mark.parametrize(
    ("edit", "at", "timeout"),
    [
        ({"at": "everyStage"}, "everyStage", "5m"),
        ({"at": [3]}, ["canary", 3], "5m"),
        ({"timeout": "1m"}, "canary", "1m"),
        ({"timeout": "10m"}, "canary", "5m"),
    ],
)
def test_a_smoke_test_may_run_more_often_and_must_not_take_longer(edit: Any, at: Any, timeout: str) -> None:
    pinned, edited = a_policy(gates=[ERRORS, SMOKE]), a_policy(gates=[ERRORS, outside(SMOKE, **edit)])
    job = tighten(pinned, edited).spec.gates[1].job
    assert job is not None
    assert (job.at.written(), job.timeout.written()) == (at, timeout)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SMOKE, outside(SMOKE, template="configMap/other")),
        (SMOKE, QA | {"name": "smoke"}),
        (QA, outside(QA, endpoint="rubber-stamp")),
        (EDGE, ERRORS),
        (EDGE, EDGE | {"by": {"label": "version", "incumbent": "b", "contender": "a"}}),
        (ERRORS, EDGE),
    ],
)
def test_a_gate_that_asks_something_else_is_another_gate(old: dict[str, Any], new: dict[str, Any]) -> None:
    pinned = a_policy(gates=[a_gate(LATENCY), old])
    assert tighten(pinned, a_policy(gates=[a_gate(LATENCY), new])) == pinned


def test_a_gate_that_asks_outside_can_be_added_to_a_running_release() -> None:
    result = tighten(a_policy(gates=[ERRORS]), a_policy(gates=[ERRORS, SMOKE, QA]))
    assert [gate.name for gate in result.spec.gates] == ["errors", "smoke", "qa"]


def test_config_and_trigger_stay_as_they_were_pinned() -> None:
    pinned = a_policy()
    for change in ({"config": ("configMap/other",)}, {"trigger": "template"}):
        edited = pinned.model_copy(update={"spec": pinned.spec.model_copy(update=change)})
        assert tighten(pinned, edited) == pinned


MOVES = [
    ({"rolling": {}}, {"rolling": {"advance": {"canary": "manual"}}}, True),
    ({"rolling": {}}, {"twin": {"advance": {"canary": "manual"}}}, False),
    ({"rolling": {"canary": 1}}, {"rolling": {"canary": 5}}, False),
    ({"blueGreen": {"service": "a"}}, {"blueGreen": {"service": "a", "advance": {"switch": "manual"}}}, True),
    ({"blueGreen": {"service": "a"}}, {"blueGreen": {"service": "a", "previewFor": "10m"}}, True),
    ({"blueGreen": {"service": "a", "previewFor": "10m"}}, {"blueGreen": {"service": "a"}}, False),
    ({"blueGreen": {"service": "a", "previewFor": "10m"}}, {"blueGreen": {"service": "a", "previewFor": "5m"}}, False),
    ({"blueGreen": {"service": "a"}}, {"blueGreen": {"service": "b"}}, False),
    ({"blueGreen": {"service": "a"}}, {"blueGreen": {"service": "a", "keep": "0s", "allowOthers": True}}, False),
    ({"recreate": {}}, {"rolling": {}}, False),
]


_NIGHT = {"days": "Mon-Thu", "from": "22:00", "to": "06:00", "zone": "UTC", "onClose": "park"}
_SAID = {"observe": {"onUndecided": "rollBack"}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, _NIGHT, _NIGHT),
        (_NIGHT, {**_NIGHT, "to": "05:00"}, {**_NIGHT, "to": "05:00"}),
        (_NIGHT, {**_NIGHT, "from": "02:00", "days": "Tue-Fri"}, {**_NIGHT, "from": "02:00", "days": "Tue-Fri"}),
        (_NIGHT, {**_NIGHT, "to": "07:00"}, _NIGHT),
        (_NIGHT, {**_NIGHT, "days": "Mon-Fri"}, _NIGHT),
        (_NIGHT, {**_NIGHT, "zone": "Europe/Berlin"}, _NIGHT),
        (_NIGHT, None, _NIGHT),
        (_NIGHT, {**_NIGHT, "onClose": "rollBack"}, {**_NIGHT, "onClose": "rollBack"}),
        (_NIGHT, {**_NIGHT, "to": "09:00", "onClose": "rollBack"}, {**_NIGHT, "onClose": "rollBack"}),
        (_NIGHT, {**_NIGHT, "to": "05:00", "onClose": "finishLastBatch"}, {**_NIGHT, "to": "05:00"}),
    ],
)
def test_y15_a_window_may_be_added_or_narrowed_and_closed_with_more_care(
    old: dict[str, str] | None, new: dict[str, str] | None, expected: dict[str, str]
) -> None:
    began, edited = (_SAID | ({"window": each} if each is not None else {}) for each in (old, new))
    assert to_object(tightened(began, edited))["spec"]["window"] == expected


def test_y15_a_window_that_would_not_hold_the_pinned_plan_is_left_out() -> None:
    began = {**_SAID, "observe": {"onUndecided": "rollBack", "atLeast": "20m", "atMost": "1h"}, "window": _NIGHT}
    short = {"observe": {"onUndecided": "rollBack"}, "window": {**_NIGHT, "to": "22:30"}}
    assert to_object(tightened(began, short))["spec"]["window"] == _NIGHT


def test_y21_a_freeze_may_be_added_and_never_taken_away() -> None:
    holidays = {"from": "2026-12-24", "to": "2027-01-02", "why": "holidays", "zone": "UTC"}
    audit = {"from": "2026-11-24", "to": "2026-11-24", "why": "audit", "zone": "UTC"}
    assert to_object(tightened({}, {"freeze": [audit]}))["spec"]["freeze"] == [audit]
    assert to_object(tightened({"freeze": [holidays]}, {}))["spec"]["freeze"] == [holidays]
    assert to_object(tightened({"freeze": [holidays]}, {"freeze": [audit]}))["spec"]["freeze"] == [holidays, audit]


def test_the_days_of_a_freeze_stay_those_of_the_window_they_were_written_beside() -> None:
    freeze = [{"from": "2026-12-24", "to": "2027-01-02", "why": "holidays"}]
    shanghai = {**_NIGHT, "zone": "Asia/Shanghai"}
    spec = tightened(_SAID, {**_SAID, "window": shanghai, "freeze": freeze}).spec
    assert [each.zone for each in spec.freeze or ()] == ["Asia/Shanghai"]


@pytest.mark.parametrize(("old", "new", "taken"), MOVES)
def test_an_edit_of_the_strategy_may_only_ask_for_more_care(old: Any, new: Any, taken: bool) -> None:
    plain = to_object(a_policy())
    pinned = ReleasePolicy.model_validate(plain | {"spec": plain["spec"] | {"strategy": old}})
    edited = ReleasePolicy.model_validate(plain | {"spec": plain["spec"] | {"strategy": new}})
    assert tighten(pinned, edited) == (edited if taken else pinned)


def assert_gate_not_looser(gate: Gate, pinned: Gate) -> None:
    assert gate.selectors() == pinned.selectors()
    assert gate.required >= pinned.required
    if pinned.margin.ratio is not None:
        assert gate.margin.ratio is not None
        assert gate.margin.ratio <= pinned.margin.ratio
    else:
        assert gate.margin.points is not None
        assert pinned.margin.points is not None
        assert gate.margin.points <= pinned.margin.points
    if pinned.limit is not None:
        assert gate.limit is not None
        assert gate.limit <= pinned.limit
    if pinned.latency is not None and pinned.latency.objective is not None:
        assert gate.latency is not None
        assert gate.latency.objective is not None
        assert gate.latency.objective <= pinned.latency.objective


@given(policies, policies)
def test_no_edit_loosens_any_field_of_a_running_release(pinned: ReleasePolicy, edited: ReleasePolicy) -> None:
    result = tighten(pinned, edited)
    old, new = pinned.spec, result.spec
    assert (new.mode, old.mode) != ("observe", "enforce")
    assert (new.on_degraded, old.on_degraded) != ("pause", "rollBack")
    assert (new.on_blind.then, old.on_blind.then) != ("pause", "rollBack")
    caution = ["advance", "pause", "rollBack"]
    assert caution.index(new.observe.on_undecided) >= caution.index(old.observe.on_undecided)
    assert new.observe.at_least >= old.observe.at_least
    assert new.observe.at_most == old.observe.at_most
    assert new.on_blind.hold <= old.on_blind.hold
    assert new.deadline.batch <= old.deadline.batch
    assert new.deadline.release <= old.deadline.release
    assert old.strategy.twin is not None
    assert new.strategy.twin is not None
    assert new.strategy.twin.targets(10) == old.strategy.twin.targets(10)
    assert (new.strategy.twin.advance.canary, old.strategy.twin.advance.canary) != ("auto", "manual")
    assert [gate.name for gate in new.gates][: len(old.gates)] == [gate.name for gate in old.gates]
    for gate, was in zip(new.gates, old.gates, strict=False):
        assert_gate_not_looser(gate, was)
    # A second look at the same edit finds nothing more to do.
    assert tighten(result, edited) == result
