"""Brings the programs of the cluster tests to this machine: `python -m tests.setup.control_plane`.

Finds what is there already. As root on Debian 12 it installs the missing packages and builds the missing servers;
elsewhere it says in one line what is missing and how to get it. Exit code 0: everything is there; 1: something is
missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.setup.build import build_control_plane
from tests.setup.find import CONTROL_PLANE, REQUIRED, MissingPrograms, cache_folder, find_programs, is_debian_12
from tests.setup.steps import StepFailed, Steps

PACKAGES = {
    "etcd": "etcd-server",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "kubectl": "kubernetes-client",
    "openssl": "openssl",
    "setpriv": "util-linux",
}
# These packages start a server of their own on a machine with systemd; the tests start theirs themselves.
SERVICES = {"etcd-server": "etcd", "prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}


def bring(env: Mapping[str, str], steps: Steps) -> MissingPrograms | None:
    """Makes every program findable. Returns what this machine cannot get by itself. Raises StepFailed."""
    found = find_programs(env)
    if not isinstance(found, MissingPrograms):
        return None
    if not is_debian_12() or os.geteuid() != 0:
        return found
    packages = sorted({PACKAGES[name] for name in found.names if name in PACKAGES})
    if packages or set(CONTROL_PLANE) & set(found.names):
        steps.run("reading the package lists", ["apt-get", "update"])
    if packages:
        _install(packages, steps)
    if set(CONTROL_PLANE) & set(found.names):
        build_control_plane(cache_folder(env), steps)
    still = find_programs(env)
    if isinstance(still, MissingPrograms):
        raise StepFailed(still.sentence)
    return None


def _install(packages: list[str], steps: Steps) -> None:
    steps.run(
        f"installing {' and '.join(packages)}",
        ["apt-get", "install", "-y", "--no-install-recommends", *packages],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if Path("/run/systemd/system").is_dir():
        for package in packages:
            if package in SERVICES:
                # Only what this installation has started a moment ago.
                subprocess.run(["systemctl", "disable", "--now", SERVICES[package]], check=False, capture_output=True)


def main() -> int:
    """Runs the set-up for this machine and returns the exit code."""
    cache = cache_folder(os.environ)
    cache.mkdir(parents=True, exist_ok=True)
    steps = Steps(cache / "set-up.log")
    try:
        missing = bring(os.environ, steps)
    except StepFailed as error:
        print(f"control plane: {error}", file=sys.stderr)
        return 1
    if missing is not None:
        steps.say(f"NOT RUN: {missing.sentence}")
        return 1 if os.environ.get(REQUIRED) == "1" else 0
    steps.say("everything is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
