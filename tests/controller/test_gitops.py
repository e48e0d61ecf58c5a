"""Tools that write a field again: refused by name, until whoever has told them to ignore it says so."""

from __future__ import annotations

from typing import Any

from controller.findings import Refusal
from controller.gitops import IGNORED_BY, owned

REPLICAS = (("spec", "replicas"),)


def _deployment(manager: str, **annotations: str) -> dict[str, Any]:
    entry = {
        "manager": manager,
        "operation": "Update",
        "time": "2026-01-01T00:00:00Z",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    return {"metadata": {"name": "checkout", "annotations": annotations, "managedFields": [entry]}, "spec": {}}


def test_a_tool_that_owns_the_field_is_refused_with_both_things_to_do() -> None:
    found = owned(_deployment("argocd-controller"), REPLICAS, group="apps")
    assert isinstance(found, Refusal)
    assert "ignoreDifferences: [{group: apps, kind: Deployment, name: checkout" in found.because
    assert f"kubectl annotate deployment checkout {IGNORED_BY}=argocd-controller" in found.because


def test_an_old_entry_of_a_tool_that_was_told_to_ignore_the_field_stands_in_nobodys_way() -> None:
    assert owned(_deployment("argocd-controller", **{IGNORED_BY: "argocd-controller"}), REPLICAS) is None
    assert owned(_deployment("flux", **{IGNORED_BY: "argocd-controller, flux"}), REPLICAS) is None


def test_what_is_said_of_one_tool_is_not_said_of_another() -> None:
    assert owned(_deployment("helm-controller", **{IGNORED_BY: "argocd-controller"}), REPLICAS) is not None
    assert owned(_deployment("argocd-controller", **{IGNORED_BY: ""}), REPLICAS) is not None


def test_people_are_no_tools() -> None:
    assert owned(_deployment("kubectl-scale"), REPLICAS) is None
