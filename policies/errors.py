"""What is wrong with a policy, for its author: one value per fault, with its place and what is allowed."""

from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST_SHOWN = 60


def shown(text: str) -> str:
    """`text` in quotes on one line: shortened, and with every character escaped that does not print as itself."""
    cut = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    return _printable(cut).join("''")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def path_text(path: Iterable[str | int]) -> str:
    """A path in the words of the YAML: spec.gates[0].name; a key that is not a plain word is put in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and len(part) <= _LONGEST_SHOWN and part.isascii() and all(c.isalnum() or c in "_-" for c in part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text or "document"


class PolicyError(ValueError):
    """One fault of a policy or a release, to be mended by its author.

    `file` is a path, or namespace/name for an object of the cluster; `line` and `column` count from 1, and are 0
    where there is no text. `path` is in the words of the YAML. `str()` is the line a tool prints.
    """

    def __init__(self, file: str, line: int, column: int, path: str, message: str) -> None:
        super().__init__(file, line, column, path, message)
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        self.message = message

    def __str__(self) -> str:
        file = _printable(self.file)
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        return f"{place}: error: {self.path}: {self.message}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


@dataclass(frozen=True, slots=True)
class Remark:
    """What is legal, and hardly meant; with its place like a fault. `str()` is the line a tool prints."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{_printable(self.file)}:{self.line}:{self.column}: note: {self.path}: {self.message}"


class PolicyRefused(ValueError):
    """All faults of one text or object; `str()` prints one line for each."""

    def __init__(self, errors: Iterable[PolicyError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))
