"""A metric selector as a value: parsed from PromQL, narrowed by matchers, written back without pasting text."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

import promql_parser

from policies.model import parsed
from policies.values import Written

Op = Literal["=", "!=", "=~", "!~"]

# The parser recurses: about 20,000 nested parentheses end the whole process, so the length is bounded first.
LONGEST = 4096

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_OPS: dict[str, Op] = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}
# Words of the language that some versions of Prometheus do not take as a bare metric name.
_KEYWORDS = frozenset({
    "anchored", "and", "atan2", "avg", "bool", "bottomk", "by", "count", "count_values", "end", "fill",
    "fill_left", "fill_right", "group", "group_left", "group_right", "ignoring", "inf", "limit_ratio", "limitk",
    "max", "min", "nan", "offset", "on", "or", "quantile", "range", "smoothed", "start", "stddev", "stdvar",
    "step", "sum", "topk", "unless", "without",
})  # fmt: skip
_ALLOWED = 'a plain selector with a metric name, such as http_requests_total{code=~"5.."}'


def regex_quoted(text: str) -> str:
    """`text` as a pattern that matches exactly this text in the RE2 dialect of Prometheus."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _quoted(text: str) -> str:
    """`text` as a double-quoted PromQL string; whatever is not printable is escaped, so that logs stay one line."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return f'"{"".join(out)}"'


@dataclass(frozen=True, slots=True, order=True)
class Matcher:
    """One condition on a label. Raises `ValueError` for an empty label, an unknown operator or a broken character."""

    label: str
    op: Op
    value: str

    def __post_init__(self) -> None:
        if not self.label or self.label == "__name__":
            raise ValueError(f"a matcher needs the name of a label other than __name__, not {self.label!r}")
        if self.op not in get_args(Op):
            raise ValueError(f"unknown match operator {self.op!r}; allowed: {', '.join(get_args(Op))}")
        for text in (self.label, self.value):
            if any("\ud800" <= char <= "\udfff" for char in text):
                raise ValueError("half of a surrogate pair is not a character")

    def text(self) -> str:
        label = self.label if _LABEL.fullmatch(self.label) else _quoted(self.label)
        return f"{label}{self.op}{_quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Selector(Written):
    """A plain vector selector: one metric name and matchers, kept sorted and without repetition."""

    metric: str
    matchers: tuple[Matcher, ...] = ()

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": LONGEST}

    def __post_init__(self) -> None:
        if not self.metric or any("\ud800" <= char <= "\udfff" for char in self.metric):
            raise ValueError("a selector needs a metric name")
        object.__setattr__(self, "matchers", tuple(sorted(set(self.matchers))))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The selector of a PromQL text. Raises `ValueError` saying what the text is instead."""
        if len(text) > LONGEST:
            raise ValueError(f"a selector of {len(text)} characters; at most {LONGEST}")
        # The parser is native code: its errors are ValueError, whatever the text.
        expression = promql_parser.parse(text)
        if not isinstance(expression, promql_parser.VectorSelector):
            raise ValueError(f"{_kind(expression)} is not a plain selector")
        if expression.offset is not None or expression.at is not None:
            raise ValueError("a selector with offset or @ is not a plain selector")
        plain = selector_of(expression)
        return cls(plain.metric, plain.matchers)

    def with_matchers(self, *matchers: Matcher) -> Self:
        """The same selector, narrowed by more conditions."""
        return type(self)(self.metric, (*self.matchers, *matchers))

    def matches_on(self, label: str) -> bool:
        return any(matcher.label == label for matcher in self.matchers)

    def text(self) -> str:
        """Canonical PromQL: `Selector.parse(s.text()) == s`."""
        bare = _METRIC.fullmatch(self.metric) and self.metric.lower() not in _KEYWORDS
        inside = [] if bare else [f"__name__={_quoted(self.metric)}"]
        inside += [matcher.text() for matcher in self.matchers]
        name = self.metric if bare else ""
        return f"{name}{{{','.join(inside)}}}" if inside else name

    @classmethod
    def read(cls, raw: object) -> Self:
        return parsed(raw, cls.parse, _ALLOWED)

    def written(self) -> str:
        return self.text()


def selector_of(node: promql_parser.VectorSelector) -> Selector:
    """The selector at a node of a syntax tree, without its offset and @. Raises `ValueError` for alternatives."""
    if node.matchers.or_matchers:
        raise ValueError("a selector with alternatives (or) is not a plain selector")
    metric, matchers = node.name, []
    for matcher in node.matchers.matchers:
        op = _OPS[str(matcher.op)]
        if matcher.name != "__name__":
            matchers.append(Matcher(matcher.name, op, matcher.value))
        elif op == "=" and metric is None and matcher.value:
            metric = matcher.value
        else:
            raise ValueError("a selector names its metric once, not by a pattern")
    if metric is None:
        raise ValueError("a selector without a metric name")
    return Selector(metric, tuple(matchers))


def _kind(expression: object) -> str:
    """What a parsed expression is, in the words of the Prometheus documentation."""
    names = {
        "MatrixSelector": "a range such as [5m]",
        "SubqueryExpr": "a subquery",
        "Call": "a function call",
        "AggregateExpr": "an aggregation",
        "BinaryExpr": "an operation on two expressions",
        "UnaryExpr": "a sign before an expression",
        "ParenExpr": "an expression in parentheses",
        "NumberLiteral": "a number",
        "StringLiteral": "a string",
    }
    return names.get(type(expression).__name__, "this expression")
