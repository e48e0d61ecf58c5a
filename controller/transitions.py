"""The legal moves of a release, as a table. The diagram in the docs is drawn from it.

    Queued -> Preflight -> Canary -> Batch -> Succeeded
                 |            \\        /
                 v             RollingBack -> RolledBack
             Cancelled

A release without a canary pod goes from Preflight to Batch. `RollingBack` is one step from every phase in which
capacity may have moved, and never leads forward again. `NeedsHuman` is reached where no automatic write is safe.
Ends are absorbing.
"""

from __future__ import annotations

from controller.release.vocabulary import Phase

MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.PREFLIGHT, Phase.CANCELLED}),
    Phase.PREFLIGHT: frozenset({Phase.CANARY, Phase.BATCH, Phase.ROLLING_BACK, Phase.CANCELLED, Phase.NEEDS_HUMAN}),
    Phase.CANARY: frozenset({Phase.BATCH, Phase.ROLLING_BACK, Phase.SUCCEEDED, Phase.NEEDS_HUMAN}),
    Phase.BATCH: frozenset({Phase.ROLLING_BACK, Phase.SUCCEEDED, Phase.NEEDS_HUMAN}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK, Phase.NEEDS_HUMAN}),
    Phase.SUCCEEDED: frozenset(),
    Phase.ROLLED_BACK: frozenset(),
    Phase.NEEDS_HUMAN: frozenset(),
    Phase.CANCELLED: frozenset(),
}


class IllegalMove(RuntimeError):
    """The program asked for a move that the table does not have: a fault of ours, never of the user."""


def moved(before: Phase, after: Phase) -> Phase:
    """Return `after` if the table allows the move (staying is always allowed); raise IllegalMove otherwise."""
    if before is not after and after not in MOVES[before]:
        raise IllegalMove(f"no move from {before} to {after}")
    return after


def mermaid() -> str:
    """The table as a Mermaid state diagram, for docs/architecture.md."""
    lines = ["stateDiagram-v2", "    [*] --> Queued"]
    for before, afters in MOVES.items():
        lines += [f"    {before} --> {after}" for after in sorted(afters)]
        if not afters:
            lines.append(f"    {before} --> [*]")
    return "\n".join(lines)
