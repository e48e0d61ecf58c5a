"""Makes the CRDs of routers anew from npm packages (needs npm): `python -m tests.cluster.bed.crds.generate`.

The packages (MIT, see LICENSE beside this file) hold the schemas of the Gateway API and of Istio as compiled
validators. Their code is regular: one function per schema, one error per keyword, one call per field. It is read back
into structural schemas, so that the API server of the tests validates what we write as a cluster with the real CRDs
would. What the packages do not have is added here: the defaults of the Gateway API, because an API server writes them
into every stored object. Rules in CEL are left out: the API server of the tests is older than CEL.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
Schema = dict[str, Any]

_LIMITS = ("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties")
_JUNCTORS = ("anyOf", "oneOf", "not")
_FUNCTION = re.compile(r"function (validate\d+)\(data,")
_IMPORT = re.compile(r'import\{validate as (validate\d+)\}from"([^"]+)"')
_ENUM = re.compile(r"let (schema\d+_enum)=(\[[^\]]*\])")
_FIELD = re.compile(r'void 0!==data(?:\.(\w+)|\["([^"]+)"\])&&\((validate\d+)\(data')
_CALL = re.compile(r"(validate\d+)\(data,\{")
_KEYWORD = re.compile(r'keyword:"(\w+)"')

# Where the real CRD of HTTPRoute has defaults: path of fields ("[]" is an item) -> value.
_ROUTE_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("spec.parentRefs[].group", "gateway.networking.k8s.io"),
    ("spec.parentRefs[].kind", "Gateway"),
    # Not backendRefs[].group, whose default is "": the API server of the tests takes an empty text for null.
    ("spec.rules[].backendRefs[].kind", "Service"),
    ("spec.rules[].backendRefs[].weight", 1),
    ("spec.rules[].matches", [{"path": {"type": "PathPrefix", "value": "/"}}]),
    ("spec.rules[].matches[].path", {"type": "PathPrefix", "value": "/"}),
    ("spec.rules[].matches[].path.type", "PathPrefix"),
    ("spec.rules[].matches[].path.value", "/"),
    ("spec.rules[].matches[].headers[].type", "Exact"),
    ("spec.rules[].matches[].queryParams[].type", "Exact"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """One CRD: where its schema is, and what the API server has to know of it."""

    package: str
    file: str
    group: str
    kind: str
    plural: str
    defaults: tuple[tuple[str, Any], ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)


GATEWAY, ISTIO = "@kubernetes-models/gateway-api@2.0.0", "@kubernetes-models/istio@3.0.1"
SOURCES = (
    Source(
        GATEWAY,
        "IoK8sSigsGatewayApiApisV1HTTPRoute.js",
        "gateway.networking.k8s.io",
        "HTTPRoute",
        "httproutes",
        _ROUTE_DEFAULTS,
        # The API server takes a group under k8s.io only with a word that it was approved there.
        {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/2466"},
    ),
    Source(ISTIO, "NetworkingIstioIoV1VirtualService.js", "networking.istio.io", "VirtualService", "virtualservices"),
    Source(
        ISTIO, "NetworkingIstioIoV1DestinationRule.js", "networking.istio.io", "DestinationRule", "destinationrules"
    ),
)


class Module:
    """One file of compiled validators."""

    def __init__(self, folder: Path, name: str) -> None:
        text = (folder / name).read_text()
        self.folder = folder
        self.imports = dict(_IMPORT.findall(text))
        self.enums = {name: json.loads(values) for name, values in _ENUM.findall(text)}
        self.functions = dict(_functions(text))
        root = re.search(r"export const validate=(validate\d+)", text)
        assert root is not None
        self.root = root.group(1)

    def schema(self, name: str) -> Schema:
        """The schema that one function checks."""
        if name in self.imports:
            target = self.imports[name]
            if target.startswith("@"):  # metadata, and conditions of a status: the API server has its own, or keeps all
                assert target.endswith(("ObjectMeta", "Condition")), target
                return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            other = Module(self.folder, target.removeprefix("./").removesuffix(".js") + ".js")
            return other.schema(other.root)
        body = self.functions[name]
        found: Schema = {}
        for junctor, branches in self._junctors(body):
            schemas = [self.schema(each) for each in branches]
            if junctor == "":
                for each in schemas:
                    found.update(each)
            elif sorted(str(each.get("type")) for each in schemas) == ["integer", "string"]:
                return {"x-kubernetes-int-or-string": True}
            else:
                bare = [_without_types(each) for each in schemas]
                found[junctor] = bare[0] if junctor == "not" else bare
        required = found.get("required", [])
        found.update(self._keywords(body))
        if required:
            found["required"] = list(dict.fromkeys((*required, *found.get("required", []))))
        fields = {plain or quoted: self.schema(call) for plain, quoted, call in _FIELD.findall(body)}
        if fields:
            found["properties"] = {**found.get("properties", {}), **fields}
        if items := re.search(r"(validate\d+)\(data\[i\d+\]", body):
            found["items"] = self.schema(items.group(1))
        if values := re.search(r"for\(let key\d+ in data\).*?(validate\d+)\(data\[key\d+\]", body):
            found["additionalProperties"] = self.schema(values.group(1))
        if found.get("type") == "object" and not {"properties", "additionalProperties"} & found.keys():
            found["x-kubernetes-preserve-unknown-fields"] = True
        return found

    def _keywords(self, body: str) -> Schema:
        found: Schema = {}
        if kind := re.search(r'keyword:"type",params:\{type:"(\w+)"\}', body):
            found["type"] = kind.group(1)
        for keyword, limit in re.findall(r'keyword:"(\w+)",params:\{limit:(\d+)\}', body):
            assert keyword in _LIMITS, keyword
            found[keyword] = int(limit)
        for keyword, limit in re.findall(r'keyword:"(maximum|minimum)",params:\{comparison:"..",limit:([^}]+)\}', body):
            found[keyword] = int(limit, 16) if "x" in limit else int(float(limit))
        if pattern := re.search(r'keyword:"pattern",params:\{pattern:("(?:[^"\\]|\\.)*")\}', body):
            found["pattern"] = json.loads(pattern.group(1))
        if enum := re.search(r'keyword:"enum",params:\{allowedValues:(schema\d+_enum)\}', body):
            found["enum"] = self.enums[enum.group(1)]
        if required := re.findall(r'keyword:"required",params:\{missingProperty:"([^"]+)"\}', body):
            found["required"] = required
        if form := re.search(r'keyword:"format",params:\{format:"([^"]+)"\}', body):
            found["format"] = form.group(1)
        return found

    @staticmethod
    def _junctors(body: str) -> Iterator[tuple[str, list[str]]]:
        """(junctor, its branches) in the order of the code; "" for schemas that hold beside the function's own."""
        marks = [(match.start(), match.group(1)) for match in _KEYWORD.finditer(body) if match.group(1) in _JUNCTORS]
        calls = [(match.start(), match.group(1)) for match in _CALL.finditer(body)]
        start = 0
        for end, junctor in marks:
            yield junctor, list(dict.fromkeys(name for at, name in calls if start <= at < end))
            start = end
        if rest := list(dict.fromkeys(name for at, name in calls if at >= start)):
            yield "", rest


