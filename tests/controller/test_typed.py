"""Threads that read a type for the first time, all at once: msgspec ends the process where one was not known before."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# Forks have learned what their parent has: what modules make of a type while they are imported, and nothing else.
RACE = """
import os, sys, threading
sys.setswitchinterval(1e-6)
from controller.baseline.payload import read_payload, write_payload
from controller.notices import rescued
from controller.record import read_record, to_status
from controller.release.record import Record
from tests.controller.learning.builders import a_baseline

status = to_status(Record(), generation=1, policy_name="checkout")
payload = write_payload(a_baseline())
notices = {"record": {"notices": [{"id": "a"}]}}
reads = {
    "record": lambda: read_record(status),
    "baseline": lambda: read_payload(*payload),
    "notices": lambda: rescued(notices),
}

def race(read):
    together = threading.Barrier(8)
    threads = [threading.Thread(target=lambda: (together.wait(), read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

for name in sys.argv[1:]:
    died = 0
    for _ in range(40):
        child = os.fork()
        if not child:
            race(reads[name])
            os._exit(0)
        died += os.waitpid(child, 0)[1] != 0
    print(name, died)
"""


def test_a_type_is_known_before_threads_read_it() -> None:
    names = ("record", "baseline", "notices")
    ran = subprocess.run([sys.executable, "-c", RACE, *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.split("\n") == [*(f"{name} 0" for name in names), ""], ran.stderr


@pytest.mark.parametrize("package", ["controller", "analysis", "policies"])
def test_nothing_teaches_msgspec_a_type_while_it_reads(package: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file in sorted((ROOT / package).rglob("*.py"))
        if file.name != "typed.py"
        for call in _late(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, f"make a reader, or a decoder, where the module is imported: {', '.join(found)}"


PLAIN = ("dict[str, Any]", "Object", "list[dict[str, Any]]")


def _late(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls in a function that make msgspec look at a type, other than the plain ones of JSON."""
    for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
            called = ast.unparse(call.func)
            kinds = [ast.unparse(each.value) for each in call.keywords if each.arg == "type"]
            decodes = called == "msgspec.json.decode" and any(kind not in PLAIN for kind in kinds)
            if decodes or called in ("msgspec.convert", "msgspec.json.Decoder", "reader"):
                yield call


def test_a_late_type_is_found() -> None:
    late = (
        "def f(x):\n    return msgspec.convert(x, Record)\ndef g(x):\n    return msgspec.json.decode(x, type=Record)\n"
    )
    early = "read = reader(Record)\ndef f(x):\n    return msgspec.json.decode(x, type=dict[str, Any])\n"
    assert [call.lineno for call in _late(ast.parse(late + early))] == [2, 4]
