"""Presets: every gate that the schema knows can be put into a policy as it stands, and names the library it is from."""

from __future__ import annotations

import re

import promql_parser
import pytest

from policies.gates import Gate
from policies.presets import NAMES, PresetSet, preset, presets

SETS = [(name, one) for name, each in presets().items() for one in each.sets]


@pytest.mark.parametrize(("name", "one"), SETS, ids=[f"{name}-{one.name}" for name, one in SETS])
def test_a_set_says_which_library_and_version_it_is_from(name: str, one: PresetSet) -> None:
    assert re.search(r"\d+\.\d+", one.library), one.library
    names = [gate["name"] for gate in one.gates]
    assert names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "one"), SETS, ids=[f"{name}-{one.name}" for name, one in SETS])
def test_every_gate_is_a_gate_of_a_policy(name: str, one: PresetSet) -> None:
    for gate in one.copied():
        found = Gate.model_validate(gate)
        assert found.name == gate["name"]


@pytest.mark.parametrize(("name", "one"), SETS, ids=[f"{name}-{one.name}" for name, one in SETS])
def test_every_gauge_asks_for_one_series_per_pod_of_the_release(name: str, one: PresetSet) -> None:
    for gate in one.gates:
        if "gauge" in gate:
            parsed = promql_parser.parse(gate["gauge"]["query"])
            assert isinstance(parsed, promql_parser.AggregateExpr)
            assert 'pod="$pods"' in gate["gauge"]["query"]


def test_the_presets_that_are_named_are_there() -> None:
    assert tuple(presets()) == NAMES
    assert preset("http").named("micrometer").gates[0]["name"] == "errors"


def test_a_name_that_is_none_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="allowed: http, grpc, go, jvm, python"):
        preset("htttp")
    with pytest.raises(ValueError, match="promhttp"):
        preset("http").named("express")


def test_a_copy_is_ones_own() -> None:
    mine = preset("http").named().copied()
    mine[0]["errorRatio"]["errors"] = "mine"
    assert preset("http").named().copied()[0]["errorRatio"]["errors"] != "mine"
