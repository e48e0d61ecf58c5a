"""Words of others, as they may stand in a sentence of ours."""

from __future__ import annotations


def one_line(text: str, longest: int = 256) -> str:
    """Somebody else's words on one printable line."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."
