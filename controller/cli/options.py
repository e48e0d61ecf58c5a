"""The options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from controller.release.words import printable

_LONGEST_REASON = 1024  # characters, as the schema of a Release has it


def on_one_line(text: str | None) -> str | None:
    """A reason as a Release takes it; a Release with any other has no wish that is understood, not even an abort."""
    if text is None:
        return None
    told = " ".join(printable(text).split())
    if len(told) > _LONGEST_REASON:
        raise typer.BadParameter(f"found {len(told)} characters; allowed: a text of 1 to {_LONGEST_REASON}")
    return told


App = Annotated[str, typer.Argument(metavar="APP", help="The app: the name of its ReleasePolicy.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NS", help="The namespace. Default: the kubeconfig's.")
]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="A kubeconfig file. Default: $KUBECONFIG, ~/.kube.")
]
Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="A context of the kubeconfig.")]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; recorded and reported.", callback=on_one_line)
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; the exit code says which one it was.")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="With --wait: how long, such as 30m. Then exit code 5.")
]
