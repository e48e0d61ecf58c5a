"""Derives a list of Debian source repositories from the machine's own entries, without touching those.

The result lives in a folder of its own; apt is pointed at it by options, so that nothing of the machine's own lists
changes.
"""

from __future__ import annotations

import re
from pathlib import Path

SUITE = re.compile(r"\b(bookworm|oldstable|stable)(-updates|-security|/updates)?\b")


def write_source_lists(apt: Path, folder: Path) -> list[Path]:
    """Mirrors the `deb` entries under `apt` (usually /etc/apt) as `deb-src` entries under `folder`.

    Only entries of Debian 12's own suites with the component main are taken. Returns the files written, none when the
    machine has no such entry.
    """
    parts = folder / "sources.list.d"
    parts.mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text("")
    found = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    written = []
    for path in found:
        if not path.is_file() or path.suffix not in {".list", ".sources"}:
            continue
        derive = _from_stanzas if path.suffix == ".sources" else _from_lines
        if text := derive(path.read_text()):
            (parts / path.name).write_text(text)
            written.append(parts / path.name)
    return written


def apt_options(folder: Path) -> list[str]:
    """The options that make apt use the lists of write_source_lists, and keep its state, inside `folder`."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return [
        f"-oDir::Etc::sourcelist={folder / 'sources.list'}",
        f"-oDir::Etc::sourceparts={folder / 'sources.list.d'}",
        f"-oDir::State::Lists={folder / 'lists'}",
        f"-oDir::Cache={folder / 'cache'}",
        "-oAPT::Sandbox::User=root",
    ]


def _from_lines(text: str) -> str:
    kept = []
    for line in text.splitlines():
        entry = line.split("#", 1)[0].strip()
        if re.match(r"deb\s", entry) and SUITE.search(entry) and re.search(r"\smain\b", entry):
            kept.append(re.sub(r"^deb\s", "deb-src ", entry))
    return "".join(f"{line}\n" for line in kept)


def _from_stanzas(text: str) -> str:
    kept = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = {
            name.strip().lower(): value.strip()
            for name, separator, value in (line.partition(":") for line in lines if not line.startswith((" ", "\t")))
            if separator
        }
        wanted = (
            "deb" in fields.get("types", "").split()
            and fields.get("enabled", "yes").lower() not in {"no", "false"}
            and SUITE.search(fields.get("suites", ""))
            and "main" in fields.get("components", "").split()
        )
        if wanted:
            kept.append("\n".join("Types: deb-src" if line.lower().startswith("types:") else line for line in lines))
    return "".join(f"{stanza}\n\n" for stanza in kept)
