"""Every bad policy of the corpus is refused with exactly the messages written beside it.

Each file begins with the rule it breaks. After a change of words, `NIGHTFERRY_REWRITE=1` writes the messages anew; the
difference is reviewed like any other.
"""

import os
import re
from pathlib import Path

import pytest

from policies.load import load_paths

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(CORPUS.glob("*.yaml"))
ROWS = ("Y1", "Y2", "Y3", "Y4", "Y5", "Y6", "Y7", "Y8", "Y10", "Y11", "Y13", "Y14", "Y17", "Y18", "Y19", "Y24")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_bad_policy_is_refused_with_these_messages(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CORPUS)
    _, errors = load_paths([case.name])
    messages = "".join(f"{error}\n" for error in errors)
    expected = case.with_suffix(".txt")
    if os.environ.get("NIGHTFERRY_REWRITE") == "1":
        expected.write_text(messages, encoding="utf-8")
    assert messages
    assert messages == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_nothing_of_a_bad_policy_is_believed(case: Path) -> None:
    good = {"many-documents": ["payments"], "syntax-second-document": ["checkout"],
            "train-unknown-policy": ["checkout"], "train-undecided": ["checkout"], "train-short-night": ["search"],
            "train-cycle-by-labels": ["orders", "search"], "train-after-no-label": ["orders", "search"],
            "train-two-by-labels": ["nightly", "orders"],
            "train-two": ["nightly"]}  # fmt: skip
    assert [document.value.name for document in load_paths([case])[0]] == good.get(case.stem, [])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_message_is_one_printable_line_with_a_place_a_finding_and_what_is_allowed(case: Path) -> None:
    for error in load_paths([case])[1]:
        line = str(error)
        assert line.isprintable()
        assert re.fullmatch(r".+:\d+:\d+: error: \S.*: found .+; (allowed|required): .+", line)
        assert 1 <= error.line <= case.read_text(encoding="utf-8").count("\n") + 1
        assert len(line) < 700


def test_the_corpus_is_large_and_names_the_rows_it_covers() -> None:
    comments = [case.read_text(encoding="utf-8").splitlines()[0] for case in CASES]
    assert len(CASES) >= 60
    assert all(comment.startswith("# ") for comment in comments)
    assert [row for row in ROWS if not any(comment.startswith(f"# {row}:") for comment in comments)] == []


def test_no_expected_message_is_left_without_its_policy() -> None:
    assert {path.stem for path in CORPUS.glob("*.txt")} == {case.stem for case in CASES}
