"""The command `nightferry` with all its verbs, and how each of them ends: one line and an exit code, no traceback.

Each group of verbs is a file that imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from controller.cli import ends
from controller.cli.back import restore, rollback
from controller.cli.backtest import backtest
from controller.cli.demo import demo, simulate
from controller.cli.explain import explain
from controller.cli.home import home
from controller.cli.learn import learn
from controller.cli.lift import lift
from controller.cli.notify import notify
from controller.cli.plan import plan
from controller.cli.release import release
from controller.cli.report import report
from controller.cli.run import run
from controller.cli.status import status
from controller.cli.suggest import suggest
from controller.cli.train import train
from controller.cli.validate import validate
from controller.cli.verbs import abort, pause, promote, resume
from controller.cli.version import version

# Typer keeps its own copy of click and exports only the subclass.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_RELEASES, _BACK, _OFFLINE, _CONTROLLER = "Releases", "Ways back", "Without a cluster", "The controller"
_HISTORY = "From a metric store's history"

COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (release, _RELEASES),
    (status, _RELEASES),
    (explain, _RELEASES),
    (train, _RELEASES),
    (report, _RELEASES),
    (pause, _RELEASES),
    (resume, _RELEASES),
    (promote, _RELEASES),
    (abort, _BACK),
    (rollback, _BACK),
    (restore, _BACK),
    (home, _BACK),
    (lift, _BACK),
    (suggest, _HISTORY),
    (learn, _HISTORY),
    (plan, _HISTORY),
    (backtest, _HISTORY),
    (validate, _OFFLINE),
    (demo, _OFFLINE),
    (simulate, _OFFLINE),
    (run, _CONTROLLER),
    (notify, _CONTROLLER),
    (version, _CONTROLLER),
)


def build() -> typer.Typer:
    """The command with its verbs."""
    app = typer.Typer(
        name="nightferry",
        help="Moves Kubernetes releases forward in batches, and turns back by itself when the metrics say so.",
        add_completion=False,
        no_args_is_help=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")] = False,
    ) -> None:
        context.obj = debug
        if context.invoked_subcommand is None:
            print(context.get_help())
            raise typer.Exit(0)

    for function, panel in COMMANDS:
        app.command(function.__name__, rich_help_panel=panel)(function)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command -> its exit code. Everything that can go wrong ends here, in words."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written while the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ends.SUCCEEDED
    except KeyboardInterrupt:
        return ends.INTERRUPTED
    except Exception as error:
        if "--debug" in given:
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _said(ends.FAILED, f"internal error: {text[:300]}; run with --debug for the traceback")


def _run(given: Sequence[str]) -> int:
    try:
        ended: Any = build()(given, standalone_mode=False, prog_name="nightferry")
        return ended if isinstance(ended, int) else ends.SUCCEEDED
    except ends.Refusal as error:
        return _said(ends.REFUSED, *error.lines)
    except ends.Unanswered as error:
        return _said(ends.FAILED, f"{error.who} does not answer: {error}")
    except _UsageError as error:
        message = getattr(error, "format_message", error.__str__)()
        # The command that was said wrongly knows its own way to help; "nightferry" where none was recognized.
        command = getattr(getattr(error, "ctx", None), "command_path", None) or "nightferry"
        return _said(ends.REFUSED, f"{message.rstrip('.')} (see `{command} --help`)")
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return ends.INTERRUPTED
    except SystemExit as end:
        # Typer's own answer to a reader that went away would be exit code 1.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise


def _said(code: int, *lines: str) -> int:
    for line in lines:
        print(f"nightferry: {line}", file=sys.stderr, flush=True)
    return code
