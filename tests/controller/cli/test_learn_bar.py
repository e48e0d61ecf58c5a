"""The bar of long work: on a terminal it moves and goes away, without one there is nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from controller.cli import screen
from controller.cli.learn_past import bar


def test_on_a_terminal_it_says_what_is_done_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=120)
    monkeypatch.setattr(screen, "console", lambda *, error=False: terminal)
    with bar("asking the metric store") as told:
        told(0.25, "gate errors: segment 3 of 84")
        told(7.0, "more than all")
    text = out.getvalue()
    assert "asking the metric store" in text
    assert "\x1b[2K" in text  # the line is taken away again


def test_without_a_terminal_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    with bar("asking the metric store") as told:
        told(0.5, "anything")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_fault_inside_the_block_comes_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(screen, "console", lambda *, error=False: terminal)
    with pytest.raises(KeyError), bar("work"):
        raise KeyError("x")
