"""What works without a cluster: validate, demo, simulate, version; and how every command ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli import commands
from controller.cli.commands import main
from controller.simulation.stories import STORIES
from tests.controller.cli.world import Nightferry

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "policies" / "examples"
SCENARIO = """\
# A person changes her mind.
release hello v1 -> v2, 4 pods, batches 1 50% 100%
load 100/s
after 3m: abort
----
Canary
RollingBack
{end}
"""


def test_good_files_are_counted(nightferry: Nightferry) -> None:
    said = nightferry("validate", str(EXAMPLES))
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("valid: ")


def test_every_fault_of_every_file_is_a_line_with_its_place(nightferry: Nightferry) -> None:
    corpus = ROOT / "tests" / "policies" / "corpus"
    said = nightferry("validate", str(corpus / "nan.yaml"), str(EXAMPLES / "quickstart.yaml"), "/nowhere")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[0] == (corpus / "nan.txt").read_text().strip().replace(
        "nan.yaml", str(corpus / "nan.yaml"), 1
    )
    assert said.err.splitlines()[1].startswith("/nowhere:1:1: error: ")


def test_what_is_legal_and_hardly_meant_is_a_note_and_no_fault(nightferry: Nightferry, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    text = (EXAMPLES / "quickstart.yaml").read_text().rstrip()
    file.write_text(f'{text}\n  alerts:\n    - match: {{severity: "page|warn"}}\n')
    said = nightferry("validate", str(file))
    assert (said.code, said.out) == (0, "valid: 1 ReleasePolicy\n")
    (note,) = said.err.splitlines()
    assert note.startswith(f"{file}:12:25: note: spec.alerts[0].match.severity: found 'page|warn'")


def test_the_demo_ends_as_it_must_and_prints_json_alone(nightferry: Nightferry) -> None:
    said = nightferry("demo", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert [set(one) for one in found] == [{"story", "outcome", "phases", "minutes", "because"}] * len(STORIES)
    assert [one["story"] for one in found] == list(STORIES)
    assert [one["outcome"] for one in found] == ["Succeeded", "RolledBack", "RolledBack", "RolledBack"]
    assert all(one["minutes"] > 0 and one["because"] and one["phases"] for one in found)


def test_the_demo_without_a_terminal_is_plain_lines(nightferry: Nightferry) -> None:
    said = nightferry("demo")
    assert said.code == 0
    assert "\x1b" not in said.out
    lines = said.out.splitlines()
    assert len([line for line in lines if line.endswith(", as it must be")]) == 4
    assert any("new 10, old 0" in line for line in lines)
    assert lines[-1] != ""


def test_a_story_that_ends_otherwise_fails_the_demo(nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch) -> None:
    from controller.simulation import stories

    monkeypatch.setattr(
        stories, "STORIES", {"a healthy release": "healthy.txt", "errors": "errors-in-second-batch.txt"}
    )
    real = stories.story_script
    twisted = {"errors": "a healthy release"}
    monkeypatch.setattr(stories, "story_script", lambda story: _expecting_success(real(story), story in twisted))
    said = nightferry("demo")
    assert said.code == 1
    assert "NOT as it must be" in said.out
    assert "expected Succeeded" in said.err


def _expecting_success(script: object, twist: bool) -> object:
    from dataclasses import replace

    return replace(script, expected=((1, "Succeeded"),)) if twist else script  # type: ignore[type-var]


def test_a_policy_of_ones_own_runs_through_a_scenario(nightferry: Nightferry, tmp_path: Path) -> None:
    policy, scenario = str(EXAMPLES / "quickstart.yaml"), tmp_path / "mind.txt"
    scenario.write_text(SCENARIO.format(end="RolledBack"))
    said = nightferry("simulate", policy, "--scenario", str(scenario), "--json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)[0]["outcome"] == "RolledBack"
    assert nightferry("simulate", policy, "--scenario", str(scenario), "--seed", "7", "--json").out != ""
    scenario.write_text(SCENARIO.format(end="Succeeded"))
    said = nightferry("simulate", policy, "--scenario", str(scenario))
    assert said.code == 1
    assert f"{scenario}:8: expected Succeeded" in said.err


def test_the_same_seed_is_the_same_run(nightferry: Nightferry, tmp_path: Path) -> None:
    scenario = tmp_path / "mind.txt"
    scenario.write_text(SCENARIO.format(end="RolledBack"))
    arguments = ["simulate", str(EXAMPLES / "quickstart.yaml"), "--scenario", str(scenario), "--seed", "3"]
    assert nightferry(*arguments).out == nightferry(*arguments).out


@pytest.mark.parametrize(
    ("policy", "text", "words"),
    [
        ("quickstart.yaml", None, "No such file"),
        ("quickstart.yaml", "after 3m: dance\n----\n", "allowed: release APP OLD -> NEW"),
        ("quickstart.yaml", SCENARIO.format(end="RolledBack").replace("abort", "dance"), ":4: found 'dance'"),
        ("", SCENARIO.format(end="RolledBack"), "allowed: a file with one ReleasePolicy"),
        ("nowhere.yaml", SCENARIO.format(end="RolledBack"), "nowhere.yaml:1:1: error"),
    ],
)
def test_a_scenario_or_policy_that_cannot_be_read_is_one_line(
    nightferry: Nightferry, tmp_path: Path, policy: str, text: str | None, words: str
) -> None:
    scenario = tmp_path / "scenario.txt"
    if text is not None:
        scenario.write_text(text)
    assert words in nightferry("simulate", str(EXAMPLES / policy), "--scenario", str(scenario)).refusal


def test_version(nightferry: Nightferry) -> None:
    assert nightferry("version").out.startswith("nightferry ")


# ----------------------------------------------------------------------------------------------- how it ends


def test_an_internal_error_is_one_line_without_a_traceback(
    nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise KeyError("a\nbug")

    monkeypatch.setattr(commands, "COMMANDS", ((broken, "Releases"),))
    said = nightferry("broken")
    assert said.code == 1
    assert said.err.splitlines() == [
        "nightferry: internal error: KeyError: 'a\\nbug'; run with --debug for the traceback"
    ]
    with pytest.raises(KeyError):
        main(["--debug", "broken"])


def test_an_interrupt_ends_a_command_with_130(nightferry: Nightferry, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "COMMANDS", ((waits, "Releases"),))
    said = nightferry("waits")
    assert (said.code, said.out, said.err) == (130, "", "")


# A shell that started the tests in the background may have told all its children to ignore the signal. Its second night
# never begins, so that the signal finds it at work however late it comes.
INTERRUPTED = """
import io, signal, sys, time
from controller.__main__ import main

