"""Turns the errors of the schema into faults an author can act on: what was found, what is allowed, what was meant."""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from policies.errors import path_text, shown
from policies.model import NOT_AVAILABLE, Part, Problem

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at a path; `on_key` when the key itself is at fault and not its value."""

    path: Path
    message: str
    on_key: bool = False


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that was probably meant, or nothing."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:64].lower(), lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else ""


def meant(word: str, known: Sequence[str]) -> str:
    """` (did you mean x?)`, or nothing."""
    name = nearest(word, known)
    return f" (did you mean {name}?)" if name else ""


def faults(root: type[Part], error: ValidationError, data: Any, raw: Mapping[Path, str]) -> Iterator[Fault]:
    """The faults of `data`, which `root` refused with `error`; `raw` is the spelling of numbers."""
    for line in error.errors(include_url=False):
        path: Path = tuple(line["loc"])
        if line["type"] == "too_short" and len(line["input"]) >= line["ctx"]["min_length"]:
            # The items at fault were not counted; each of them has its own line.
            continue
        if line["type"] == "contradiction":
            for problem in line["ctx"]["problems"]:
                yield _contradiction(path, problem, data, raw)
        elif line["type"] == "extra_forbidden":
            yield Fault(path, _unknown_key(root, path), on_key=True)
        elif line["type"] == "missing":
            yield Fault(path, f"found nothing; required: {_described(root, path)}")
        elif path and path[-1] == "[key]":
            yield Fault(path[:-1], f"{_found(line)}; allowed: {_allowed(root, path, line)}", on_key=True)
        else:
            found = _found(line) or f"found {_value(line['input'], raw.get(path))}"
            yield Fault(path, f"{found}; allowed: {_allowed(root, path, line)}")


def not_yet(part: type[Part], data: Any, path: Path = ()) -> Iterator[Fault]:
    """The keys of `data` that a model has, but whose feature does not work yet."""
    if not isinstance(data, Mapping):
        return
    for alias, name in aliases(part).items():
        if alias not in data:
            continue
        if alias in part.later:
            yield Fault((*path, alias), _unknown_key(part, (alias,)), on_key=True)
            continue
        held = inner(part.model_fields[name].annotation)
        many = typing.get_origin(held) is tuple
        held = inner(typing.get_args(held)[0]) if many else held
        if isinstance(held, type) and issubclass(held, Part):
            items = data[alias] if many and isinstance(data[alias], list | tuple) else [data[alias]]
            for index, item in enumerate(items):
                yield from not_yet(held, item, (*path, alias, index) if many else (*path, alias))


def _contradiction(path: Path, problem: Problem, data: Any, raw: Mapping[Path, str]) -> Fault:
    at = (*path, *problem.at)
    found = problem.found or _value(_at(data, at), raw.get(at))
    return Fault(at, f"found {found}; allowed: {problem.allowed}")


def _found(line: Any) -> str:
    found = line.get("ctx", {}).get("found", "")
    return f"found {found}" if found else ""


def _value(value: Any, raw: str | None) -> str:
    """A value as its author wrote it, on one line."""
    if raw is not None:
        return raw[:60]
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case str():
            return shown(value)
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case _:
            return str(value)[:60]


def _unknown_key(root: type[Part], path: Path) -> str:
    key, part = str(path[-1]), part_at(root, path[:-1])
    if part is None:
        return "found an unknown field; allowed: none here"
    known = [name for name in aliases(part) if name not in part.later]
    if key in part.later:
        return f"found {part.later[key]}, {NOT_AVAILABLE}; allowed: {', '.join(sorted(known))}"
    homes = places(root).get(key, ())
    hint = f" (did you mean {homes[0]}?)" if len(homes) == 1 else meant(key, known)
    return f"found an unknown field; allowed: {', '.join(sorted(known)) or 'none here'}{hint}"


def _allowed(root: type[Part], path: Path, line: Any) -> str:
    context = line.get("ctx", {})
    match line["type"]:
        case "refused":
            return str(context["allowed"])
        case "literal_error":
            words = [part.strip("' ") for part in str(context["expected"]).replace(" or ", ", ").split(",")]
            hint = meant(line["input"], words) if isinstance(line["input"], str) else ""
            return f"{', '.join(words)}{hint}"
        case "bool_type":
            return "true or false"
        case "int_type" | "int_from_float":
            return "a whole number"
        case "greater_than_equal":
            return f"a whole number, at least {context['ge']}"
        case "less_than_equal":
            return f"a whole number, at most {context['le']}"
        case "string_type":
            return "a text; put it in quotes"
        case "string_pattern_mismatch" | "string_too_long":
            return _described(root, path)
        case "tuple_type" | "list_type":
            return "a list"
        case "too_short":
            return f"a list of at least {context['min_length']}"
        case "too_long":
            return f"a list of at most {context['max_length']}"
        case "model_type" | "model_attributes_type" | "dict_type" | "mapping_type":
            part = part_at(root, path)
            names = sorted(name for name in aliases(part) if name not in part.later) if part is not None else []
            return f"a mapping of {', '.join(names)}" if names else "a mapping"
        case _:
            return str(line["msg"])


def _described(root: type[Part], path: Path) -> str:
    """The documentation of the field at a path, as the words for what is allowed there."""
    part = part_at(root, path[:-1])
    name = aliases(part).get(str(path[-1])) if part is not None else None
    text = part.model_fields[name].description if part is not None and name is not None else None
    return (text or "a value").rstrip(".")


@cache
def aliases(part: type[Part]) -> Mapping[str, str]:
    """The names of a part's fields in YAML, and in code."""
    return {field.alias or name: name for name, field in part.model_fields.items()}


def inner(annotation: Any) -> Any:
    """What an annotation holds: the type inside an option, a list, a mapping or an annotated type."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return inner(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        return inner(next(part for part in arguments if part is not type(None)))
    return annotation


def part_at(root: type[Part], path: Path) -> type[Part] | None:
    """The model that stands at a path, or None where no model does."""
    annotation: Any = root
    for step in path:
        annotation = inner(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Part):
            name = aliases(annotation).get(str(step))
            if name is None:
                return None
            annotation = annotation.model_fields[name].annotation
        else:
            arguments = typing.get_args(annotation)
            if not arguments:
                return None
            annotation = arguments[0] if isinstance(step, int) else arguments[-1]
    annotation = inner(annotation)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Part) else None


@cache
def places(root: type[Part]) -> Mapping[str, tuple[str, ...]]:
    """Where each field name is at home in the whole schema, for keys written in the wrong place."""
    homes: dict[str, list[str]] = {}

    def walk(part: type[Part], path: Path) -> None:
        for alias, name in aliases(part).items():
            homes.setdefault(alias, []).append(path_text((*path, alias)))
            held = inner(part.model_fields[name].annotation)
            if typing.get_origin(held) is tuple:
                held = inner(typing.get_args(held)[0])
            if isinstance(held, type) and issubclass(held, Part):
                walk(held, (*path, alias))

    walk(root, ())
    return {alias: tuple(found) for alias, found in homes.items()}


def _at(data: Any, path: Path) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data
