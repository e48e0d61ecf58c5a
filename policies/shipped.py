"""The gate sets that are shipped (`policies/presets/*.yaml`), and how a policy that names one gets its gates.

A file is one preset: its name, what it is about, and one or more sets, each for one library with exact metric names.
A policy names a set as `preset/set`, or as `preset` where there is only one. The gates are written out before the
policy is judged, so everything after that, the pinned copy of a running release too, has them as plain gates.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from policies.model import refused
from policies.yaml_tree import YamlReader

Gates = Sequence[Mapping[str, Any]]


@cache
def sets() -> Mapping[str, Gates]:
    """Every name a policy may use -> the gates of the set as plain YAML data, in the order of the files."""
    found: dict[str, Gates] = {}
    for file in sorted(resources.files("policies").joinpath("presets").iterdir(), key=lambda each: each.name):
        if file.name.endswith(".yaml"):
            found.update(_sets_of(file.name, file.read_text(encoding="utf-8")))
    return found


def _sets_of(file: str, text: str) -> Iterator[tuple[str, Gates]]:
    reader = YamlReader(file)
    trees = reader.read(text)
    if reader.errors or len(trees) != 1:
        raise RuntimeError(f"preset {file} cannot be read: {'; '.join(map(str, reader.errors)) or 'not one document'}")
    preset = trees[0].data
    many = preset["sets"]
    if len(many) == 1:
        yield preset["preset"], many[0]["gates"]
    for each in many:
        yield f"{preset['preset']}/{each['set']}", each["gates"]


def expanded(data: Any) -> Any:
    """The plain data of a spec with its presets written out as gates after its own; unknown names are left in it."""
    if not isinstance(data, Mapping) or not _readable(data.get("presets")):
        return data
    own = data.get("gates", [])
    if not isinstance(own, list):
        return data
    rest = {key: value for key, value in data.items() if key != "presets"}
    return rest | {"gates": [*own, *(gate for _, gate in _added(data["presets"], own))]}


def origin(data: Any, index: int) -> tuple[int, str] | None:
    """(index among the presets, name of the gate) of a gate that is not among a spec's own; None for an own one."""
    if (
        not isinstance(data, Mapping)
        or not _readable(data.get("presets"))
        or not isinstance(data.get("gates", []), list)
    ):
        return None
    own = data.get("gates", [])
    added = list(_added(data["presets"], own))
    if not len(own) <= index < len(own) + len(added):
        return None
    preset, gate = added[index - len(own)]
    return preset, str(gate["name"])


def _readable(names: Any) -> bool:
    return isinstance(names, list | tuple) and all(isinstance(name, str) and name in sets() for name in names)


def _added(names: Sequence[str], own: Sequence[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    taken = {gate.get("name") for gate in own if isinstance(gate, Mapping)}
    for index, name in enumerate(names):
        for gate in sets()[name]:
            if gate["name"] not in taken:
                yield index, copy.deepcopy(dict(gate))


def _known(name: str) -> str:
    if name not in sets():
        raise refused(f"the name of a shipped gate set: {', '.join(sets())}")
    return name


PresetName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(sets())})]
