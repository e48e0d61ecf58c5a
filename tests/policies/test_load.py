"""The loader on files and folders: nothing good is hidden, nothing bad is believed, and its work is bounded."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.load import PolicyError, PolicyRefused, digest, load_paths, load_text, to_object
from policies.yaml_tree import MOST_BYTES, MOST_ERRORS, MOST_NODES, YamlReader
from tests.policies.builders import a_policy

SHORT = """\
apiVersion: nightferry.dev/v1alpha1
kind: ReleasePolicy
metadata: {name: NAME, namespace: shop}
spec:
  target: {deployment: NAME}
  strategy: {twin: {}}
  gates:
    - name: errors
      errorRatio: {errors: 'http_requests_total{code=~"5.."}', requests: http_requests_total}
"""


def short(name: str) -> str:
    return SHORT.replace("NAME", name)


def test_a_text_yields_its_documents_with_their_lines() -> None:
    documents = load_text(f"# both apps\n{short('checkout')}---\n{short('search')}---\n", "apps.yaml")
    assert [(d.file, d.line, d.kind, d.value.name) for d in documents] == [
        ("apps.yaml", 2, "ReleasePolicy", "checkout"),
        ("apps.yaml", 12, "ReleasePolicy", "search"),
    ]


def test_every_field_written_out_is_the_same_policy_as_the_short_one() -> None:
    (document,) = load_text(short("checkout"))
    assert document.policy is not None
    assert document.policy.spec == a_policy().spec
    assert digest(document.policy) == digest(a_policy(mode="enforce", historyLimit=20))


def test_a_mark_of_byte_order_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + short("checkout").replace("\n", "\r\n").encode())
    documents, errors = load_paths([file])
    assert (len(documents), errors) == (1, [])


def test_folders_are_walked_in_order_and_other_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "search.yml").write_text(short("search"))
    (tmp_path / "a.yaml").write_text(short("checkout"))
    (tmp_path / "notes.txt").write_text("kind: [")
    documents, errors = load_paths([tmp_path])
    assert errors == []
    assert [document.value.name for document in documents] == ["checkout", "search"]


def test_a_bad_document_never_hides_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(f"{short('checkout')}---\nkind: Nothing\n---\n{short('search')}")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "good.yaml").write_text(short("payments"))
    documents, errors = load_paths([tmp_path])
    assert sorted(document.value.name for document in documents) == ["checkout", "payments", "search"]
    assert {Path(error.file).name for error in errors} == {"mixed.yaml", "broken.yaml"}


def test_two_policies_of_one_name_are_a_fault_of_the_second(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(short("checkout"))
    (tmp_path / "b.yaml").write_text(f"# again\n{short('checkout')}")
    documents, errors = load_paths([tmp_path])
    assert len(documents) == 1
    assert [(Path(error.file).name, error.line, error.path) for error in errors] == [("b.yaml", 2, "metadata.name")]


def test_two_policies_for_one_deployment_are_a_fault_of_the_second(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(short("checkout"))
    (tmp_path / "b.yaml").write_text(short("checkout").replace("name: checkout", "name: other"))
    documents, errors = load_paths([tmp_path])
    assert [document.value.name for document in documents] == ["checkout"]
    assert [error.path for error in errors] == ["spec.target.deployment"]


def test_two_releases_of_one_beginning_are_two_releases() -> None:
    text = """\
