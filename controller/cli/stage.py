"""How a simulated release is told while it runs: a moving picture on a terminal, plain lines without one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controller.cli.screen import PHASE_COLOURS, VERDICT_COLOURS, console, print_plain
from controller.simulation.story import Snapshot, StoryResult

_WIDTH = 40  # characters of the bar of pods
_SHOWN = 110  # characters of a sentence
_STEP = 0.04  # seconds for which a picture stands at least: the simulation is faster than eyes


class Stage:
    """Hears every step of the stories, one story after the other. `silent` tells nothing."""

    def __init__(self, stories: int, *, silent: bool = False) -> None:
        self._stories = stories
        self._silent = silent
        self._screen = console()
        self._live: Live | None = None
        self._number = 0
        self._story = ""
        self._last: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        if not self._silent and self._screen.is_terminal:
            self._live = Live(console=self._screen, refresh_per_second=12, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, story: str) -> None:
        """A story begins."""
        self._number += 1
        self._story, self._last = story, ()
        if not self._silent:
            self._tell(Text(f"{self._number}/{self._stories} {story}", style="bold"))

    def step(self, now: Snapshot) -> None:
        """A tick of the story's release."""
        if self._silent:
            return
        essence = (now.release, now.phase, now.batch, now.held)
        if essence != self._last:
            self._last = essence
            self._tell(_line(now))
        if self._live is not None:
            self._live.update(self._picture(now))
            threading.Event().wait(_STEP)

    def end(self, result: StoryResult) -> None:
        """The story's end."""
        if self._silent:
            return
        mark, colour = ("as it must be", "green") if result.ok else ("NOT as it must be", "bold red")
        line = Text.assemble(
            (f"{self._number}/{self._stories} {self._story}: ", "bold"),
            (result.outcome, PHASE_COLOURS.get(result.outcome, "")),
            (f" after {result.minutes:.0f} min, ", ""),
            (mark, colour),
        )
        self._tell(line)
        self._tell(Text())

    def _tell(self, line: Text) -> None:
        """One line that stays; on a terminal it is cut at the edge, above the moving picture."""
        if self._live is not None:
            self._live.console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            print(line.plain.rstrip(), flush=True)

    def summary(self, results: Sequence[StoryResult]) -> None:
        """The table at the end."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title in ("STORY", "OUTCOME", "MINUTES"):
            table.add_column(title, no_wrap=True, justify="right" if title == "MINUTES" else "left")
        table.add_column("BECAUSE", overflow="fold")
        for result in results:
            outcome = Text(result.outcome, style=PHASE_COLOURS.get(result.outcome, ""))
            if not result.ok:
                outcome.append(" (wrong)", style="bold red")
            table.add_row(result.story, outcome, f"{result.minutes:.0f}", result.because)
        print_plain(self._screen, table)

    def _picture(self, now: Snapshot) -> RenderableType:
        parts: list[RenderableType] = [
            Text.assemble(
                (f"  {now.minute:5.1f}m  ", "dim"),
                *_bar(now),
                ("  ", ""),
                (now.phase.value, PHASE_COLOURS.get(now.phase.value, "")),
                (f" {_batch(now)}" if _batch(now) else "", ""),
                (f"  held: {now.held}" if now.held else "", "yellow"),
            ),
        ]
        for gate, verdict, because in now.verdicts:
            line = Text.assemble(
                (f"  {gate} ", ""), (verdict, VERDICT_COLOURS.get(verdict, "")), (f"  {because}", "dim")
            )
            line.no_wrap, line.overflow = True, "ellipsis"
            parts.append(line)
        return Group(*parts)


def _bar(now: Snapshot) -> list[tuple[str, str]]:
    """Ready pods of both versions, and those still to come, of the desired ones."""
    total = max(now.desired, now.contender_pods + now.incumbent_pods, 1)
    scale = _WIDTH / total
    ours, theirs = round(now.contender_ready * scale), round(now.incumbent_ready * scale)
    coming = max(0, round((now.contender_pods + now.incumbent_pods) * scale) - ours - theirs)
    rest = max(0, _WIDTH - ours - theirs - coming)
    return [
        ("█" * ours, "magenta"),
        ("▒" * coming, "dim"),
        ("█" * theirs, "cyan"),
        ("·" * rest, "dim"),
        (f"  new {now.contender_ready}/{now.contender_pods}", "magenta"),
        (f"  old {now.incumbent_ready}/{now.incumbent_pods}", "cyan"),
    ]


def _batch(now: Snapshot) -> str:
    if now.phase.value != "Batch":
        return ""
    return now.stage or f"{now.batch}/{now.batches}"


def _line(now: Snapshot) -> Text:
    """A turn as one line: minute, phase, pods of both versions, and why."""
    phase = f"{now.phase.value}{f' {_batch(now)}' if _batch(now) else ''}"
    if now.held:
        phase += f", held: {now.held}"
    pods = f"new {now.contender_ready}, old {now.incumbent_ready}" if now.desired else ""
    because = now.because if len(now.because) <= _SHOWN else f"{now.because[: _SHOWN - 3]}..."
    return Text.assemble(
        (f"  {now.minute:5.1f}m  ", "dim"),
        (f"{phase:<24}", "yellow" if now.held else PHASE_COLOURS.get(now.phase.value, "")),
        (f"  {pods:<14}  ", ""),
        (because, "dim"),
    )