def _functions(text: str) -> Iterator[tuple[str, str]]:
    found = list(_FUNCTION.finditer(text))
    for n, match in enumerate(found):
        end = found[n + 1].start() if n + 1 < len(found) else len(text)
        # The first braces of a function are those of its parameters.
        yield (
            match.group(1),
            text[
                text.index("{let vErrors", match.start())
                if "{let vErrors" in text[match.start() : end]
                else match.end() : end
            ],
        )


def _without_types(schema: Any) -> Any:
    """A branch of a junctor as a structural schema has it: the types stand outside."""
    if isinstance(schema, list):
        return [_without_types(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = ("type", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "format")
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _without_types(each) for name, each in value.items()}
        elif key not in dropped:
            kept[key] = _without_types(value) if key in (*_JUNCTORS, "items") else value
    return kept


def _set_default(schema: Schema, path: str, value: Any) -> None:
    here = schema
    for part in path.split("."):
        name, _, item = part.partition("[]")
        here = here["properties"][name]
        if item == "" and part.endswith("[]"):
            here = here["items"]
    here["default"] = value


def custom_resource(source: Source, folder: Path) -> Schema:
    """The CustomResourceDefinition of one kind."""
    module = Module(folder, source.file)
    schema = module.schema(module.root)
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    for path, value in source.defaults:
        _set_default(schema, path, value)
    names = {
        "kind": source.kind,
        "listKind": f"{source.kind}List",
        "plural": source.plural,
        "singular": source.kind.lower(),
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    metadata: Schema = {"name": f"{source.plural}.{source.group}"}
    if source.annotations:
        metadata["annotations"] = source.annotations
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {"group": source.group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def _unpacked(package: str, scratch: Path) -> Path:
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=scratch, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    folder = scratch / packed.removesuffix(".tgz")
    with tarfile.open(scratch / packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def main() -> int:
    """Writes the files beside this one."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {package: _unpacked(package, Path(scratch)) for package in (GATEWAY, ISTIO)}
        licences = {(folder / "LICENSE").read_text() for folder in folders.values()}
        (HERE / "LICENSE").write_text("\n".join(sorted(licences)))
        for source in SOURCES:
            made = custom_resource(source, folders[source.package] / "_schemas")
            head = (
                f"# Made by tests/cluster/bed/crds/generate.py from {source.package} (MIT, see LICENSE); not edited.\n"
            )
            path = HERE / f"{source.plural}.yaml"
            path.write_text(head + yaml.safe_dump(made, sort_keys=False, width=120))
            print(path.name, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
