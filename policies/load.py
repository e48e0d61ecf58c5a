"""Reads policies, releases and trains from text, files and objects of the cluster; every fault with its place."""

import copy
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from policies.cars import order_of, wrong_cars
from policies.errors import PolicyError, PolicyRefused, Remark, path_text, shown
from policies.model import Part
from policies.pin import digest, tighten, to_object
from policies.remarks import remarks
from policies.schema import API_VERSION, Release, ReleasePolicy
from policies.shipped import origin
from policies.train import ReleaseTrain
from policies.translate import Fault, Path, faults, meant, not_yet
from policies.yaml_tree import DEEPEST, MOST_BYTES, MOST_ERRORS, MOST_NODES, Tree, YamlReader

__all__ = [
    "Document", "PolicyError", "PolicyRefused", "authored", "digest", "from_object", "load_paths", "load_text",
    "release_from_object", "tighten", "to_object", "train_from_object",
]  # fmt: skip

Value = ReleasePolicy | Release | ReleaseTrain
_KINDS: dict[str, type[Value]] = {"ReleasePolicy": ReleasePolicy, "Release": Release, "ReleaseTrain": ReleaseTrain}
# What the API server notes in an object of its own; no author writes it.
_SERVER_METADATA = frozenset({
    "clusterName", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers",
    "generateName", "generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A policy, release or train and where it stands: `line` is that of the document's first key, from 1."""

    file: str
    line: int
    value: Value
    remarks: tuple[Remark, ...] = ()

    @property
    def kind(self) -> str:
        return self.value.kind

    @property
    def policy(self) -> ReleasePolicy | None:
        return self.value if isinstance(self.value, ReleasePolicy) else None

    @property
    def release(self) -> Release | None:
        return self.value if isinstance(self.value, Release) else None

    @property
    def train(self) -> ReleaseTrain | None:
        return self.value if isinstance(self.value, ReleaseTrain) else None


def load_text(text: str, file: str = "<text>") -> list[Document]:
    """The documents of a YAML text. Raises `PolicyRefused` with every fault of it."""
    documents, errors = _read_text(text, file)
    if errors:
        raise PolicyRefused(errors)
    return documents


def load_paths(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Document], list[PolicyError]]:
    """The good documents of files and folders (*.yaml and *.yml, walked in order of name), and all faults.

    A bad document never hides a good one, not even in the same file. Two objects of one name, and two policies
    for one Deployment, are faults of the later one.
    """
    documents: list[Document] = []
    errors: list[PolicyError] = []
    for file in _files(paths, errors):
        text = _file_text(file, errors)
        if text is not None:
            found, wrong = _read_text(text, file)
            documents += found
            errors += wrong
    return _without_bad_trains(_without_twice(documents, errors), errors), errors


def from_object(obj: Mapping[str, Any]) -> ReleasePolicy:
    """The policy in an object read from the cluster; raises `PolicyRefused`. Status and server fields are ignored."""
    value = _from_object(obj, ReleasePolicy)
    assert isinstance(value, ReleasePolicy)
    return value


def release_from_object(obj: Mapping[str, Any]) -> Release:
    """The release in an object read from the cluster; raises `PolicyRefused`. Status and server fields are ignored."""
    value = _from_object(obj, Release)
    assert isinstance(value, Release)
    return value


def train_from_object(obj: Mapping[str, Any]) -> ReleaseTrain:
    """The train in an object read from the cluster; raises `PolicyRefused`. Status and server fields are ignored."""
    value = _from_object(obj, ReleaseTrain)
    assert isinstance(value, ReleaseTrain)
    return value


def _read_text(text: str, file: str) -> tuple[list[Document], list[PolicyError]]:
    reader = YamlReader(file)
    documents: list[Document] = []
    trees = reader.read(text)
    errors = list(reader.errors)
    if not trees and not errors:
        errors.append(PolicyError(file, 1, 1, "document", "found an empty file; allowed: at least one document"))
    for tree in trees:
        value, wrong = _judge(tree.data, tree.raw)
        for fault in wrong:
            # The value was already reported when it was read.
            if any(fault.path[: len(path)] == path for path in tree.broken):
                continue
            mark = tree.place(fault.path, on_key=fault.on_key)
            errors.append(PolicyError(file, mark.line, mark.column, path_text(fault.path), fault.message))
        if value is not None and not tree.faulty:
            documents.append(Document(file, _first_line(tree), value, tuple(_remarks(value, tree, file))))
    errors.sort(key=lambda error: (error.line, error.column))
    return documents, errors[:MOST_ERRORS]


def _remarks(value: Value, tree: Tree, file: str) -> Iterator[Remark]:
    for path, message in remarks(value) if isinstance(value, ReleasePolicy) else ():
        mark = tree.place(path)
        yield Remark(file, mark.line, mark.column, path_text(path), message)


def _first_line(tree: Tree) -> int:
    return min((mark.line for mark in tree.keys.values()), default=tree.start.line)


def _judge(data: Any, raw: Mapping[Path, str]) -> tuple[Value | None, list[Fault]]:
    """A document of a file: the value, or what is wrong with it."""
    if not isinstance(data, dict):
        return None, [Fault((), "found no mapping; allowed: a mapping with apiVersion, kind, metadata and spec")]
    wrong = list(_wrong_kind(data))
    if wrong:
        return None, wrong
    model: type[Part] = _KINDS[data["kind"]]
    wrong = list(_written_by_the_cluster(data, model))
    value, more = _validated(model, _without(data, {fault.path for fault in wrong}), raw)
    return (value if not wrong else None), wrong + more


def _without(data: dict[str, Any], paths: set[Path]) -> dict[str, Any]:
    """The document without keys at its top or in its metadata that were already refused."""
    kept = {key: value for key, value in data.items() if (key,) not in paths}
    metadata = kept.get("metadata")
    if isinstance(metadata, dict):
        kept["metadata"] = {key: value for key, value in metadata.items() if ("metadata", key) not in paths}
    return kept


def _wrong_kind(data: dict[str, Any]) -> Iterator[Fault]:
    version, kind = data.get("apiVersion"), data.get("kind")
    if version != API_VERSION:
        found = "nothing" if version is None else _scalar(version)
        yield Fault(("apiVersion",), f"found {found}; allowed: {API_VERSION}{_hint(version, [API_VERSION])}")
    if kind == "Baseline":
        found = "a Baseline, which the controller learns and nobody writes"
        yield Fault(("kind",), f"found {found}; allowed: {', '.join(sorted(_KINDS))}")
    elif not isinstance(kind, str) or kind not in _KINDS:
        found = "nothing" if kind is None else _scalar(kind)
        yield Fault(("kind",), f"found {found}; allowed: {', '.join(sorted(_KINDS))}{_hint(kind, sorted(_KINDS))}")


def _hint(word: Any, known: list[str]) -> str:
    return meant(word, known) if isinstance(word, str) else ""


def _scalar(value: Any) -> str:
    return shown(value) if isinstance(value, str) else shown(str(value))


def _written_by_the_cluster(data: dict[str, Any], model: type[Part]) -> Iterator[Fault]:
    if "status" in data:
        yield Fault(("status",), "found a status; allowed: none, the controller writes it", on_key=True)
    metadata = data.get("metadata")
    if isinstance(metadata, dict):
        for key in _SERVER_METADATA & metadata.keys():
            if not (key == "generateName" and model is Release):
                message = "found a field the cluster writes; allowed: annotations, labels, name, namespace"
                yield Fault(("metadata", key), message, on_key=True)


def _validated(model: type[Part], data: Any, raw: Mapping[Path, str]) -> tuple[Value | None, list[Fault]]:
    plain = list(_plain_faults(data))
    if any(not fault.path for fault in plain):
        # Too deep or too large: nothing else is worth walking.
        return None, plain
    refused = list(not_yet(model, data))
    plain += refused
    try:
        value = model.model_validate(data)
    except ValidationError as error:
        known = {fault.path for fault in plain}
        found = (_at_preset(fault, data) for fault in faults(model, error, data, raw))
        # Only so many are worked out: each looks for the name that was meant.
        # What stands inside a field that is refused as a whole is not worth a line.
        inside = [fault.path for fault in refused]
        found = (fault for fault in found if not any(fault.path[: len(path)] == path for path in inside))
        plain += islice((fault for fault in found if fault.path not in known), MOST_ERRORS)
        return None, plain[:MOST_ERRORS]
    assert isinstance(value, Value)
    return (value if not plain else None), plain


def _at_preset(fault: Fault, data: Any) -> Fault:
    """A fault of a gate that a preset brought stands where the preset is named."""
    spec = data.get("spec")
    if fault.path[:2] != ("spec", "gates") or len(fault.path) < 3 or not isinstance(fault.path[2], int):
        return fault
    added = origin(spec, fault.path[2])
    if added is None:
        return fault
    index, gate = added
    return Fault(("spec", "presets", index), f"{fault.message} (gate {gate} of the preset)")


def _plain_faults(data: Any) -> Iterator[Fault]:
    """Faults of plain data that no type states: null values outside a template, numbers without end, depth, size."""
    nodes = 0
    waiting: list[tuple[Path, Any]] = [((), data)]
    found: list[Fault] = []
    while waiting:
        path, value = waiting.pop()
        nodes += 1
        if len(path) > DEEPEST or nodes > MOST_NODES:
            limit = f"nesting deeper than {DEEPEST}" if len(path) > DEEPEST else f"more than {MOST_NODES} values"
            yield Fault((), f"found {limit}; allowed: less")
            return
        if isinstance(value, Mapping):
            waiting += [((*path, str(key)), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), item) for index, item in enumerate(value)]
        elif value is None and path[:2] != ("spec", "template"):
            found.append(Fault(path, "found nothing (null); allowed: a value, or no such key"))
        elif isinstance(value, float) and not math.isfinite(value):
            found.append(Fault(path, f"found {value}; allowed: a finite number"))
    yield from found[:MOST_ERRORS]


