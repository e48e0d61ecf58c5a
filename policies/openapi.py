"""The CustomResourceDefinitions and the JSON Schema for editors, made from the models and from nothing else.

The API server drops fields that a schema does not name. kubectl and the appliers of GitOps refuse such a field before
it is sent, by this very schema; and it must name all fields, because a schema that keeps unknown ones is not published
and `kubectl explain` has nothing to show [seen on 1.20]. Fields whose feature does not exist yet are named without a
type: so they are kept and the controller refuses them, instead of releasing outside a window that was asked for.
"""

import json
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from policies.baseline import Baseline, BaselineSpec, BaselineStatus
from policies.model import NOT_AVAILABLE, Part
from policies.names import LONGEST_NAME
from policies.release import Release, ReleaseSpec
from policies.schema import ReleasePolicy, ReleasePolicySpec
from policies.status import ReleasePolicyStatus, ReleaseStatus, ReleaseTrainStatus
from policies.train import ReleaseTrain, ReleaseTrainSpec
from policies.values import Written

HEADER = "# Made by `python -m policies` from policies/*.py. Do not edit.\n"
GROUP = "nightferry.dev"
VERSION = "v1alpha1"

Schema = dict[str, Any]

_READY = '.status.conditions[?(@.type=="Ready")]'
_RELEASE_COLUMNS: list[Schema] = [
    {"name": "App", "type": "string", "jsonPath": ".status.app"},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Batch", "type": "string", "jsonPath": ".status.batchText"},
    {"name": "Verdict", "type": "string", "jsonPath": ".status.verdict"},
    {"name": "Held", "type": "string", "jsonPath": ".status.heldReason", "priority": 1},
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
_POLICY_COLUMNS: list[Schema] = [
    {"name": "App", "type": "string", "jsonPath": ".spec.target.deployment"},
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Message", "type": "string", "jsonPath": f"{_READY}.message", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
_BASELINE_COLUMNS: list[Schema] = [
    {"name": "Learned", "type": "date", "jsonPath": ".status.learnedAt"},
    {"name": "Segments", "type": "integer", "jsonPath": ".status.segments"},
    {"name": "Coverage", "type": "string", "jsonPath": ".status.coverage"},
    {"name": "Status", "type": "string", "jsonPath": ".status.status"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
_TRAIN_COLUMNS: list[Schema] = [
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Night", "type": "string", "jsonPath": ".status.night.id"},
    {"name": "Cars", "type": "string", "jsonPath": ".status.counts"},
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Because", "type": "string", "jsonPath": ".status.because", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
_PLURALS = {
    "ReleasePolicy": "releasepolicies",
    "Release": "releases",
    "ReleaseTrain": "releasetrains",
    "Baseline": "baselines",
}


def crds() -> dict[str, str]:
    """File name -> YAML text of each CustomResourceDefinition."""
    policies = _crd(ReleasePolicy, ReleasePolicySpec, ReleasePolicyStatus, "rp", _POLICY_COLUMNS)
    releases = _crd(Release, ReleaseSpec, ReleaseStatus, "rel", _RELEASE_COLUMNS)
    trains = _crd(ReleaseTrain, ReleaseTrainSpec, ReleaseTrainStatus, "rt", _TRAIN_COLUMNS)
    # One write puts a baseline in place as a whole, so it has no status of its own to be written apart.
    baselines = _crd(Baseline, BaselineSpec, BaselineStatus, "bl", _BASELINE_COLUMNS, apart=False)
    return {
        "releasepolicies.yaml": _yaml(policies),
        "releases.yaml": _yaml(releases),
        "releasetrains.yaml": _yaml(trains),
        "baselines.yaml": _yaml(baselines),
    }


def editor_schema(kind: type[Part] = ReleasePolicy) -> str:
    """The JSON Schema of a file of a kind, with unknown keys refused, for editors that validate YAML."""
    schema = kind.model_json_schema(schema_generator=_Generator)
    plain = _without_extensions(schema)
    plain = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"https://{GROUP}/{VERSION}"} | plain
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Writes defaults in the words of the YAML."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Written):
            return dft.written()
        if isinstance(dft, Part):
            return dft.model_dump(mode="json", by_alias=True, exclude_none=True)
        return super().encode_default(dft)


def _crd(
    kind: type[Part], spec: type[Part], status: type[Part], short: str, columns: list[Schema], *, apart: bool = True
) -> Schema:
    """The definition of a kind. `apart`: whether its status is written by a path of its own."""
    name = kind.__name__
    plural = _PLURALS[name]
    name_schema = {"type": "string", "maxLength": LONGEST_NAME}
    schema = {
        "type": "object",
        "description": _paragraph(kind.__doc__),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of this schema."},
            "kind": {"type": "string", "description": "The kind of this object."},
            "metadata": {"type": "object", "properties": {"name": name_schema}},
            "spec": structural(spec),
            "status": structural(status),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": plural,
                "singular": name.lower(),
                "shortNames": [short],
                "categories": ["nightferry"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if apart else {}),
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def structural(model: type[Part]) -> Schema:
    """The schema of a model in the structural form of Kubernetes 1.20: no references, no unions of types, no CEL."""
    schema = model.model_json_schema(schema_generator=_Generator)
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Schema, defs: dict[str, Schema]) -> Schema:
    node = _resolved(node, defs)
    out: Schema = {}
    description = _paragraph(node.get("description"))
    if "default" in node and node["default"] not in (None, {}, []):
        # As text and not as `default:`, which would be stored in every object and outlive a better default.
        description += f" Default: {inline(node['default'])}."
    if description:
        out["description"] = description
    if node.get("x-kubernetes-int-or-string"):
        pattern = next(part["pattern"] for part in node["anyOf"] if "pattern" in part)
        types = [{"type": "integer"}, {"type": "string"}]
        return out | {"anyOf": types, "x-kubernetes-int-or-string": True, "minimum": 0, "pattern": pattern}
    if node.get("x-kubernetes-preserve-unknown-fields"):
        return out | {"x-kubernetes-preserve-unknown-fields": True}
    for key in _VALIDATIONS:
        if key in node:
            out[key] = node[key]
    if node.get("type") == "integer":
        out["format"] = "int64"
    if "const" in node:
        out["enum"] = [node["const"]]
    if "items" in node:
        out["items"] = _structural(node["items"], defs)
    if node.get("type") == "object":
        _object(node, out, defs)
    return out


_VALIDATIONS = (
    "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "oneOf", "anyOf", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
)  # fmt: skip


def _object(node: Schema, out: Schema, defs: dict[str, Schema]) -> None:
    if "properties" in node:
        if node.get("required"):
            out["required"] = node["required"]
        out["properties"] = {name: _structural(part, defs) for name, part in node["properties"].items()}
        for name, words in node.get("x-later", {}).items():
            description = f"Refused: {words}, {NOT_AVAILABLE}."
            out["properties"][name] = {"description": description, "x-kubernetes-preserve-unknown-fields": True}
    elif "patternProperties" in node:
        # Kubernetes has no patterns for keys; the loader judges the names.
        (values,) = node["patternProperties"].values()
        out["additionalProperties"] = _structural(values, defs)
    elif isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(node["additionalProperties"], defs)
    else:
        out["x-kubernetes-preserve-unknown-fields"] = True


def _resolved(node: Schema, defs: dict[str, Schema]) -> Schema:
    """A node without references and without the null of an option; words beside a reference win over its own."""
    if "$ref" in node:
        target = defs[node["$ref"].rsplit("/", 1)[-1]]
        return _resolved(target | {key: value for key, value in node.items() if key != "$ref"}, defs)
    options = [part for part in node.get("anyOf", []) if part != {"type": "null"}]
    if len(options) == 1 and len(node["anyOf"]) == 2:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _resolved(_resolved(options[0], defs) | rest, defs)
    return node


def _without_extensions(node: Any) -> Any:
    """The schema without the words of Kubernetes, without pydantic's titles and without null for what is left out."""
    if isinstance(node, list):
        return [_without_extensions(item) for item in node]
    if not isinstance(node, dict):
        return node
    options = [part for part in node.get("anyOf", []) if part != {"type": "null"}]
    if len(options) == 1 and len(node["anyOf"]) == 2:
        node = options[0] | {key: value for key, value in node.items() if key not in {"anyOf", "default"}}
    later = node.get("x-later", {})
    if "properties" in node and later:
        node = node | {"properties": {name: part for name, part in node["properties"].items() if name not in later}}
    if "oneOf" in node and later:
        node = node | {"oneOf": [each for each in node["oneOf"] if later.keys().isdisjoint(each["required"])]}
    out = {}
    for key, value in node.items():
        if key.startswith("x-") or (key == "title" and isinstance(value, str)):
            continue
        out[key] = _paragraph(value) if key == "description" and isinstance(value, str) else _without_extensions(value)
    return out


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split())


def inline(value: Any) -> str:
    """A default on one line, in the flow style of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Plain(yaml.SafeDumper):
    """Writes everything out: our own loader would refuse an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(schema: Schema) -> str:
    return HEADER + yaml.dump(schema, Dumper=_Plain, sort_keys=False, width=118, allow_unicode=True)
