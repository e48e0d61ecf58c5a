"""YAML text as plain data with the place of every key and value, in work bounded by the size of the text.

The events of the parser are counted and judged before anything is built from them: an alias, a tag, a nesting above
32, or more than 50,000 nodes never reaches construction. Scalars follow the core schema of YAML 1.2, so that `22:30`
and `no` are texts; what 1.1 and 1.2 read differently without looking different (`010`) is refused.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from policies.errors import PolicyError, path_text, shown

MOST_BYTES = 256 * 1024
MOST_NODES = 50_000
DEEPEST = 32
MOST_ERRORS = 100

Path = tuple[str | int, ...]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_OLD_INT = re.compile(r"[-+]?0[0-9_]+|0[xob][0-9a-fA-F_]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text, from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Tree:
    """One document: its data, and where its keys and values stand.

    `raw` holds the spelling of numbers; `broken` the paths whose value could not be read and was already reported;
    `faulty` says that anything at all was reported: such a document may be judged further, but not believed.
    """

    data: Any = None
    start: Mark = Mark(1, 1)
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    raw: dict[Path, str] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    faulty: bool = False

    def place(self, path: Path, *, on_key: bool = False) -> Mark:
        """The nearest place known for a path: its key or its value, else what holds it."""
        if on_key and path in self.keys:
            return self.keys[path]
        while path:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
            # What is missing is best shown by the key of the mapping that lacks it.
            if path in self.keys:
                return self.keys[path]
        return self.start


@dataclass(slots=True)
class _Open:
    """A mapping or list under construction; `key` waits for its value."""

    path: Path
    into: dict[str, Any] | list[Any]
    key: str | None = None
    waits_for_value: bool = False


class TooMuch(Exception):
    """The rest of the file is not worth reading, or not safe to read."""


@dataclass(slots=True)
class YamlReader:
    """Reads one text into trees; `errors` collects what is wrong, `nodes` counts the work done."""

    file: str
    errors: list[PolicyError] = field(default_factory=list)
    nodes: int = 0
    _tree: Tree = field(default_factory=Tree)
    _open: list[_Open] = field(default_factory=list)
    _anchors: set[str] = field(default_factory=set)

    def read(self, text: str) -> list[Tree]:
        """The documents of the text up to the first fault of syntax; empty documents are left out."""
        trees: list[Tree] = []
        try:
            if len(text) > MOST_BYTES or len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
                self._stop(Mark(1, 1), (), f"a text larger than {MOST_BYTES // 1024} KiB; allowed: less")
            for tree in self._documents(text.removeprefix("\ufeff")):
                if tree.data is not None or tree.broken:
                    trees.append(tree)
        except TooMuch:
            # A half-read document is not judged: its faults would be those of the cut.
            pass
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._report(_mark(mark) if mark else Mark(1, 1), (), _syntax(error))
        except yaml.reader.ReaderError as error:
            before = text[: error.position] if isinstance(error.position, int) else ""
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            self._report(Mark(line, column), (), "a character that YAML does not allow; allowed: printable text")
        except UnicodeEncodeError as error:
            before = text[: error.start]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            self._report(Mark(line, column), (), "half of a surrogate pair; allowed: whole characters")
        return trees

    def _documents(self, text: str) -> Iterator[Tree]:
        for event in yaml.parse(text, Loader=_LOADER):
            match event:
                case yaml.DocumentStartEvent():
                    self._tree, self._open, self._anchors = Tree(start=_mark(event.start_mark)), [], set()
                case yaml.DocumentEndEvent():
                    yield self._tree
                case yaml.MappingStartEvent():
                    self._begin(event, {})
                case yaml.SequenceStartEvent():
                    self._begin(event, [])
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._open.pop()
                case yaml.ScalarEvent():
                    self._scalar(event)
                case yaml.AliasEvent():
                    self._alias(event)

    def _path(self) -> Path:
        """The path of the value that comes next."""
        if not self._open:
            return ()
        top = self._open[-1]
        if isinstance(top.into, list):
            return (*top.path, len(top.into))
        return (*top.path, top.key) if top.waits_for_value and top.key is not None else top.path

    def _count(self, event: Any) -> bool:
        """Counts a node and says whether its anchor or tag was refused."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self._stop(_mark(event.start_mark), (), f"more than {MOST_NODES} values; allowed: fewer")
        if event.anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._anchors.add(event.anchor)
            self._report(_mark(event.start_mark), self._path(), _NO_ALIAS)
            return True
        if getattr(event, "tag", None) is not None:
            found = f"the tag {shown(event.tag)}; allowed: values without tags"
            self._report(_mark(event.start_mark), self._path(), found)
            return True
        return False

    def _alias(self, event: Any) -> None:
        self._count(event)
        mark = _mark(event.start_mark)
        # What it refers to was refused already; a line for each use would hide the other faults.
        if event.anchor not in self._anchors:
            self._report(mark, self._path(), _NO_ALIAS)
        if self._wants_key():
            self._key(mark, None)
        else:
            self._place(mark, None, broken=True)

    def _begin(self, event: Any, into: dict[str, Any] | list[Any]) -> None:
        broken = self._count(event)
        mark, path = _mark(event.start_mark), self._path()
        if len(self._open) >= DEEPEST:
            self._stop(mark, path[:3], f"nesting deeper than {DEEPEST}; allowed: at most {DEEPEST} levels")
        if self._wants_key():
            self._report(mark, path, "a key that is a mapping or a list; allowed: keys that are texts")
            self._key(mark, None)
            # Its content is read for faults of syntax and then forgotten.
            self._open.append(_Open(path, into))
            return
        self._place(mark, into, broken=broken)
        self._open.append(_Open(path, into))

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].into, dict) and not self._open[-1].waits_for_value

    def _scalar(self, event: Any) -> None:
        broken = self._count(event)
        mark = _mark(event.start_mark)
        plain = event.style is None or event.style == ""
        value, fault = _resolve(event.value) if plain and event.tag is None else (event.value, "")
        if self._wants_key():
            if not isinstance(value, str) or fault:
                found = f"the key {shown(event.value)} is not a text; allowed: put it in quotes"
                self._report(mark, self._path(), found)
                self._key(mark, None)
            else:
                self._key(mark, value)
            return
        if fault:
            self._report(mark, self._path(), f"{event.value[:40]}; allowed: {fault}")
        if plain and isinstance(value, int | float) and not isinstance(value, bool):
            self._tree.raw[self._path()] = event.value
        self._place(mark, value, broken=broken or bool(fault))

    def _key(self, mark: Mark, key: str | None) -> None:
        top = self._open[-1]
        path = (*top.path, key) if key is not None else top.path
        if key is not None and path in self._tree.keys:
            line = self._tree.keys[path].line
            self._report(mark, path, f"the key {shown(key)} again, first in line {line}; allowed: each key once")
            key = None
        elif key is not None:
            self._tree.keys[path] = mark
        top.key, top.waits_for_value = key, True

    def _place(self, mark: Mark, value: Any, *, broken: bool = False) -> None:
        """Puts a value where it belongs; the value of a key that was refused goes nowhere."""
        path = self._path()
        if not self._open:
            self._tree.data = value
        else:
            top = self._open[-1]
            if isinstance(top.into, list):
                top.into.append(value)
            else:
                top.waits_for_value = False
                if top.key is None:
                    return
                top.into[top.key] = value
        self._tree.values.setdefault(path, mark)
        if broken:
            self._tree.broken.add(path)

    def _report(self, mark: Mark, path: Path, message: str) -> None:
        self._tree.faulty = True
        if len(self.errors) >= MOST_ERRORS:
            raise TooMuch
        self.errors.append(PolicyError(self.file, mark.line, mark.column, path_text(path), f"found {message}"))

    def _stop(self, mark: Mark, path: Path, message: str) -> None:
        self._report(mark, path, message)
        raise TooMuch


_NO_ALIAS = "an anchor or alias; allowed: every value written out where it belongs"


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(str(error.problem or error.context or "a fault of syntax").split())
    return f"broken YAML ({problem[:120]}); allowed: YAML 1.2"


def _resolve(text: str) -> tuple[Any, str]:
    """The value of a plain scalar, and what is allowed instead where it has no safe one."""
    if text in _NULL:
        return None, ""
    if text in _BOOL:
        return _BOOL[text], ""
    if _OLD_INT.fullmatch(text):
        return None, "a decimal number without leading zeros, or the text in quotes (YAML 1.1 and 1.2 differ here)"
    if _INT.fullmatch(text):
        return (int(text), "") if len(text) <= 18 else (None, "a number of at most 18 digits")
    if _NOT_FINITE.fullmatch(text):
        return None, "a finite number, or the text in quotes"
    if _FLOAT.fullmatch(text):
        value = float(text) if len(text) <= 40 else math.inf
        return (value, "") if math.isfinite(value) else (None, "a finite number, or the text in quotes")
    return text, ""