def authored(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What an author wrote of an object read from the cluster: without status and server fields."""
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    own = {key: value for key, value in metadata.items() if key not in _SERVER_METADATA}
    return {key: obj[key] for key in ("apiVersion", "kind", "spec") if key in obj} | {"metadata": own}


def _from_object(obj: Mapping[str, Any], model: type[Value]) -> Value:
    data = authored(obj)
    data.setdefault("apiVersion", API_VERSION)  # items of a list carry neither
    data.setdefault("kind", model.__name__)
    wrong = list(_wrong_kind(data))
    value = None
    if not wrong:
        value, wrong = _validated(model, copy.deepcopy(data) if not list(_too_big(data)) else data, {})
    if value is None:
        named = data["metadata"]
        file = f"{named.get('namespace', 'default')}/{named.get('name', '?')}"
        raise PolicyRefused(PolicyError(file, 0, 0, path_text(fault.path), fault.message) for fault in wrong)
    return value


def _too_big(data: Any) -> Iterator[Fault]:
    return (fault for fault in _plain_faults(data) if not fault.path)


def files_of(folder: FilePath) -> list[FilePath]:
    """The *.yaml and *.yml files below a folder, in order of name, without hidden ones.

    A mounted ConfigMap keeps its files in a hidden folder beside the links that people see: each is read once.
    """
    found = [file for end in ("*.yaml", "*.yml") for file in folder.rglob(end) if file.is_file()]
    return sorted(file for file in found if not any(p.startswith(".") for p in file.relative_to(folder).parts))


def _files(paths: Iterable[str | os.PathLike[str]], errors: list[PolicyError]) -> Iterator[str]:
    for given in paths:
        path = FilePath(given)
        if path.is_dir():
            found = [str(file) for file in files_of(path)]
            if not found:
                message = "found a folder without *.yaml or *.yml; allowed: at least one"
                errors.append(PolicyError(str(path), 1, 1, "document", message))
            yield from found
        else:
            yield str(path)


def _file_text(file: str, errors: list[PolicyError]) -> str | None:
    try:
        with open(file, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        message = f"found no readable file ({error.strerror}); allowed: a file or a folder of YAML"
        errors.append(PolicyError(file, 1, 1, "document", message))
        return None
    if len(content) > MOST_BYTES:
        message = f"found a text larger than {MOST_BYTES // 1024} KiB; allowed: less"
        errors.append(PolicyError(file, 1, 1, "document", message))
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        errors.append(PolicyError(file, line, column, "document", "found bytes that are not UTF-8; allowed: UTF-8"))
        return None


def _without_twice(documents: list[Document], errors: list[PolicyError]) -> list[Document]:
    names: dict[tuple[str, str, str], Document] = {}
    targets: dict[tuple[str, str], Document] = {}
    kept = []
    for document in documents:
        value = document.value
        first = names.setdefault((value.kind, value.namespace or "", value.name), document)
        # The cluster completes a generateName: two of one beginning are two releases.
        named = value.metadata.name is not None
        if first is not document and named:
            message = f"found {value.name} again, first in {first.file}:{first.line}; allowed: each name once"
            errors.append(PolicyError(document.file, document.line, 1, "metadata.name", message))
            continue
        if isinstance(value, ReleasePolicy):
            key = (value.namespace or "", value.spec.target.deployment)
            other = targets.setdefault(key, document)
            if other is not document:
                message = (
                    f"found the target of {other.value.name} ({other.file}:{other.line}); allowed: one policy each"
                )
                errors.append(PolicyError(document.file, document.line, 1, "spec.target.deployment", message))
                continue
        kept.append(document)
    return kept


def _without_bad_trains(documents: list[Document], errors: list[PolicyError]) -> list[Document]:
    """Refuses trains that do not fit the policies beside them; one that is read without any is believed."""
    policies: dict[str, dict[str, ReleasePolicy]] = {}
    for document in documents:
        if document.policy is not None:
            policies.setdefault(document.policy.namespace or "", {})[document.policy.name] = document.policy
    riding: dict[tuple[str, str], Document] = {}
    kept = []
    for document in documents:
        if document.train is None:
            kept.append(document)
            continue
        namespace, train = document.train.namespace or "", document.train.spec
        beside = policies.get(namespace, {})
        wrong = list(wrong_cars(train, beside)) if beside else []
        for name in order_of(train, {each.name: each.metadata.labels for each in beside.values()}):
            other = riding.setdefault((namespace, name), document)
            if other is not document:
                found = f"found {name}, which rides {other.value.name} ({other.file}:{other.line})"
                place = next((f"[{at}].policy" for at, car in enumerate(train.cars) if car.policy == name), "")
                wrong.append((f"spec.cars{place}", f"{found}; allowed: one train for each policy"))
        errors += [PolicyError(document.file, document.line, 1, path, message) for path, message in wrong]
        kept += [document] if not wrong else []
    return kept
