"""What `nightferry plan` in the README was asked of: `python -m tests.bench.power [PICTURE]`.

A real Prometheus with nine days of a made-up fleet, and the command itself, with the picture where one is named. The
past ends now, so the figures of two runs differ as those of two fleets of this kind do.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from controller.cli.commands import main as nightferry
from tests.cluster.bed.past import Fleet, Version, create_blocks, write_openmetrics
from tests.cluster.bed.prometheus import Prometheus
from tests.controller.cli.store import policy_file
from tests.setup.find import MissingPrograms, find_programs

DAYS = 9


def main(picture: str | None = None) -> int:
    """Makes the past, asks, and ends the store -> the exit code of the command."""
    programs = find_programs(os.environ)
    if isinstance(programs, MissingPrograms):
        print(programs.sentence, file=sys.stderr)
        return 2
    now = time.time() // 30 * 30
    served = Version("checkout-7d9f8c6b5d", now - DAYS * 86_400.0, now, 10)
    fleet = Fleet("shop", (served,), rate=10.0, errors=0.005, pod_sd=0.12)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Prometheus(programs.prometheus, folder / "server", targets=folder / "targets", retention="60d")
        write_openmetrics(fleet, folder / "past.txt")
        create_blocks(programs.promtool, [folder / "past.txt"], server.data)
        (folder / "policy.yaml").write_text(policy_file("10m"))
        server.start()
        try:
            plot = ["--plot", picture] if picture is not None else []
            return nightferry(["plan", str(folder / "policy.yaml"), "--prometheus", server.url, *plot])
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
