"""The CRDs, the editor's schema and the reference page: never stale, and legal where they are used."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import policies
from policies.__main__ import generated, main, stale
from policies.load import load_text, to_object
from policies.model import Part
from policies.openapi import crds, editor_schema, structural
from policies.reference import page
from policies.release import ReleaseSpec
from policies.schema import ReleasePolicySpec
from policies.status import ReleasePolicyStatus, ReleaseStatus, ReleaseTrainStatus
from policies.train import ReleaseTrainSpec
from policies.translate import aliases, part_at
from tests.policies.builders import a_gate, a_policy

ROOT = Path(__file__).parent.parent.parent
MODELS = (ReleasePolicySpec, ReleaseSpec, ReleaseStatus, ReleasePolicyStatus, ReleaseTrainSpec, ReleaseTrainStatus)


def test_the_files_in_the_tree_are_what_the_schema_yields() -> None:
    assert stale(ROOT) == [], "run `python -m policies`"


def test_the_check_names_what_is_stale_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    page_file, extra = tmp_path / "docs/policy-reference.md", tmp_path / "manifests/crds/old.yaml"
    page_file.write_text("old")
    extra.write_text("old")
    assert main(["--root", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().out
    assert [line.split(":")[0] for line in told.splitlines()] == ["docs/policy-reference.md", "manifests/crds/old.yaml"]
    assert page_file.read_text() == "old"


def test_making_twice_makes_the_same() -> None:
    assert generated() == generated()


def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, part in node.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from walk(node[key], f"{path}.{key}")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schemas_are_structural_as_kubernetes_1_20_wants_them(model: type[Part]) -> None:
    for path, node in walk(structural(model), model.__name__):
        assert not node.keys() & {"$ref", "$defs", "title", "default", "const", "nullable", "patternProperties"}, path
        assert "x-kubernetes-validations" not in node, path
        free = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
        assert ("type" in node) or free, path
        assert not ("properties" in node and "additionalProperties" in node), path
        for junction in ("anyOf", "oneOf"):
            for option in node.get(junction, []):
                if not node.get("x-kubernetes-int-or-string"):
                    assert {"required"} <= option.keys() <= {"required", "properties"}, path
                    assert set(option["required"]) <= node["properties"].keys(), path
                    # Inside a junction Kubernetes takes bounds of values, and no types or words.
                    for name, bounds in option.get("properties", {}).items():
                        assert name in node["properties"] and bounds.keys() == {"minItems"}, path
        assert set(node.get("required", [])) <= node.get("properties", {}).keys(), path


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_has_a_description(model: type[Part]) -> None:
    for path, node in walk(structural(model), model.__name__):
        for name, part in node.get("properties", {}).items():
            assert part["description"].strip().endswith("."), f"{path}.{name}"


def test_the_status_is_typed_and_only_evidence_and_the_record_are_free() -> None:
    free = {
        path
        for path, node in walk(structural(ReleaseStatus), "status")
        if node.get("x-kubernetes-preserve-unknown-fields")
    }
    assert free == {"status.record", "status.verdicts.items.evidence"}


def test_a_field_of_a_later_version_is_kept_by_the_cluster_so_that_it_is_refused() -> None:
    # The API server drops what no schema names: a window would vanish, and the release run at noon.
    spec = structural(ReleasePolicySpec)
    for path, node in walk(spec, "spec"):
        if node.get("description", "").startswith("Refused:"):
            assert node["x-kubernetes-preserve-unknown-fields"], path
    assert spec["properties"].keys() >= ReleasePolicySpec.later.keys()


def test_tables_of_kubectl_read_fields_that_exist() -> None:
    for text in crds().values():
        crd = yaml.safe_load(text)
        (version,) = crd["spec"]["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        for column in version["additionalPrinterColumns"]:
            if column["jsonPath"].startswith(".metadata"):
                continue
            node = schema
            for step in re.sub(r"\[.*?\]", ".items", column["jsonPath"]).strip(".").split("."):
                node = node["items"] if step == "items" else node["properties"][step]
            assert node["type"] == ("string" if column["type"] == "date" else column["type"]), column


def test_short_names_and_groups_are_those_of_the_documentation() -> None:
    names = {yaml.safe_load(text)["spec"]["names"]["kind"]: yaml.safe_load(text)["spec"] for text in crds().values()}
    assert names["Release"]["names"]["shortNames"] == ["rel"]
    assert names["ReleasePolicy"]["names"]["shortNames"] == ["rp"]
    assert names["ReleaseTrain"]["names"]["shortNames"] == ["rt"]
    assert names["Baseline"]["names"]["shortNames"] == ["bl"]
    assert {spec["group"] for spec in names.values()} == {"nightferry.dev"}


def test_the_schema_for_editors_refuses_unknown_keys_and_knows_the_defaults() -> None:
    schema = json.loads(editor_schema())
    spec = schema["$defs"]["ReleasePolicySpec"]
    assert spec["additionalProperties"] is False
    assert "control" not in spec["properties"]
    assert schema["$defs"]["Twin"]["properties"]["maxSurge"]["default"] == "25%"
    assert "x-" not in re.sub(r"max-", "", " ".join(re.findall(r'"(x-[^"]*)":', editor_schema())))


def test_patterns_of_the_schema_take_whatever_the_parser_takes() -> None:
    spec = to_object(a_policy(gates=[a_gate(tolerate="0.2pp", limit="0.5%")], deadline={"batch": "1h30m"}))["spec"]
    schema = structural(ReleasePolicySpec)

    def matches(node: dict[str, Any], value: Any) -> bool:
        if isinstance(value, dict):
            return all(matches(node["properties"][key], item) for key, item in value.items())
        if isinstance(value, list) and "items" in node:
            return all(matches(node["items"], item) for item in value)
        return not isinstance(value, str) or re.search(node.get("pattern", ""), value) is not None

    assert matches(schema, spec)
    assert not matches(schema, {"deadline": {"batch": "22:30"}})


def test_every_field_and_every_later_one_is_on_the_page() -> None:
    text = page()

    def paths(model: type[Part], path: str) -> Iterator[str]:
        for alias in aliases(model):
            if alias in model.later:
                assert f"`{path}.{alias}`: {model.later[alias]}" in text
                continue
            yield f"{path}.{alias}"
            part = part_at(model, (alias,)) or part_at(model, (alias, 0))
            if part is not None:
                repeated = part_at(model, (alias,)) is None
                yield from paths(part, f"{path}.{alias}{'[]' if repeated else ''}")

    assert [path for path in paths(ReleasePolicySpec, "spec") if f"| `{path}` |" not in text] == []
    assert [key for key in ReleasePolicySpec.later if f"`spec.{key}`" not in text] == []


def test_the_policies_shown_on_the_page_are_legal() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        assert load_text(block)


def test_examples_are_shipped_with_the_package() -> None:
    folder = Path(policies.__file__).parent / "examples"
    assert {file.name for file in folder.glob("*.yaml")} == {
        "bluegreen.yaml",
        "outside.yaml",
        "quickstart.yaml",
        "recreate.yaml",
        "rolling.yaml",
        "train.yaml",
        "twin-gateway-api.yaml",
        "twin-ingress-nginx.yaml",
        "twin-istio.yaml",
        "twin.yaml",
    }