apiVersion: nightferry.dev/v1alpha1
kind: Release
metadata: {generateName: checkout-}
spec: {policy: checkout, images: {app: a}}
"""
    documents = load_text(f"{text}---\n{text}")
    assert [document.release.name for document in documents if document.release] == ["checkout-", "checkout-"]


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"kind: \xff\n", 1, 7),
        (b"kind: a\nname: \x80\n", 2, 7),
        ("kind: a".encode("utf-16"), 1, 1),
        (b"kind: a\x00b\n", 1, 8),
        (b"a: b\nkind: \x07\n", 2, 7),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_place(
    tmp_path: Path, content: bytes, line: int, column: int
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(content)
    documents, errors = load_paths([file])
    assert documents == []
    assert [(error.line, error.column) for error in errors] == [(line, column)]


def test_a_lone_surrogate_is_refused_and_not_raised() -> None:
    with pytest.raises(PolicyRefused, match="1:7: error: document"):
        load_text("kind: \ud800\n")


def test_what_cannot_be_read_is_an_error_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    missing = tmp_path / "none.yaml"
    documents, errors = load_paths([missing, tmp_path / "empty"])
    assert documents == []
    assert [error.file for error in errors] == [str(missing), str(tmp_path / "empty")]


def test_the_name_of_a_file_cannot_forge_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a\nb:1:1: error: forged.yaml"
    file.write_text("a: [")
    (error,) = load_paths([file])[1]
    assert str(error).isprintable()
    assert error.file == str(file)


def test_errors_are_values_that_compare() -> None:
    one, same = (PolicyError("f", 1, 2, "spec", "found x; allowed: y") for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != PolicyError("f", 1, 3, "spec", "found x; allowed: y")


# ------------------------------------------------------------------------------------------- bounded work


def nodes_read(text: str) -> int:
    reader = YamlReader("bomb.yaml")
    reader.read(text)
    assert reader.errors
    return reader.nodes


def test_billion_laughs_cost_their_text_and_nothing_more() -> None:
    # Y2: nine levels of nine are 387 million values when they are followed, and 90 nodes of text.
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert nodes_read("\n".join(lines)) == 1 + 9 * (2 + 9)


@pytest.mark.parametrize("depth", [40, 500, 2000, 60_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")])
def test_a_depth_bomb_is_left_at_the_same_level_however_deep_it_is(depth: int, begin: str, end: str) -> None:
    # Y3: the stock loader recurses at 500 and takes seconds of CPU at 2,000.
    text = (begin * depth + "x" + end * depth)[:MOST_BYTES]
    assert nodes_read(text) <= 70


def test_the_number_of_values_is_bounded() -> None:
    assert nodes_read("a: [" + "x," * (2 * MOST_NODES) + "]") == MOST_NODES + 1


@pytest.mark.parametrize("character", ["a", "ä", "😀"])
def test_a_large_text_is_not_even_parsed(character: str) -> None:
    assert nodes_read(f"a: {character * (MOST_BYTES // len(character.encode()))}") == 0


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.truncate(8 * 1024**3)  # sparse: reading it all would take memory that is not there
    (error,) = load_paths([file])[1]
    assert "larger than 256 KiB" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"k{i}: &x {i}" for i in range(5000)),
        SHORT + "".join(f"  unknown{i}: 1\n" for i in range(5000)),
        SHORT + "".join("  mode: observe\n" for _ in range(5000)),
        "---\n".join("a: b\n" for _ in range(5000)),
        SHORT.replace("strategy: {twin: {}}", f"strategy: {{twin: {{batches: [{', '.join(['x'] * 90)}]}}}}") * 2,
    ],
)
def test_faults_without_number_are_told_up_to_a_number(text: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        load_text(text)
    assert 1 <= len(refused.value.errors) <= MOST_ERRORS


def test_the_meant_name_is_sought_for_few_of_many_unknown_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[str] = []

    def nearest(word: str, known: object) -> str:
        sought.append(word)
        return ""

    monkeypatch.setattr("policies.translate.nearest", nearest)
    with pytest.raises(PolicyRefused):
        load_text(SHORT + "".join(f"  unknown{i}: 1\n" for i in range(5000)))
    assert 1 <= len(sought) <= MOST_ERRORS


yaml_words = st.sampled_from(
    [
        "a",
        ":",
        " ",
        "\n",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "!!int ",
        "? ",
        "|",
        ">",
        '"',
        "'",
        "#",
        "---\n",
        "\t",
        "~",
        "0x1f",
        ".nan",
        "1e999",
        "\\",
        "\u2028",
        "spec:\n  ",
        "kind: Release\n",
        "%YAML 1.1\n",
        "<<: ",
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.lists(yaml_words, max_size=40).map("".join), st.text(max_size=200)))
def test_no_text_ends_in_anything_but_documents_or_a_refusal(text: str) -> None:
    try:
        documents = load_text(text)
    except PolicyRefused as refused:
        assert all(str(error).isprintable() and error.line >= 1 for error in refused.errors)
    else:
        assert documents


json_values: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        "target",
        "strategy",
        "gates",
        "metrics",
        "mode",
        "observe",
        "promise",
        "onDegraded",
        "onBlind",
        "deadline",
        "historyLimit",
        "window",
    ]
)


@given(st.dictionaries(fields, json_values))
def test_no_object_of_the_cluster_ends_in_anything_but_a_policy_or_a_refusal(spec: dict[str, object]) -> None:
    try:
        policy = a_policy(**spec)
    except PolicyRefused as refused:
        assert all(str(error).isprintable() for error in refused.errors)
    else:
        assert to_object(policy)["spec"]
