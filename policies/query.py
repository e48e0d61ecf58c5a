"""A PromQL query as a value: the place of the pods is a matcher of its syntax tree, replaced there and nowhere else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import promql_parser

from policies.model import parsed
from policies.selector import LONGEST, Matcher, Selector, selector_of
from policies.values import Written

PODS = "$pods"
NAMESPACE = "$namespace"
_DEEPEST = 32
_ALLOWED = 'a PromQL query with the matcher pod="$pods", such as go_goroutines{pod="$pods"}'


@dataclass(frozen=True, slots=True)
class Query(Written):
    """A query that yields one number per pod; `text` is canonical PromQL with the marks in it.

    `pod` is the label of the matchers `="$pods"`; `namespace` that of the matchers `="$namespace"`, or None. Both
    stand in selectors only, as whole values.
    """

    text: str
    pod: str
    namespace: str | None = None

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": LONGEST}

    @classmethod
    def parse(cls, text: str) -> Self:
        """The query of a PromQL text. Raises `ValueError` saying what is wrong with it."""
        if len(text) > LONGEST:
            raise ValueError(f"a query of {len(text)} characters; at most {LONGEST}")
        # The parser is native code: its errors are ValueError, whatever the text.
        expression = promql_parser.parse(text)
        if _is_deeper(expression, _DEEPEST):
            raise ValueError(f"expressions nested deeper than {_DEEPEST}")
        if not _is_vector(expression):
            raise ValueError("it yields no number per series; a range needs a function such as avg_over_time")
        marks: dict[str, set[str]] = {PODS: set(), NAMESPACE: set()}
        for selector in _selectors(expression):
            _collect(selector, marks)
        pods, namespaces = sorted(marks[PODS]), sorted(marks[NAMESPACE])
        if not pods:
            raise ValueError('no selector has the matcher pod="$pods"')
        for labels in (pods, namespaces):
            if len(labels) > 1:
                raise ValueError(f"one mark on two labels, {' and '.join(labels)}")
        if lost := _loses(expression, pods[0]):
            raise ValueError(f"{lost} drops the label {pods[0]}: one series per pod is needed, as in sum by (pod)")
        written = _canonical(expression)
        if len(written) > LONGEST:
            raise ValueError(f"a query of {len(written)} characters once it is laid out; at most {LONGEST}")
        return cls(written, pods[0], namespaces[0] if namespaces else None)

    def filled(self, pods: str, namespace: str) -> str:
        """The PromQL to send: `pods` is a regular expression for the whole name of a pod, `namespace` a text."""

        def narrowed(node: promql_parser.Expr) -> promql_parser.Expr | None:
            if not isinstance(node, promql_parser.VectorSelector) or not _marked(node):
                return None
            written = selector_of(node)
            matchers = tuple(_replaced(matcher, pods, namespace) for matcher in written.matchers)
            return promql_parser.parse(Selector(written.metric, matchers).text())

        return _canonical(promql_parser.transform(promql_parser.parse(self.text), post_visit=narrowed))

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics of pods that it reads, sorted."""
        selectors = (each for each in _selectors(promql_parser.parse(self.text)) if _marked(each))
        return tuple(sorted({selector_of(each).metric for each in selectors}))

    @classmethod
    def read(cls, raw: object) -> Self:
        return parsed(raw, cls.parse, _ALLOWED)

    def written(self) -> str:
        return self.text


def _replaced(matcher: Matcher, pods: str, namespace: str) -> Matcher:
    if matcher.op == "=" and matcher.value == PODS:
        return Matcher(matcher.label, "=~", pods)
    if matcher.op == "=" and matcher.value == NAMESPACE:
        return Matcher(matcher.label, "=", namespace)
    return matcher


def _is_deeper(expression: Any, most: int) -> bool:
    """Whether expressions lie inside each other deeper than `most`: the parser's own walk takes the cube of it."""
    if most <= 0:
        return True
    match expression:
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            return _is_deeper(expression.expr, most - 1)
        case promql_parser.AggregateExpr():
            return _is_deeper(expression.expr, most - 1) or _is_deeper(expression.param, most - 1)
        case promql_parser.BinaryExpr():
            return _is_deeper(expression.lhs, most - 1) or _is_deeper(expression.rhs, most - 1)
        case promql_parser.Call():
            return any(_is_deeper(each, most - 1) for each in expression.args)
        case _:
            return False


def _canonical(expression: Any) -> str:
    return str(expression.prettify()).strip()


def _selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(expression, post_visit=visit)
    return iter(found)


def _collect(selector: promql_parser.VectorSelector, marks: dict[str, set[str]]) -> None:
    """Notes the labels of the marks; refuses a mark that could not be replaced where it stands."""
    found = _marked(selector)
    if not found:
        return
    if selector.offset is not None or selector.at is not None:
        raise ValueError("a selector of pods with offset or @: a contender has no past to compare with")
    selector_of(selector)  # refuses alternatives, and a metric that is not named
    for each in found:
        if each.value not in marks or str(each.op) != "MatchOp.Equal":
            raise ValueError(f'{each.value} in a matcher of {each.name}; allowed: {each.name}="$pods"')
        marks[each.value].add(each.name)


def _marked(selector: promql_parser.VectorSelector) -> list[promql_parser.Matcher]:
    """The matchers whose value has a mark in it, at the right place or not."""
    matchers = [*selector.matchers.matchers, *(each for many in selector.matchers.or_matchers for each in many)]
    return [each for each in matchers if re.search(r"\$(pods|namespace)\b", each.value)]


def _is_vector(expression: Any) -> bool:
    match expression:
        case promql_parser.VectorSelector() | promql_parser.AggregateExpr():
            return True
        case promql_parser.Call():
            return str(expression.func.return_type) == "ValueType.Vector"
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return _is_vector(expression.expr)
        case promql_parser.BinaryExpr():
            return _is_vector(expression.lhs) or _is_vector(expression.rhs)
        case _:
            return False


def _loses(expression: Any, label: str) -> str:
    """The outermost aggregation that drops a label, or nothing; what a join keeps is seen in the answer only."""
    match expression:
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return _loses(expression.expr, label)
        case promql_parser.BinaryExpr():
            sides = [side for side in (expression.lhs, expression.rhs) if _is_vector(side)]
            return _loses(sides[0], label) if len(sides) == 1 else ""
        case promql_parser.AggregateExpr():
            modifier, name = expression.modifier, str(expression.op)
            if name in _KEEPS_LABELS:
                return ""
            by = modifier is not None and str(modifier.type) == "AggModifierType.By"
            kept = modifier is not None and ((label in modifier.labels) == by)
            return "" if kept else name
        case _:
            return ""


_KEEPS_LABELS = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
