"""The entry point: `nightferry` and `python -m controller`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command of this process and ends it with the command's exit code."""
    from controller.cli.commands import main as run_command

    sys.exit(run_command())


if __name__ == "__main__":
    main()
