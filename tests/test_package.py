"""What is installed is what is tested: every module and every data file is in the wheel, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("analysis", "controller", "policies")


def test_the_wheel_has_every_module_and_every_data_file(tmp_path: Path) -> None:
    # Built from what the image is built from, in a folder of its own: a build/ of yesterday would add what is gone.
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    tracked = subprocess.run(["git", "ls-files", *let_in], cwd=ROOT, check=True, capture_output=True, text=True)
    present = [name for name in tracked.stdout.split() if (ROOT / name).exists()]
    for name in present:
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "src" / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path,
         tmp_path / "src"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("nightferry-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {name for name in present if name.split("/")[0] in PACKAGES}
    assert {name.split("/")[0] for name in packed} == set(PACKAGES)