class Out(io.TextIOWrapper):
    def write(self, text):
        if text.startswith("2/4"):
            time.sleep(600)
        return super().write(text)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stdout, sys.argv = Out(sys.stdout.buffer, write_through=True), ["nightferry", "demo"]
main()
"""


def test_ctrl_c_in_a_real_process_leaves_no_traceback() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline().startswith("1/4")
    child.send_signal(signal.SIGINT)
    ended = child.wait(120)
    assert (ended, child.stderr.read()) == (130, "")
    child.stdout.close()
    child.stderr.close()


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    command = f"{sys.executable} -m controller demo --json | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[", "")


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    heavy = "kubernetes numpy pydantic apscheduler requests prometheus_client"
    code = (
        "import sys; from controller.cli.commands import main; main(['--help']);"
        f"print(*[name for name in '{heavy}'.split() if name in sys.modules], sep='', end='', file=sys.stderr)"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    after = os.times()
    assert (done.returncode, done.stderr) == (0, "")
    assert "rollback" in done.stdout
    assert after.children_user - before.children_user < 5.0  # of the processor: others may need it, too


@pytest.mark.parametrize("name", [function.__name__ for function, _ in commands.COMMANDS])
def test_every_command_explains_itself(nightferry: Nightferry, name: str) -> None:
    said = nightferry(name, "--help")
    assert said.code == 0
    assert f"nightferry {name}" in said.out


def test_the_module_is_the_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "controller", "version"],
        cwd="/", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("nightferry ")
