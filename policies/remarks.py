"""What a legal policy says, and its author has hardly meant: told beside it, never refused."""

from __future__ import annotations

from collections.abc import Iterator

from policies.errors import shown
from policies.schema import ReleasePolicy

_ANY = (".*", ".+")


def remarks(policy: ReleasePolicy) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path in the words of the YAML, one sentence) for each."""
    for index, alert in enumerate(policy.spec.alerts or ()):
        for label, value in alert.match.items():
            if instead := _instead_of_pattern(value):
                what = f"found {shown(value)}, and a label must have exactly this value, for there are no patterns here"
                yield ("spec", "alerts", index, "match", label), f"{what}; {instead}"


def _instead_of_pattern(value: str) -> str:
    """What to write for a value that looks like a regular expression; "" for any other."""
    bare = value.removeprefix("^").removesuffix("$")
    if bare.startswith("(") and bare.endswith(")"):
        bare = bare[1:-1]
    if bare in _ANY:
        return "without the label any value of it counts"
    if any(each in bare for each in _ANY):
        return "match another label, or give your rules one for this"
    if "|" in bare:
        return f"write an alert for each value: {', '.join(shown(each) for each in bare.split('|'))}"
    return f"write {shown(bare)}" if value.startswith("^") or value.endswith("$") else ""
