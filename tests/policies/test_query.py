"""Queries of gauges: what is taken and refused, and that the place of the pods is replaced in the tree, not in text."""

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.query import Query
from policies.selector import Matcher, Selector, selector_of

PODS = r"(?:checkout|checkout-twin)-[bcdf]{5,10}-[a-z0-9]{5}"

TAKEN = [
    'go_goroutines{pod="$pods"}',
    'sum by (pod) (rate(process_cpu_seconds_total{namespace="$namespace",pod="$pods"}[1m]))',
    'sum without (instance, job) (go_goroutines{pod="$pods"})',
    'max_over_time(sum by (pod) (rate(a{pod="$pods"}[1m]))[5m:30s])',
    'used{pod="$pods"} / on (pod) group_left () limit{pod="$pods"} * 100',
    '-a{pod="$pods"} + (1 - 2)',
    'label_replace(a{pod="$pods"}, "x", "$1", "y", "(.*)")',
    'a{pod="$pods"} > bool 3',
    'topk by (pod) (1, a{pod="$pods",route!~"a\\\\.b|\\"c\\""})',
    'a{pod="$pods"} / on (node) group_left () machine_cpu_cores offset 5m',
    'histogram_quantile(0.9, sum by (pod, le) (rate(b{pod="$pods"}[5m])))',
]


def selectors(text: str) -> list[Selector]:
    """The selectors of a query in the order of its tree."""
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(selector_of(node))

    promql_parser.walk(promql_parser.parse(text), post_visit=visit)
    return found


@pytest.mark.parametrize("text", TAKEN)
def test_a_query_is_its_own_canonical_text(text: str) -> None:
    query = Query.parse(text)
    assert Query.parse(query.text) == query
    assert Query.parse(query.text).text == query.text


@pytest.mark.parametrize("text", TAKEN)
def test_filling_changes_the_marks_and_nothing_else(text: str) -> None:
    query = Query.parse(text)
    before, after = selectors(query.text), selectors(query.filled(PODS, "shop"))
    assert [each.metric for each in before] == [each.metric for each in after]
    for was, now in zip(before, after, strict=True):
        expected = [
            Matcher(each.label, "=~", PODS)
            if each.value == "$pods"
            else Matcher(each.label, "=", "shop")
            if each.value == "$namespace"
            else each
            for each in was.matchers
        ]
        assert sorted(expected) == list(now.matchers)
    assert "$pods" not in query.filled(PODS, "shop") and "$namespace" not in query.filled(PODS, "shop")
    # Filled with the marks themselves, all that is left of a query is the query, but for the operator of the pods.
    again = query.filled("$pods", "$namespace")
    assert again.replace('=~"$pods"', '="$pods"') == query.text


def test_a_query_knows_its_labels_and_the_metrics_it_reads_of_pods() -> None:
    query = Query.parse('a{kubernetes_pod="$pods",ns="$namespace"} / on (node) group_left () b')
    assert (query.pod, query.namespace, query.metrics()) == ("kubernetes_pod", "ns", ("a",))
    assert Query.parse('a{pod="$pods"}').namespace is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("go_goroutines", "no selector has the matcher"),
        ('a{pod=~"$pods"}', r"\$pods in a matcher of pod"),
        ('a{pod!="$pods"}', r"\$pods in a matcher of pod"),
        ('a{pod="$pods-0"}', r"\$pods-0 in a matcher of pod"),
        ('a{pod="$pods",ns=~"$namespace.*"}', "in a matcher of ns"),
        ('sum(a{pod="$pods"})', "sum drops the label pod"),
        ('sum by (node) (a{pod="$pods"}) * 2', "sum drops the label pod"),
        ('avg without (pod) (a{pod="$pods"})', "avg drops the label pod"),
        ('a{pod="$pods"}[5m]', "no number per series"),
        ('scalar(a{pod="$pods"})', "no number per series"),
        ("1 + 1", "no number per series"),
        ('"$pods"', "no number per series"),
        ('a{pod="$pods"} offset 5m', "offset"),
        ('rate(a{pod="$pods"}[5m] @ 1609746000)', "offset"),
        ('a{pod="$pods" or pod="b"}', "alternatives"),
        ('a{pod="x" or pod="$pods"}', "alternatives"),
        ('{__name__=~"a.*",pod="$pods"}', "names its metric once"),
        ('a{pod="$pods"} / b{instance="$pods"}', "one mark on two labels, instance and pod"),
        ("sum by (pod) (", "."),
        ("(" * 1900 + 'a{pod="$pods"}' + ")" * 1900, "nested deeper than"),
        ("-" * 1900 + 'a{pod="$pods"}', "nested deeper than"),
        ("+".join(['a{pod="$pods"}'] * 60), "nested deeper than"),
        ("(" * 30 + " + ".join(['a{pod="$pods"}'] * 1) + f'+ a{{x="{"y" * 4000}"}}' + ")" * 30, "once it is laid out"),
        ("(" * 3000 + 'a{pod="$pods"}' + ")" * 3000, "characters; at most"),
    ],
)
def test_what_could_not_be_filled_or_yields_no_number_per_pod_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Query.parse(text)


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@given(pods=_TEXTS, namespace=_TEXTS)
def test_no_name_of_a_pod_or_namespace_can_break_out_of_its_place(pods: str, namespace: str) -> None:
    query = Query.parse('sum by (pod) (rate(a{pod="$pods",ns="$namespace",x="y"}[1m])) / b{pod="$pods"}')
    try:
        filled = query.filled(pods, namespace)
    except ValueError:
        return  # not a regular expression at all
    first, second = selectors(filled)
    assert first == Selector("a", (Matcher("ns", "=", namespace), Matcher("pod", "=~", pods), Matcher("x", "=", "y")))
    assert second == Selector("b", (Matcher("pod", "=~", pods),))
