"""The gate sets that are shipped (`policies/presets/*.yaml`), and how a policy that names one gets its gates.

A file is one preset: its name, what it is about, and one or more sets, each for one library with exact metric names.
A policy names a set as `preset/set`, or as `preset` where there is only one. The gates are written out before the
policy is judged, so everything after that, the pinned copy of a running release too, has them as plain gates.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from policies.model import refused
from policies.presets import presets

Gates = Sequence[Mapping[str, Any]]


@cache
def sets() -> Mapping[str, Gates]:
    """Every name a policy may use -> the gates of the set as plain YAML data."""
    found: dict[str, Gates] = {}
    for preset in presets().values():
        if len(preset.sets) == 1:
            found[preset.name] = preset.sets[0].gates
        found.update({f"{preset.name}/{each.name}": each.gates for each in preset.sets})
    return found


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
