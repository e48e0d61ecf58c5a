"""Finds the programs that the cluster tests need, each by itself.

The order for every program: the folder KUBEBUILDER_ASSETS, then PATH, then the project's own cache. A machine may hold
etcd from its distribution and the rest in the cache, so the sources are combined per program.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager")
# The last two come with nearly every Linux; the bed makes a key with the one and ties children to their parent with
# the other.
PROGRAMS = (
    "etcd", *CONTROL_PLANE, "prometheus", "promtool", "prometheus-alertmanager", "kubectl", "openssl", "setpriv",
)  # fmt: skip

# Set to 1, a missing program is a failure; otherwise the cluster tests are left out, and a line says so.
REQUIRED = "NIGHTFERRY_REQUIRE_CLUSTER"

HOW_TO_GET = (
    "as root on Debian 12: python -m tests.setup.control_plane; elsewhere: put prometheus, "
    "prometheus-alertmanager (its alertmanager by Debian's name) and kubectl on PATH, and "
    "point KUBEBUILDER_ASSETS at a folder with etcd and kube-apiserver (setup-envtest has both) and "
    "kube-controller-manager"
)


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of the programs of the bed."""

    etcd: Path
    apiserver: Path
    controllers: Path
    prometheus: Path
    promtool: Path
    alertmanager: Path
    kubectl: Path


@dataclass(frozen=True, slots=True)
class MissingPrograms:
    """The programs that were found nowhere, in the order of PROGRAMS."""

    names: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """One line: what is missing and how to get it."""
        return f"the cluster tests need {', '.join(self.names)} ({HOW_TO_GET})"

    @property
    def short(self) -> str:
        """The same for places where it is repeated for every test."""
        return f"needs {', '.join(self.names)} (`python -m tests.setup.control_plane` says how to get them)"


def cache_folder(env: Mapping[str, str]) -> Path:
    """The project's cache of control plane programs; it may not exist."""
    base = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "nightferry" / "control-plane"


def find_program(name: str, env: Mapping[str, str]) -> Path | None:
    """The first executable file called `name` in the order of this module, or None."""
    for folder in _folders(env):
        candidate = folder / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.resolve()
    return None


def find_programs(env: Mapping[str, str]) -> Programs | MissingPrograms:
    """All programs of the bed, or the names of those that are nowhere."""
    found = {name: find_program(name, env) for name in PROGRAMS}
    missing = tuple(name for name, path in found.items() if path is None)
    if missing:
        return MissingPrograms(missing)
    paths = {name: path for name, path in found.items() if path is not None}
    return Programs(
        etcd=paths["etcd"],
        apiserver=paths["kube-apiserver"],
        controllers=paths["kube-controller-manager"],
        prometheus=paths["prometheus"],
        promtool=paths["promtool"],
        alertmanager=paths["prometheus-alertmanager"],
        kubectl=paths["kubectl"],
    )


def _folders(env: Mapping[str, str]) -> Iterable[Path]:
    if assets := env.get("KUBEBUILDER_ASSETS"):
        yield Path(assets)
    for folder in env.get("PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)
    yield cache_folder(env)


def is_debian_12(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether this machine is Debian 12, the one release whose source package builds the control plane."""
    if not os_release.is_file():
        return False
    fields = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    return fields.get("ID", "").strip('"') == "debian" and fields.get("VERSION_ID", "").strip('"') == "12"
