"""Every program of the cluster tests is looked for by itself, in the order that the ecosystem expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.setup.control_plane import bring, main
from tests.setup.find import PROGRAMS, REQUIRED, MissingPrograms, Programs, cache_folder, find_programs, is_debian_12
from tests.setup.steps import Steps


class Machine:
    """Three empty places where programs may be."""

    def __init__(self, home: Path) -> None:
        self.env = {
            "KUBEBUILDER_ASSETS": str(home / "assets"),
            "PATH": str(home / "bin"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        self.assets, self.path, self.cache = home / "assets", home / "bin", cache_folder(self.env)

    def put(self, name: str, folder: Path, *, mode: int = 0o755) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / name
        program.write_text("#!/bin/sh\n")
        program.chmod(mode)
        return program


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_sources_are_combined_per_program(machine: Machine) -> None:
    server = machine.put("kube-apiserver", machine.assets)
    controllers = machine.put("kube-controller-manager", machine.cache)
    names = ("etcd", "prometheus", "promtool", "prometheus-alertmanager", "kubectl", "openssl", "setpriv")
    rest = {name: machine.put(name, machine.path) for name in names}
    assert find_programs(machine.env) == Programs(
        etcd=rest["etcd"],
        apiserver=server,
        controllers=controllers,
        prometheus=rest["prometheus"],
        promtool=rest["promtool"],
        alertmanager=rest["prometheus-alertmanager"],
        kubectl=rest["kubectl"],
    )


def test_the_ecosystems_folder_comes_before_the_path_and_the_path_before_the_cache(machine: Machine) -> None:
    for name in PROGRAMS:
        machine.put(name, machine.cache)
    machine.put("etcd", machine.path)
    chosen = machine.put("etcd", machine.assets)
    found = find_programs(machine.env)
    assert isinstance(found, Programs)
    assert found.etcd == chosen
    chosen.unlink()
    found = find_programs(machine.env)
    assert isinstance(found, Programs)
    assert found.etcd == machine.path / "etcd"


def test_a_file_that_cannot_be_run_is_not_a_program(machine: Machine) -> None:
    for name in PROGRAMS:
        machine.put(name, machine.path)
    machine.put("etcd", machine.path, mode=0o644)
    assert find_programs(machine.env) == MissingPrograms(("etcd",))


def test_on_another_system_one_line_says_what_is_missing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.setup.control_plane.is_debian_12", lambda: False)
    for name in PROGRAMS[:-1]:
        machine.put(name, machine.path)
    missing = bring(machine.env, Steps(tmp_path / "log"))
    assert missing == MissingPrograms((PROGRAMS[-1],))
    assert "\n" not in missing.sentence
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(("required", "code"), [("1", 1), ("", 0)])
def test_a_missing_part_fails_the_set_up_only_when_it_is_required(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], required: str, code: int
) -> None:
    monkeypatch.setattr("tests.setup.control_plane.is_debian_12", lambda: False)
    for name, value in {**machine.env, REQUIRED: required}.items():
        monkeypatch.setenv(name, value)
    assert main() == code
    assert capsys.readouterr().out.count("\n") == 1


def test_with_everything_there_nothing_is_run(machine: Machine, tmp_path: Path) -> None:
    for name in PROGRAMS:
        machine.put(name, machine.path)
    assert bring(machine.env, Steps(tmp_path / "log")) is None
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('ID=debian\nVERSION_ID="12"\n', True),
        ('ID=debian\nVERSION_ID="13"\n', False),
        ('ID=ubuntu\nVERSION_ID="12"\n', False),
    ],
)
def test_debian_12_is_told_from_its_relatives(tmp_path: Path, text: str, answer: bool) -> None:
    path = tmp_path / "os-release"
    path.write_text(text)
    assert is_debian_12(path) is answer
