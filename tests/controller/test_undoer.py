"""Who is named where an object that a release has changed was set back."""

from __future__ import annotations

from typing import Any

import pytest

from controller.slots import undoer_of


def entry(manager: str, time: str, field: str = "f:spec") -> dict[str, Any]:
    return {"manager": manager, "time": f"2026-11-23T01:00:{time}Z", "fieldsV1": {field: {"f:selector": {}}}}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ([entry("kubectl", "01"), entry("nightferry", "10"), entry("argocd-controller", "11")], "argocd-controller"),
        # In the same second: nobody else wrote in it.
        ([entry("nightferry", "10"), entry("argocd-controller", "10")], "argocd-controller"),
        # Whoever only takes a field away owns nothing afterwards; who created the object is not accused of it.
        ([entry("kubectl", "01"), entry("nightferry", "10")], "somebody"),
        ([entry("nightferry", "10"), entry("gateway", "12", "f:status")], "somebody"),
        ([], "somebody"),
    ],
)
def test_who_undid_it(entries: list[dict[str, Any]], named: str) -> None:
    assert undoer_of({"metadata": {"managedFields": entries}}) == named
