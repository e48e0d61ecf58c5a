"""Selectors: hostile labels never leave their string, and what was written reads back the same (row Y8)."""

import re

import promql_parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.selector import LONGEST, Matcher, Selector, regex_quoted

HOSTILE = (
    'foo"} or vector(1) #',
    "back\\slash",
    'quote"quote',
    "line\nline\r\n",
    "tab\t nul\x00 bell\x07",
    "{{ $value }} ${x} %s",
    "сheckout",
    "\u202etuokcehc",
    "😀",
    "`raw`",
    "'",
    "\\",
    "",
    "ÿ\x7f\x85\u2028",
)

characters = st.characters(exclude_categories=["Cs"])
labels = st.one_of(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True), st.text(characters, min_size=1))
labels = labels.filter(lambda label: label != "__name__")
values = st.one_of(st.sampled_from(HOSTILE), st.text(characters))
exact = st.builds(Matcher, labels, st.sampled_from(["=", "!="]), values)
# Only patterns can be wrong by themselves: any text, quoted, is a right one.
patterns = st.builds(Matcher, labels, st.sampled_from(["=~", "!~"]), values.map(regex_quoted))
metrics = st.one_of(
    st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,30}", fullmatch=True),
    st.sampled_from(["sum", "by", "NaN", "inf", "bool", "group_left", "offset", "http.requests", "ü"]),
    st.text(characters, min_size=1),
)
selectors = st.builds(Selector, metrics, st.lists(st.one_of(exact, patterns), max_size=4).map(tuple))


def hostile_selector(value: str) -> Selector:
    return Selector("a", (Matcher("app", "=", value), Matcher("pod", "=~", regex_quoted(value))))


@given(selectors)
@example(hostile_selector(HOSTILE[0]))
@example(hostile_selector(HOSTILE[3]))
@example(Selector("sum", (Matcher("le ap", "!=", "x"),)))
def test_what_was_written_reads_back_the_same(selector: Selector) -> None:
    assert Selector.parse(selector.text()) == selector


@given(selectors)
def test_the_text_is_one_printable_line_and_canonical(selector: Selector) -> None:
    assert selector.text().isprintable()
    assert Selector.parse(selector.text()).text() == selector.text()


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_inside_its_string(value: str) -> None:
    text = Selector.parse('http_requests_total{code="500"}').with_matchers(Matcher("app", "=", value)).text()
    # As a part of a larger query: it must stay one selector there.
    parsed = promql_parser.parse(f"sum by (pod) (rate({text}[1m]))")
    assert isinstance(parsed, promql_parser.AggregateExpr)
    assert isinstance(parsed.expr, promql_parser.Call)
    (matrix,) = parsed.expr.args
    assert isinstance(matrix, promql_parser.MatrixSelector)
    selector = matrix.vector_selector
    assert [(m.name, m.value) for m in selector.matchers.matchers] == [("app", value), ("code", "500")]


def test_matchers_narrow_and_never_replace() -> None:
    selector = Selector.parse('a{code="500"}').with_matchers(Matcher("code", "=", "200"))
    assert selector.text() == 'a{code="200",code="500"}'


def test_order_spaces_quotes_and_repetition_make_no_difference() -> None:
    texts = ('a{x="1",y="2"}', "a { y = '2', x=`1`, }", '{x="1", __name__="a", y="2",x="1"}')
    assert {Selector.parse(text) for text in texts} == {Selector.parse(texts[0])}


@pytest.mark.parametrize("name", ["checkout-7d9f8c", "app.v1", "a+b(c)[d]{e}|f^g$h*i?j\\k"])
def test_a_quoted_pattern_matches_its_text_only(name: str) -> None:
    pattern = regex_quoted(name)
    assert Selector.parse(Selector("a", (Matcher("pod", "=~", f"{pattern}-[a-z0-9]{{5}}"),)).text())
    assert re.fullmatch(pattern, name)
    assert not any(re.fullmatch(pattern, name[:at] + "x" + name[at + 1 :]) for at in range(len(name)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        '"x"',
        "a[5m]",
        "a offset 5m",
        "a @ 5",
        "rate(a[5m])",
        "a or b",
        "-a",
        "(a)",
        "sum(a)",
        '{x="1"}',
        '{__name__!="a"}',
        '{__name__=~"a"}',
        'a{__name__=~"b"}',
        'a{x="1" or y="2"}',
        "a{x=1}",
        "a b",
        'a{x=~"("}',
    ],
)
def test_what_is_no_plain_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Selector.parse(text)


def test_a_text_that_would_end_the_parser_is_refused_by_its_length() -> None:
    # 20,000 nested parentheses overflow the stack of the native parser and end the process.
    with pytest.raises(ValueError, match="at most 4096"):
        Selector.parse("(" * 100_000 + "a" + ")" * 100_000)
    longest = f'a{{x="{"y" * (LONGEST - 6)}"}}'
    assert Selector.parse(longest[:-3] + '"}')
    with pytest.raises(ValueError, match="4097 characters"):
        Selector.parse(longest)
    deepest = (LONGEST - 1) // 2
    with pytest.raises(ValueError, match="parentheses"):
        Selector.parse("(" * deepest + "a" + ")" * deepest)


@given(st.text(max_size=200))
def test_any_text_is_a_selector_or_a_value_error(text: str) -> None:
    try:
        selector = Selector.parse(text)
    except ValueError:
        return
    assert Selector.parse(selector.text()) == selector


@pytest.mark.parametrize(
    ("label", "op", "value"), [("", "=", "x"), ("__name__", "=", "x"), ("a", "==", "x"), ("a", "=", "\ud800")]
)
def test_an_impossible_matcher_cannot_be_built(label: str, op: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Matcher(label, op, value)  # type: ignore[arg-type]


def test_a_selector_without_a_metric_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="metric name"):
        Selector("")
