"""The source repositories are derived from the machine's own entries, whichever of apt's two formats they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.setup.sources import write_source_lists


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    return tmp_path / "apt"


def derived(apt: Path) -> str:
    return "".join(path.read_text() for path in write_source_lists(apt, apt.parent / "own"))


def test_a_stanza_becomes_a_source_stanza_and_keeps_its_mirror_and_key(apt: Path) -> None:
    (apt / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
    assert derived(apt) == (
        "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
    )


def test_a_line_becomes_a_source_line_and_keeps_its_options(apt: Path) -> None:
    (apt / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # ours\n"
    )
    assert derived(apt) == "deb-src [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib\n"


def test_entries_of_others_and_disabled_ones_are_left_out(apt: Path) -> None:
    (apt / "sources.list.d" / "node.sources").write_text(
        "Types: deb\nURIs: http://n\nSuites: nodistro\nComponents: main\n"
    )
    (apt / "sources.list.d" / "off.sources").write_text(
        "Enabled: no\nTypes: deb\nURIs: http://d\nSuites: bookworm\nComponents: main\n"
    )
    (apt / "sources.list.d" / "cloud.list").write_text("deb https://c cloud-sdk main\n")
    (apt / "sources.list.d" / "debian.sources.disabled").write_text("Types: deb\nSuites: bookworm\nComponents: main\n")
    assert derived(apt) == ""


def test_the_machines_own_lists_are_not_touched(apt: Path) -> None:
    path = apt / "sources.list"
    path.write_text("deb http://mirror.example/debian bookworm main\n")
    before = path.read_bytes()
    write_source_lists(apt, apt.parent / "own")
    assert path.read_bytes() == before
    assert sorted(one.name for one in apt.iterdir()) == ["sources.list", "sources.list.d"]
