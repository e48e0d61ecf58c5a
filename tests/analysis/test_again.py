"""A question that is asked again is answered as it would be anew: as time goes by, at any change, for every kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.comparisons import COMPARISONS
from analysis.comparisons.again import compared
from analysis.question import ComparisonInput
from analysis.samples import Groups
from analysis.verdict import Evidence
from tests.analysis.builders import START, WINDOW, a_fleet, instant

WINDOWS = 6
QUESTIONS = {
    "errorRatio": a_fleet().lasting(WINDOWS).question(),
    "latency": a_fleet().lasting(WINDOWS).latency_question(),
    "throughput": a_fleet().lasting(WINDOWS).throughput_question(),
    "gauge": a_fleet().lasting(WINDOWS).gauge_question(),
}


def until(question: ComparisonInput, *settled: tuple[float, float]) -> ComparisonInput:
    return replace(question, frame=replace(question.frame, settled=settled))


@pytest.mark.parametrize("kind", COMPARISONS)
def test_as_time_goes_by_it_says_what_it_would_say_anew(kind: str) -> None:
    """Through windows that become complete and samples that grow stale, with a time between that was not settled."""
    said: list[Evidence] = []
    for second in range(0, int(WINDOW * (WINDOWS + 8)), 5):
        now = instant(1) + float(second)
        for spans in (((START, now),), ((START, instant(2) + 7.0), (instant(3) + 4.0, now))):
            question = until(QUESTIONS[kind], *(span for span in spans if span[1] > span[0]))
            found, anew = compared(kind, question), COMPARISONS[kind](question)
            assert found == anew, f"after {second} s"
            assert found.to_dict() == anew.to_dict()
            windows = anew.windows
            if windows is None:
                assert found.windows is None
            else:
                assert found.windows is not None
                assert found.windows.begun.tolist() == windows.begun.tolist()
            said.append(found)
    assert len({each.verdict for each in said}) > 1  # it did matter
    assert len({id(each) for each in said}) <= len(said) / 2


@pytest.mark.parametrize("kind", COMPARISONS)
def test_whatever_changes_is_another_question(kind: str) -> None:
    question = QUESTIONS[kind]
    frame, groups = question.frame, question.frame.groups
    term, series = next(iter(question.terms.items()))
    grown = replace(series[0], values=tuple(value + 1.0 for value in series[0].values))
    others = [
        replace(question, terms={**question.terms, term: (grown, *series[1:])}),
        replace(question, terms={**question.terms, term: series[1:]}),
        replace(question, settings=replace(question.settings, alpha=0.02)),
        *(
            replace(question, frame=replace(frame, groups=each))
            for each in (
                replace(groups, restarts={groups.contender[0]: (instant(3),)}),
                replace(groups, born={groups.contender[0]: instant(3)}),
                replace(groups, reporting=()),
                replace(groups, incumbent_serving=False),
                Groups(groups.incumbent[:1], groups.contender + groups.incumbent[1:]),
            )
        ),
    ]
    first = compared(kind, question)
    assert compared(kind, question) is first
    for other in others:
        found = compared(kind, other)
        assert found is not first
        assert found == COMPARISONS[kind](other)
