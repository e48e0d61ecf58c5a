"""What a legal policy hardly means is told with its place, and refuses nothing."""

import pytest

from policies.load import load_text
from policies.remarks import remarks
from tests.policies.builders import a_policy

POLICY = """\
apiVersion: nightferry.dev/v1alpha1
kind: ReleasePolicy
metadata: {name: checkout, namespace: shop}
spec:
  target: {deployment: checkout}
  strategy: {rolling: {}}
  gates:
    - name: errors
      errorRatio: {errors: 'http_requests_total{code=~"5.."}', requests: http_requests_total}
  alerts:
    - match: {service: checkout, severity: "page|warn"}
"""


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        ("page|warn", "write an alert for each value: 'page', 'warn'"),
        ("^(page|warn)$", "write an alert for each value: 'page', 'warn'"),
        ("^page$", "write 'page'"),
        ("^page", "write 'page'"),
        ("page$", "write 'page'"),
        (".*", "without the label any value of it counts"),
        ("^.+$", "without the label any value of it counts"),
        ("page.*|warn", "match another label, or give your rules one for this"),
    ],
)
def test_a_label_that_looks_like_a_pattern_is_told_with_what_to_write_instead(value: str, instead: str) -> None:
    policy = a_policy(alerts=[{"match": {"service": "checkout"}}, {"match": {"severity": value}}])
    ((path, message),) = remarks(policy)
    assert path == ("spec", "alerts", 1, "match", "severity")
    assert message.startswith(f"found '{value}', and a label must have exactly this value")
    assert message.endswith(f"; {instead}")


@pytest.mark.parametrize("value", ["page", "check-out_2.example", "5 * 3", "a^b$c", "(page)", "v1.2+3"])
def test_a_plain_value_is_no_pattern(value: str) -> None:
    assert list(remarks(a_policy(alerts=[{"match": {"severity": value}}]))) == []


def test_a_remark_stands_at_its_place_and_the_policy_is_good() -> None:
    (document,) = load_text(POLICY, "night.yaml")
    (remark,) = document.remarks
    assert str(remark).startswith("night.yaml:11:44: note: spec.alerts[0].match.severity: found 'page|warn'")
    assert document.policy is not None and document.policy.spec.alerts is not None
    assert not document.policy.spec.alerts[0].matches({"service": "checkout", "severity": "page"})
    assert load_text(POLICY.replace("page|warn", "page"))[0].remarks == ()
