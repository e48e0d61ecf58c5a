"""Builds kube-apiserver and kube-controller-manager from Debian 12's source package, once, into the project's cache.

Debian ships the client only, but its source package holds the servers. They are built with the distribution's Go 1.19
in GOPATH mode: in module mode the package does not build with that Go. The vendored reflect2 1.0.1 faults under Go
1.18 and newer, and the server dies on the first custom object; Debian's own 1.0.2 takes its place.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from tests.setup.find import CONTROL_PLANE
from tests.setup.sources import apt_options, write_source_lists
from tests.setup.steps import StepFailed, Steps

VERSION = "1.20.2"
BUILD_PACKAGES = (
    "ca-certificates",
    "dpkg-dev",
    "golang-1.19-go",
    "golang-github-modern-go-reflect2-dev",
    "jq",
    "make",
    "rsync",
)
GO_BIN = Path("/usr/lib/go-1.19/bin")
REFLECT2 = Path("github.com/modern-go/reflect2")
DEBIAN_GO_SOURCES = Path("/usr/share/gocode/src")
BYTES_NEEDED = 4_000_000_000
SCRATCH = ".build-"
POLITE = ("nice", "-n", "10")


def build_control_plane(cache: Path, steps: Steps) -> None:
    """Builds the two servers into `cache`, as root on Debian 12. Raises StepFailed.

    Two builds at once wait for each other; the second finds the first one's result.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all((cache / name).is_file() for name in CONTROL_PLANE):
            return
        for leftover in cache.glob(f"{SCRATCH}*"):
            shutil.rmtree(leftover)
        if shutil.disk_usage(cache).free < BYTES_NEEDED:
            raise StepFailed(f"the build needs {BYTES_NEEDED // 10**9} GB of free space under {cache}")
        steps.say(f"building Kubernetes {VERSION} from Debian's source package, once; about 10 minutes on 2 cores")
        steps.run(
            "installing the build tools",
            ["apt-get", "install", "-y", "--no-install-recommends", *BUILD_PACKAGES],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        # Beside the cache and not in /tmp, which may be small or in memory.
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=cache) as scratch:
            _build(Path(scratch), cache, steps)


def _build(scratch: Path, cache: Path, steps: Steps) -> None:
    gopath = scratch / "go"
    source = gopath / "src" / "k8s.io" / "kubernetes"
    _fetch_source(scratch / "apt", source, steps)
    _replace_reflect2(source)
    env = _go_environment(scratch, gopath)
    steps.run("generating the OpenAPI definitions", [*POLITE, "make", "gen_openapi"], cwd=source, env=env)
    for name in CONTROL_PLANE:
        command = [*POLITE, str(GO_BIN / "go"), "build", "-ldflags", _version_flags(), "-o", str(scratch / name)]
        steps.run(f"building {name}", [*command, f"./cmd/{name}"], cwd=source, env=env)
    for name in CONTROL_PLANE:
        os.replace(scratch / name, cache / name)


def _fetch_source(apt: Path, source: Path, steps: Steps) -> None:
    if not write_source_lists(Path("/etc/apt"), apt):
        raise StepFailed("no Debian 12 entry in /etc/apt to derive the source repository from")
    options = apt_options(apt)
    download = apt / "download"
    download.mkdir()
    steps.run("reading the index of source packages", ["apt-get", *options, "update"])
    steps.run("fetching the source package (34 MB)", ["apt-get", *options, "source", "kubernetes"], cwd=download)
    unpacked = [path for path in download.iterdir() if path.is_dir()]
    if len(unpacked) != 1:
        raise StepFailed(f"the source package of kubernetes did not unpack into one folder: {unpacked}")
    source.parent.mkdir(parents=True)
    unpacked[0].rename(source)


def _replace_reflect2(source: Path) -> None:
    vendored = source / "vendor" / REFLECT2
    shutil.rmtree(vendored)
    shutil.copytree(DEBIAN_GO_SOURCES / REFLECT2, vendored)


def _go_environment(scratch: Path, gopath: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "KUBE"))}
    return {
        **kept,
        # The distribution's own Go comes first, whatever other Go the machine has.
        "PATH": f"{GO_BIN}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "GOPATH": str(gopath),
        "GOCACHE": str(scratch / "go-cache"),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
        "TMPDIR": str(scratch),
    }


def _version_flags() -> str:
    package = "k8s.io/kubernetes/vendor/k8s.io/component-base/version"
    major, minor, _ = VERSION.split(".")
    facts = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(["-s -w", *(f"-X {package}.{name}={value}" for name, value in facts.items())])
