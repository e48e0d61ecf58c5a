"""The contender's template: strategic merge as Kubernetes does it, images, environment, and what makes a version."""

from __future__ import annotations

from typing import Any

import pytest

from controller.slots import claim_text, not_older, read_claim, template_digest, writer_of
from controller.templates import TemplateRefused, changed, merge
from tests.controller.builders import a_slot, a_template


def a_rich_template() -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "checkout"}, "annotations": {"note": "one"}},
        "spec": {
            "initContainers": [{"name": "migrate", "image": "migrate:v1"}],
            "containers": [
                {
                    "name": "app",
                    "image": "app:v1",
                    "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {}}}],
                    "args": ["--one", "--two"],
                    "volumeMounts": [{"mountPath": "/data", "name": "data"}],
                },
                {"name": "proxy", "image": "proxy:v1"},
            ],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }


def test_an_image_is_changed_in_its_container_alone() -> None:
    before = a_rich_template()
    after = changed(before, images={"app": "app:v2", "migrate": "migrate:v2"}, env={}, patch=None)
    assert after["spec"]["containers"][0]["image"] == "app:v2"
    assert after["spec"]["containers"][1]["image"] == "proxy:v1"
    assert after["spec"]["initContainers"][0]["image"] == "migrate:v2"
    assert before == a_rich_template()


def test_a_variable_keeps_its_place_for_those_that_refer_to_it() -> None:
    before = a_rich_template()
    before["spec"]["containers"][0]["env"] = [
        {"name": "HOST", "value": "a"},
        {"name": "URL", "value": "http://$(HOST)/"},
    ]
    after = changed(before, images={}, env={"app": {"HOST": "b", "MORE": "c"}}, patch=None)
    assert after["spec"]["containers"][0]["env"] == [
        {"name": "HOST", "value": "b"},
        {"name": "URL", "value": "http://$(HOST)/"},
        {"name": "MORE", "value": "c"},
    ]


def test_environment_variables_are_set_and_others_kept() -> None:
    after = changed(a_rich_template(), images={}, env={"app": {"B": "2", "C": "3"}}, patch=None)
    assert after["spec"]["containers"][0]["env"] == [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
        {"name": "C", "value": "3"},
    ]


def test_an_unknown_container_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(TemplateRefused, match=r"'web' is not in the pod template; it has app, migrate, proxy"):
        changed(a_rich_template(), images={"web": "x"}, env={}, patch=None)


@pytest.mark.parametrize(
    ("patch", "path", "expected"),
    [
        ({"metadata": {"annotations": {"note": None}}}, ("metadata", "annotations"), {}),
        (
            {"spec": {"containers": [{"name": "app", "args": ["--three"]}]}},
            ("spec", "containers", 0, "args"),
            ["--three"],
        ),
        ({"spec": {"containers": [{"name": "proxy", "$patch": "delete"}]}}, ("spec", "containers", 1), None),
        ({"spec": {"volumes": [{"name": "tmp", "emptyDir": {}}]}}, ("spec", "volumes", 1, "name"), "tmp"),
        (
            {"spec": {"containers": [{"name": "app", "volumeMounts": [{"mountPath": "/data", "readOnly": True}]}]}},
            ("spec", "containers", 0, "volumeMounts", 0),
            {"mountPath": "/data", "name": "data", "readOnly": True},
        ),
        ({"spec": {"tolerations": [{"key": "x"}]}}, ("spec", "tolerations"), [{"key": "x"}]),
    ],
)
def test_a_template_patch_merges_as_kubernetes_does(patch: Any, path: tuple[Any, ...], expected: Any) -> None:
    found: Any = merge(a_rich_template(), patch)
    for step in path:
        found = found[step] if not isinstance(step, int) or step < len(found) else None
    assert found == expected


def test_an_element_without_its_key_is_refused() -> None:
    with pytest.raises(TemplateRefused, match="name the one it changes"):
        merge(a_rich_template(), {"spec": {"containers": [{"image": "x"}]}})


def test_the_digest_is_of_the_version_not_of_the_slot_or_a_restart() -> None:
    plain = a_template()
    other = a_template()
    other["metadata"]["labels"]["nightferry.dev/slot"] = "twin"
    other["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    other["metadata"]["creationTimestamp"] = None
    assert template_digest(plain) == template_digest(other)
    assert template_digest(plain) != template_digest(a_template("app:v2"))


def test_a_claim_is_read_back_and_a_foreign_annotation_is_not_one() -> None:
    claim = a_slot().claim
    assert claim is not None
    assert read_claim(claim_text(claim)) == claim
    for text in (None, "", "{}", "[]", "null", '{"role": "owner"}', claim_text(claim).replace("Batch", "Flying")):
        assert read_claim(text) is None


def test_the_writer_of_a_field_is_the_last_one_that_is_not_us() -> None:
    def entry(manager: str, time: str, field: str) -> dict[str, Any]:
        return {"manager": manager, "time": time, "fieldsV1": {"f:spec": {f"f:{field}": {}}}}

    obj = {
        "metadata": {
            "managedFields": [
                entry("helm", "2026-01-01T00:00:00Z", "replicas"),
                entry("kubectl", "2026-01-02T00:00:00Z", "replicas"),
                entry("nightferry", "2026-01-03T00:00:00Z", "replicas"),
                entry("argocd", "2026-01-04T00:00:00Z", "template"),
            ]
        }
    }
    assert writer_of(obj, "spec", "replicas") == "kubectl"
    assert writer_of(obj, "spec", "template") == "argocd"
    assert writer_of(obj, "spec", "paused") == "someone"


def test_resource_versions_are_compared_as_numbers_where_they_are_numbers() -> None:
    assert not_older("100", "99") and not_older("99", "99") and not not_older("9", "10")
    assert not_older("abc", "99")
