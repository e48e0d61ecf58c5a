"""`nightferry validate`: reads policy and release files and says everything that is wrong with them."""

from __future__ import annotations

from typing import Annotated

import typer


def validate(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, or folders with *.yaml in them.")],
) -> None:
    """Check policy files without a cluster. Exit code 0: all good; 2: each fault is one line on stderr.

    What is legal and hardly meant is a line there too, marked as a note.
    """
    from controller.cli import ends
    from controller.cli.screen import say, warn
    from policies.load import load_paths

    documents, errors = load_paths(paths)
    for error in errors:
        warn(str(error))
    for remark in (each for document in documents for each in document.remarks):
        warn(str(remark))
    if errors:
        raise typer.Exit(ends.REFUSED)
    kinds = [document.kind for document in documents]
    counted = [f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))]
    say(f"valid: {', '.join(counted)}")
