"""What a policy means once it is read: defaults, kinds of gates, and that it cannot be changed or built wrong."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

import policies
from policies.load import PolicyRefused, digest, from_object, load_paths, to_object
from policies.schema import Bound, Duration, ReleasePolicy, Selector
from policies.shipped import sets
from tests.policies.builders import (
    ERRORS,
    GAUGE,
    LATENCY,
    THROUGHPUT,
    a_gate,
    a_policy,
    a_policy_object,
    a_release,
)


def test_a_short_policy_has_the_defaults_of_the_documentation() -> None:
    spec = to_object(a_policy())["spec"]
    assert spec == {
        "target": {"deployment": "checkout"},
        "metrics": {"source": "default", "pod": "pod", "namespace": "namespace"},
        "strategy": {
            "twin": {
                "canary": 1,
                "batches": 4,
                "maxSurge": "25%",
                "maxUnavailable": 0,
                "advance": {"canary": "auto", "batches": "auto"},
            }
        },
        "gates": [
            {
                "name": "errors",
                "required": True,
                "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
            }
        ],
        "mode": "enforce",
        "observe": {"atLeast": "2m", "atMost": "20m", "onUndecided": "pause"},
        "promise": {"falseRollback": "1%", "falsePause": "5%"},
        "onDegraded": "rollBack",
        "onBlind": {"hold": "10m", "then": "rollBack"},
        "onShared": {"hold": "15m", "then": "pause"},
        "baseline": {"history": "672h", "minimum": "72h", "season": "week"},
        "deadline": {"batch": "10m", "release": "4h"},
        "alreadyFiring": "refuse",
        "historyLimit": 20,
    }


def test_margins_default_by_the_kind_of_the_gate() -> None:
    errors, latency, points = a_policy(
        gates=[a_gate(), a_gate(LATENCY), a_gate(name="points", tolerate="0.2pp")]
    ).spec.gates
    assert (errors.kind, errors.margin.ratio) == ("errorRatio", 1.25)
    assert (latency.kind, latency.margin.ratio) == ("latency", 1.08)
    assert (points.margin.ratio, points.margin.points) == (None, 0.002)


def test_gauges_and_throughput_have_margins_of_their_own_and_ratios_only() -> None:
    memory, orders = a_policy(gates=[a_gate(GAUGE), a_gate(THROUGHPUT)]).spec.gates
    assert (memory.kind, memory.margin.ratio, orders.kind, orders.margin.ratio) == ("gauge", 1.1, "throughput", 1.25)
    for kind in (GAUGE, THROUGHPUT):
        with pytest.raises(PolicyRefused, match="pp is for errorRatio only"):
            a_policy(gates=[a_gate(kind, tolerate="1pp")])


def test_a_bound_is_a_share_of_requests_or_a_level() -> None:
    errors, memory = a_policy(gates=[a_gate(limit="5%"), a_gate(GAUGE, limit=1.5e9)]).spec.gates
    assert errors.limit is not None and memory.limit is not None
    assert (errors.limit.share, errors.limit.level) == (0.05, None)
    assert (memory.limit.share, memory.limit.level) == (None, 1.5e9)
    for level in (0, 3, 0.25, 1_500_000_000):
        bound = Bound.read(level)
        assert Bound.read(bound.written()) == bound
    wrongs: tuple[object, ...] = (True, -1, float("nan"), float("inf"), 1e16, "5", None, [])
    for wrong in wrongs:
        with pytest.raises(PydanticCustomError):
            Bound.read(wrong)


def test_a_gate_leaves_the_labels_of_pods_and_namespaces_to_the_controller() -> None:
    for mix in ("pod", "namespace"):
        with pytest.raises(PolicyRefused, match="a label of requests"):
            a_policy(gates=[a_gate(errorRatio=ERRORS["errorRatio"] | {"mix": mix})])
    with pytest.raises(PolicyRefused, match=r"the label of metrics\.pod"):
        a_policy(gates=[a_gate(GAUGE)], metrics={"pod": "kubernetes_pod"})
    other = {"query": 'a{pod="$pods",ns="$namespace"}'}
    with pytest.raises(PolicyRefused, match=r"the label of metrics\.namespace"):
        a_policy(gates=[a_gate(GAUGE, gauge=other)])
    assert a_policy(gates=[a_gate(GAUGE, gauge=other)], metrics={"namespace": "ns"})


# ------------------------------------------------------------------------------------------------------ presets


def test_a_preset_is_written_out_as_gates_after_those_of_the_policy() -> None:
    policy = a_policy(presets=["go", "http/promhttp"], gates=[a_gate(name="own")])
    names = [gate.name for gate in policy.spec.gates]
    assert names[0] == "own" and {"memory", "cpu", "errors", "latency"} <= set(names)
    spec = to_object(policy)["spec"]
    assert "presets" not in spec
    assert digest(policy) == digest(a_policy(gates=spec["gates"]))
    assert from_object(to_object(policy)) == policy


def test_a_preset_alone_is_enough_and_no_gate_at_all_is_not() -> None:
    spec = a_policy_object()["spec"] | {"presets": ["go"]}
    del spec["gates"]
    assert from_object(a_policy_object() | {"spec": spec}).spec.gates
    del spec["presets"]
    with pytest.raises(PolicyRefused, match="at least one gate, here or in a preset"):
        from_object(a_policy_object() | {"spec": spec})


def test_a_gate_of_the_policy_stands_in_for_one_of_a_preset() -> None:
    policy = a_policy(presets=["go"], gates=[a_gate(GAUGE, tolerate="1.5x")])
    (memory,) = [gate for gate in policy.spec.gates if gate.name == "memory"]
    assert memory.margin.ratio == 1.5


@pytest.mark.parametrize("name", sorted(sets()))
def test_every_shipped_set_makes_a_legal_policy(name: str) -> None:
    policy = a_policy(presets=[name], gates=[])
    assert [gate.name for gate in policy.spec.gates] == [gate["name"] for gate in sets()[name]]


@pytest.mark.parametrize("presets", ["go", {"go": 1}, [1], [["go"]], ["go", "no-such-set"], [None]])
def test_what_names_no_preset_is_refused_where_it_stands(presets: object) -> None:
    with pytest.raises(PolicyRefused) as refused:
        a_policy(presets=presets)
    assert all(error.path.startswith("spec.presets") for error in refused.value.errors), refused.value


def test_a_gate_hands_out_its_selectors_by_name() -> None:
    errors, latency = a_policy(gates=[a_gate(), a_gate(LATENCY)]).spec.gates
    assert errors.selectors() == {
        "errors": Selector.parse('http_requests_total{code=~"5.."}'),
        "requests": Selector("http_requests_total"),
    }
    assert latency.selectors() == {"histogram": Selector("http_request_duration_seconds_bucket")}


def test_a_policy_cannot_be_changed() -> None:
    policy = a_policy()
    with pytest.raises(ValidationError):
        policy.spec.mode = "observe"
    with pytest.raises(ValidationError):
        policy.spec.gates[0].required = False
    assert isinstance(policy.spec.gates, tuple)


def test_an_illegal_policy_cannot_be_built_from_parts_either() -> None:
    with pytest.raises(ValidationError):
        ReleasePolicy.model_validate(a_policy_object(mode="dry"))


def test_durations_arrive_in_seconds() -> None:
    policy = a_policy(observe={"atLeast": "90s"}, deadline={"batch": "1h30m"})
    assert policy.spec.observe.at_least.seconds == 90
    assert policy.spec.deadline.batch == Duration.of("90m")


def test_the_shortest_release_must_fit_its_deadline_to_the_second() -> None:
    # Five stages of two minutes: ten minutes are too short, one second more is enough.
    with pytest.raises(PolicyRefused, match="5 stages of at least 2m"):
        a_policy(observe={"atMost": "2m"}, deadline={"release": "10m"})
    assert a_policy(observe={"atMost": "2m"}, deadline={"release": "10m1s"})


def test_the_longest_name_of_a_deployment_keeps_its_replica_set_in_the_names_of_pods() -> None:
    name = a_policy(target={"deployment": "a" * 41}).spec.target.deployment
    pod = f"{name}-twin-{'h' * 10}-"
    # Kubernetes cuts what stands before the five characters of a pod to 58.
    assert len(pod) == 58


def test_a_policy_survives_the_way_to_the_cluster_and_back() -> None:
    documents, errors = load_paths([Path(policies.__file__).parent / "examples"])
    assert errors == []
    shown = [document for document in documents if document.policy is not None]
    assert len(shown) >= 5
    for document in shown:
        assert document.policy is not None
        assert from_object(to_object(document.policy)) == document.policy


def test_what_the_server_adds_is_ignored_and_what_it_keeps_is_judged() -> None:
    obj = a_policy_object() | {"status": {"because": "ready"}}
    obj["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "generation": 3, "ownerReferences": [{}]}
    assert from_object(obj) == a_policy()
    obj["spec"]["control"] = "fresh"
    with pytest.raises(PolicyRefused) as refused:
        from_object(obj)
    assert [error.path for error in refused.value.errors] == ["spec.control"]
    assert str(refused.value).startswith("shop/checkout: error: spec.control: found a fresh control group, not")


def test_items_of_a_list_carry_no_kind_and_are_read_all_the_same() -> None:
    obj = {key: value for key, value in a_policy_object().items() if key in {"metadata", "spec"}}
    assert from_object(obj) == a_policy()


@pytest.mark.parametrize("obj", [{}, {"spec": None}, {"metadata": [], "spec": []}, a_policy_object(gates=None)])
def test_an_object_of_any_shape_is_refused_and_nothing_else_happens(obj: dict[str, object]) -> None:
    with pytest.raises(PolicyRefused):
        from_object(obj)


def test_a_release_carries_its_change_and_the_verbs_of_people() -> None:
    release = a_release(
        env={"app": {"LOG_LEVEL": "debug"}},
        template={"metadata": {"labels": {"old": None}}, "spec": {}},
        promote={"batch": 2},
        abort={"reason": "wrong build"},
        skipGates={"reason": "incident"},
        paused=True,
        requestedBy="ana",
    )
    assert release.spec.images == {"app": "registry.example/checkout:v42"}
    assert release.spec.template == {"metadata": {"labels": {"old": None}}, "spec": {}}
    assert release.spec.promote is not None
    assert release.spec.promote.batch == 2
    assert release.spec.abort is not None
    assert release.spec.abort.reason == "wrong build"
    assert release.spec.paused


@pytest.mark.parametrize(
    "image",
    [
        "app",
        "app:v1",
        "registry.example/team/app",
        "localhost:5000/app:1.2-rc_3",
        "a/b__c/d-e.f:latest",
        "registry.example/app@sha256:" + "0a" * 32,
        "registry.example:443/app:v1@sha256:" + "f" * 64,
        "a" * 200,
    ],
)
def test_references_of_images_are_taken(image: str) -> None:
    assert a_release(images={"app": image}).spec.images["app"] == image


@pytest.mark.parametrize(
    "image", ["", " ", "a b", "-app", "app:", ":v1", "app@sha256:00", "a//b", "a\n", "App", "a" * 2000]
)
def test_what_is_no_reference_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(PolicyRefused):
        a_release(images={"app": image})


def test_origins_of_a_release_exclude_each_other() -> None:
    assert a_release(images={}, rollbackOf="checkout-6").spec.rollback_of == "checkout-6"
    assert a_release(images={}, restoreOf="checkout-6").spec.restore_of == "checkout-6"
    with pytest.raises(PolicyRefused, match="rollbackOf and restoreOf"):
        a_release(images={}, rollbackOf="a", restoreOf="b")
