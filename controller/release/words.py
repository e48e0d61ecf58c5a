"""Words of others as they may stand in a sentence of ours, and commands of ours as they stand in one."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a blank for each character that cannot be shown, ends a line, or turns one around."""
    return "".join(char if char.isprintable() else " " for char in text)


def command(verb: str, name: str, namespace: str, more: str = "", *, flag: str = "") -> str:
    """A command for whoever reads it, in whichever shell: it says what it is about, and where that is.

    `flag`: what says of which kind the name is, where the command takes several.
    """
    return f"`nightferry {' '.join(filter(None, (verb, flag, name, '-n', namespace, more)))}`"


def one_line(text: str, longest: int = 256) -> str:
    """Somebody else's words on one printable line."""
    plain = printable(text)
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."
