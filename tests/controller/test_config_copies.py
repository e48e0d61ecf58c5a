"""Copies of ConfigMaps: which places of a pod name one, what a copy is called, and when it may go."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.companions.config import COPY_OF, Config, copy_name, is_copy_of, manifest, named_in, rewritten
from controller.findings import Finding, Refusal
from controller.release.names import Ref
from controller.release.observation import Observation, ReplicaSetState
from controller.release.plan import CreateObject, DeleteObject
from controller.release.record import Record, Saved
from controller.release.vocabulary import Phase
from controller.requests.looks import Neighbours
from tests.controller.builders import a_policy, a_record, a_slot, an_observation

NAME = "checkout-settings"
DATA = {"LEVEL": "info"}
CONTENT: dict[str, Any] = {"metadata": {"name": NAME}, "data": DATA}
COPY = copy_name(NAME, "checkout", CONTENT)
OLD = f"{NAME}-0123456789"
SPEC = a_policy(config=[f"configMap/{NAME}"]).spec
CONFIG = Config()


def a_pod(name: str) -> dict[str, Any]:
    """A pod template that names a ConfigMap wherever one can be named, and other things by the same name."""
    container = {
        "name": "app",
        "envFrom": [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": "a"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": name, "key": "b"}}},
            {"name": "C", "value": name},
        ],
    }
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "initContainers": [dict(container, name="init")],
            "containers": [container],
            "volumes": [
                {"name": name, "configMap": {"name": name, "items": [{"key": "a", "path": "a"}]}},
                {"name": "p", "projected": {"sources": [{"configMap": {"name": name}}, {"secret": {"name": name}}]}},
                {"name": "s", "secret": {"secretName": name}},
            ],
        },
    }


def test_every_place_that_names_a_config_map_is_rewritten_and_no_other() -> None:
    before = a_pod(NAME)
    text = json.dumps(before)
    after = rewritten(before, {NAME: COPY})
    assert json.dumps(before) == text
    assert named_in(after) == {COPY}
    assert json.dumps(after).count(f'"{COPY}"') == 6  # two containers with two places each, two volumes
    back = json.loads(json.dumps(after).replace(COPY, NAME))
    assert back == before


def test_an_older_copy_is_rewritten_and_a_name_that_only_begins_alike_is_not() -> None:
    assert named_in(rewritten(a_pod(OLD), {NAME: COPY})) == {COPY}
    for other in ("checkout", f"{NAME}-blue", f"{NAME}-01234567", f"{NAME}-0123456789a", f"x{NAME}"):
        assert not is_copy_of(other, NAME)
        assert named_in(rewritten(a_pod(other), {NAME: COPY})) == {other}


@pytest.mark.parametrize(
    "pod",
    [
        {},
        {"spec": None},
        {"spec": {"volumes": "x", "containers": [1, None, {"env": {"A": 1}, "envFrom": ["x", {"configMapRef": "y"}]}]}},
        {"spec": {"volumes": [{"configMap": {}}, {"projected": [1]}], "initContainers": {"name": "x"}}},
    ],
)
def test_a_template_that_the_api_server_would_refuse_is_handed_on_as_it_is(pod: dict[str, Any]) -> None:
    assert rewritten(pod, {NAME: COPY}) == pod


def test_the_name_of_a_copy_tells_content_and_app_apart() -> None:
    contents: list[dict[str, Any]] = [
        {}, {"data": {"a": "b"}}, {"data": {"a": ""}}, {"binaryData": {"a": "b"}}, {"data": {"a": "b", "c": "d"}},
    ]  # fmt: skip
    names = {copy_name(NAME, app, content) for app in ("checkout", "basket") for content in contents}
    assert len(names) == 2 * len(contents)
    assert all(is_copy_of(name, NAME) for name in names)
    assert copy_name(NAME, "checkout", {**CONTENT, "immutable": True, "metadata": {"labels": {"x": "y"}}}) == COPY


def test_a_copy_holds_the_content_and_never_changes() -> None:
    content = {**CONTENT, "binaryData": {"key": "AAEC"}, "immutable": True}
    made = manifest(COPY, NAME, content)
    assert (made["data"], made["binaryData"], made["immutable"]) == (DATA, {"key": "AAEC"}, True)
    assert made["metadata"]["annotations"] == {COPY_OF: NAME}
    assert "ownerReferences" not in made["metadata"]  # it must not go with a Deployment that is only one of two


# ------------------------------------------------------------------------------------------- a release


def seen(**objects: Any) -> Observation:
    """Both slots; `live`, `copy`, `old` are the ConfigMaps that are there."""
    names = {"live": NAME, "copy": COPY, "old": OLD}
    found = {Ref("ConfigMap", names[key]): value for key, value in objects.items() if key in names}
    incumbent, contender = (a_slot(name, raw={"spec": {"template": a_pod(objects.get(role, NAME))}})
                            for name, role in (("checkout", "incumbent"), ("checkout-twin", "contender")))  # fmt: skip
    sets = tuple(
        ReplicaSetState(f"rs-{n}", f"uid-{n}", "checkout", f"{n}", f"{n}", 0, 0.0, n, a_pod(name))
        for n, name in enumerate(objects.get("kept", ()))
    )
    return an_observation(incumbent=incumbent, contender=contender, objects=found, replica_sets=sets)


def made(name: str = COPY, content: dict[str, Any] = CONTENT) -> dict[str, Any]:
    copy = manifest(name, NAME, content)
    return {**copy, "metadata": {**copy["metadata"], "uid": f"uid-{name}", "resourceVersion": "5"}}


def record(older: tuple[str, ...] = (), **changes: Any) -> Record:
    facts = json.dumps({"of": NAME, "older": list(older)})
    return a_record(saved=(Saved("ConfigMap", COPY, "", facts),), **changes)


def test_what_is_missing_or_in_the_way_is_refused_beforehand() -> None:
    around = Neighbours()
    assert CONFIG.problems(SPEC, Record(), seen(live=CONTENT), around, {}) is None
    assert CONFIG.problems(SPEC, Record(), seen(live=CONTENT, copy=made()), around, {}) is None
    for there, words in (
        (seen(), "does not exist"),
        (seen(live=CONTENT, copy=CONTENT), "is not the copy"),
        (seen(live=CONTENT, copy=made(content={"data": {"LEVEL": "forged"}})), "is not the copy"),
    ):
        found = CONFIG.problems(SPEC, Record(), there, around, {})
        assert isinstance(found, Refusal)
        assert words in found.because
    long = a_policy(config=[f"configMap/{'a' * 250}"]).spec
    there = replace(seen(), objects={Ref("ConfigMap", "a" * 250): CONTENT})
    found = CONFIG.problems(long, Record(), there, around, {})
    assert isinstance(found, Refusal) and "longer than 253" in found.because


@pytest.mark.parametrize("manager", ["kubectl-set", "argocd-controller"])
def test_a_tool_that_would_write_the_name_of_the_original_again_is_refused(manager: str) -> None:
    there = seen(live=CONTENT)
    assert there.contender is not None
    entry = {"manager": manager, "time": "2026-11-22T01:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}}
    raw = {**there.contender.raw, "metadata": {"name": "checkout", "managedFields": [entry]}}
    there = replace(there, contender=replace(there.contender, raw=raw))
    found = CONFIG.problems(SPEC, Record(), there, Neighbours(), {})
    assert (found is not None) is (manager == "argocd-controller")
    assert found is None or (
        isinstance(found, Refusal) and "owns spec.template of Deployment checkout" in found.because
    )


def test_people_are_told_what_the_incumbent_reads() -> None:
    assert "reads ConfigMap checkout-settings itself" in CONFIG.notes(SPEC, seen(live=CONTENT))[0]
    assert CONFIG.notes(SPEC, seen(live=CONTENT, incumbent=OLD)) == ()
    assert "no container or volume" in CONFIG.notes(SPEC, seen(live=CONTENT, incumbent="other"))[0]


def test_what_is_borrowed_is_recorded_before_it_is_made() -> None:
    there = seen(live=CONTENT, incumbent=OLD, kept=(f"{NAME}-aaaaaaaaaa", NAME))
    (saved,) = CONFIG.saved(SPEC, Record(), there, Neighbours(), {})
    assert (saved.kind, saved.name) == ("ConfigMap", COPY)
    assert json.loads(saved.fields) == {"of": NAME, "older": [OLD, f"{NAME}-aaaaaaaaaa"]}
    assert CONFIG.prepare(SPEC, a_record(), there) is None  # nothing is made that no record knows
    write = CONFIG.prepare(SPEC, record(), there)
    assert isinstance(write, CreateObject)
    assert (write.ref.name, write.manifest["data"]) == (COPY, DATA)
    assert CONFIG.prepare(SPEC, record(), seen(live=CONTENT, copy=made())) is None
    assert CONFIG.prepare(SPEC, record(origin="restore"), there) is None


def back(**objects: Any) -> Finding:
    """What speaks against a way back to a version that reads OLD, or what `reads` says."""
    template, there = a_pod(objects.pop("reads", OLD)), seen(**objects)
    looked = replace(there, objects=dict.fromkeys(CONFIG.rests_on(SPEC, template)) | dict(there.objects))
    return CONFIG.problems(SPEC, a_record(origin="rollback"), looked, Neighbours(), template)


def test_a_way_back_needs_what_its_version_reads_and_nothing_else() -> None:
    assert [ref.name for ref in CONFIG.rests_on(SPEC, a_pod(OLD))] == [OLD]
    assert CONFIG.rests_on(SPEC, a_pod("other")) == ()
    assert back(old=made(OLD)) is None  # the original is gone, and nobody asks for it
    assert back(reads=NAME, live=CONTENT) is None
    assert back(reads="other") is None
    assert back(reads=COPY, live=CONTENT) is None  # the copy can be made again


@pytest.mark.parametrize("there", [{}, {"live": CONTENT}, {"reads": NAME}, {"reads": COPY}])
def test_a_way_back_without_the_settings_of_its_version_is_refused(there: dict[str, Any]) -> None:
    found = back(**there)
    assert isinstance(found, Refusal)
    assert f"reads ConfigMap {there.get('reads', OLD)}, which does not exist" in found.because


def test_a_tool_that_owns_the_template_is_in_the_way_of_a_way_back_to_copies_only() -> None:
    entry = {"manager": "argocd-controller", "time": "2026-11-22T01:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}}
    there, record = seen(live=CONTENT), a_record(origin="rollback")
    assert there.contender is not None
    raw = {**there.contender.raw, "metadata": {"name": "checkout", "managedFields": [entry]}}
    there = replace(there, contender=replace(there.contender, raw=raw))
    assert CONFIG.problems(SPEC, record, there, Neighbours(), a_pod(NAME)) is None
    assert isinstance(CONFIG.problems(SPEC, record, there, Neighbours(), a_pod(COPY)), Refusal)


def test_a_way_back_knows_the_copies_of_its_version_and_makes_a_lost_one_again() -> None:
    there, going_back = seen(live=CONTENT, incumbent=OLD, contender=COPY), a_record(origin="rollback")
    assert CONFIG.saved(SPEC, going_back, seen(incumbent=OLD), Neighbours(), a_pod(NAME)) == ()  # not ours
    (saved,) = CONFIG.saved(SPEC, going_back, there, Neighbours(), a_pod(COPY))
    assert (saved.name, json.loads(saved.fields)) == (COPY, {"of": NAME, "older": [OLD]})
    (older,) = CONFIG.saved(SPEC, going_back, seen(incumbent=COPY, contender=OLD), Neighbours(), a_pod(OLD))
    assert (older.name, json.loads(older.fields)) == (OLD, {"of": NAME, "older": [COPY]})
    write = CONFIG.prepare(SPEC, replace(going_back, saved=(saved,)), there)
    assert isinstance(write, CreateObject) and write.ref.name == COPY
    assert CONFIG.prepare(SPEC, replace(going_back, saved=(older,)), there) is None


def test_a_copy_that_was_deleted_is_made_again_as_long_as_its_content_is_there() -> None:
    assert CONFIG.prepare(SPEC, record(phase=Phase.BATCH, stage=1), seen(live=CONTENT, contender=COPY)) is not None
    edited = {**CONTENT, "data": {"LEVEL": "debug"}}
    assert CONFIG.prepare(SPEC, record(phase=Phase.BATCH, stage=1), seen(live=edited, contender=COPY)) is None
    assert CONFIG.prepare(SPEC, record(phase=Phase.BATCH, stage=1), seen(contender=COPY)) is None


def test_old_copies_are_looked_at_in_the_last_stage_only_and_never_the_original_on_the_way_back() -> None:
    known = record((OLD,), stage=1, phase=Phase.BATCH)
    assert [ref.name for ref in CONFIG.reads(SPEC, known)] == [COPY, NAME]
    assert [ref.name for ref in CONFIG.reads(SPEC, replace(known, stage=4))] == [COPY, NAME, OLD]
    assert [ref.name for ref in CONFIG.reads(SPEC, replace(known, phase=Phase.ROLLING_BACK))] == [COPY]


@pytest.mark.parametrize(
    ("there", "forward", "gone"),
    [
        (seen(copy=made(), old=made(OLD), incumbent=OLD, contender=COPY), True, ""),
        (seen(copy=made(), old=made(OLD), contender=COPY), True, OLD),
        (seen(copy=made(), old=made(OLD), contender=COPY, kept=(OLD,)), True, ""),
        (seen(copy=made(), old={**made(OLD), "metadata": {"name": OLD}}, contender=COPY), True, ""),
        (seen(copy=made(), contender=COPY), True, ""),
        (seen(copy=made(), contender=COPY), False, ""),
        (seen(copy=made()), False, COPY),
        (seen(copy=made(), kept=(COPY,)), False, ""),
        (seen(copy=made(), old=made(OLD)), False, COPY),
    ],
)
def test_a_copy_goes_when_no_version_names_it_any_more(there: Observation, forward: bool, gone: str) -> None:
    write = CONFIG.hand_back(SPEC, record((OLD,)), there, forward=forward)
    if not gone:
        assert write is None
    else:
        assert isinstance(write, DeleteObject)
        assert (write.ref.name, write.uid, write.resource_version) == (gone, f"uid-{gone}", "5")
