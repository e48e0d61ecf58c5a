"""Ready gates for what is widely used: metric names with the library, and its version, that they were read from.

One file per preset. Libraries name the same thing differently, so a preset has several sets of gates; which one an app
needs is seen in its metric store. Gates are plain data in the words of a policy, without an app's own names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from policies.yaml_tree import YamlReader

NAMES: Final = ("http", "grpc", "go", "jvm", "python")


@dataclass(frozen=True, slots=True)
class PresetSet:
    """The gates of one library. `gates` is plain data: treat it as read-only, or take `copied`.

    sign: a metric that only this library has, where the gates' own metrics are common to several; else empty.
    """

    name: str
    library: str
    note: str
    gates: tuple[Mapping[str, Any], ...]
    sign: str = ""

    def copied(self) -> list[dict[str, Any]]:
        """The gates as data of one's own."""
        return [dict(copy.deepcopy(dict(gate))) for gate in self.gates]


@dataclass(frozen=True, slots=True)
class Preset:
    """One preset; the first set is the usual one."""

    name: str
    about: str
    sets: tuple[PresetSet, ...]

    def named(self, name: str | None = None) -> PresetSet:
        """A set by its name, the first one without. Raises ValueError with the names there are."""
        if name is None:
            return self.sets[0]
        for one in self.sets:
            if one.name == name:
                return one
        raise ValueError(f"preset {self.name} has no set {name!r}; allowed: {', '.join(s.name for s in self.sets)}")


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by its name, in the order of `NAMES`."""
    return MappingProxyType({name: _read(name) for name in NAMES})


def preset(name: str) -> Preset:
    """A preset by its name. Raises ValueError with the names there are."""
    if name not in NAMES:
        raise ValueError(f"no preset is named {name!r}; allowed: {', '.join(NAMES)}")
    return presets()[name]


def _read(name: str) -> Preset:
    file = resources.files(__package__) / f"{name}.yaml"
    reader = YamlReader(file.name)
    trees = reader.read(file.read_text("utf-8"))
    if reader.errors or len(trees) != 1:
        raise ValueError(f"preset {name} is not one document of YAML: {'; '.join(map(str, reader.errors))}")
    data = trees[0].data
    sets = tuple(
        PresetSet(one["set"], one["library"], one.get("note", ""), tuple(one["gates"]), one.get("sign", ""))
        for one in data["sets"]
    )
    if data["preset"] != name or not sets:
        raise ValueError(f"preset {name} names itself {data['preset']!r}, or has no sets")
    return Preset(name, data["about"], sets)
