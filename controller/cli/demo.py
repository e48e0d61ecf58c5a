"""`nightferry demo` and `nightferry simulate`: the real controller against a simulated cluster in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.report import form_of, write_report

if TYPE_CHECKING:
    from controller.cli.stage import Stage
    from controller.simulation.story import StoryResult

Json = Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON and nothing else.")]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write the morning report of it: .html, .md or .json."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="The seed of all chance; the same one, the same run.")]


def demo(json: Json = False, seed: Seed = 1, report: Report = None) -> None:
    """Four releases in a minute: a healthy one, errors in batch two, a crash loop, Prometheus silent.

    The real controller decides; the cluster, its load and its clock are simulated. Exit code 0: each ended as it must.
    """
    from controller.simulation.stories import STORIES, run_story

    runs = [(story, _teller(run_story, story, seed)) for story in STORIES]
    _play(runs, json=json, report=report)


def simulate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="A policy file.")],
    scenario: Annotated[str, typer.Option("--scenario", metavar="FILE", help="A scenario text.")],
    seed: Seed = 1,
    json: Json = False,
    report: Report = None,
) -> None:
    """Run a policy of your own through a scenario. Exit code 0: it ended as the scenario expects, 1: it did not."""
    from controller.cli.ends import Refusal
    from controller.simulation.scenario import simulate
    from controller.simulation.script import ScenarioError, read_script
    from policies.load import load_paths

    documents, errors = load_paths([policy])
    if errors:
        raise Refusal(*map(str, errors))
    found = [document.policy for document in documents if document.policy is not None]
    if len(found) != 1:
        raise Refusal(f"{policy}: found {len(found)} policies; allowed: a file with one ReleasePolicy")
    try:
        text = Path(scenario).read_text(encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{scenario}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refusal(f"{scenario}: found bytes that are not UTF-8") from None

    def run(stage: Stage) -> StoryResult:
        return simulate(found[0], text, scenario, seed, stage.step)

    try:
        _play([(read_script(text, scenario).proves or Path(scenario).name, run)], json=json, report=report)
    except ScenarioError as error:
        raise Refusal(str(error)) from None


def _teller(run_story: Callable[..., StoryResult], story: str, seed: int) -> Callable[[Stage], StoryResult]:
    return lambda stage: run_story(story, stage.step, seed)


def _play(runs: Sequence[tuple[str, Callable[[Stage], StoryResult]]], *, json: bool, report: Path | None) -> None:
    """Runs the stories one after the other, tells them as they go, and ends the command."""
    if report is not None:
        form_of(report)  # refused before the stories take their time
    from controller.cli import ends
    from controller.cli.screen import warn
    from controller.cli.stage import Stage

    results: list[StoryResult] = []
    with Stage(len(runs), silent=json) as stage:
        for story, run in runs:
            stage.begin(story)
            result = run(stage)
            stage.end(result)
            results.append(result)
    if json:
        _print_json(results)
    else:
        stage.summary(results)
    if report is not None:
        _report(results, report)
    wrong = [result for result in results if not result.ok]
    for result in wrong:
        for problem in result.problems:
            warn(f"nightferry: {result.story}: {problem}")
    raise typer.Exit(ends.FAILED if wrong else ends.SUCCEEDED)


def _report(results: Sequence[StoryResult], file: Path) -> None:
    from controller.morning import journey, report_of

    releases = [release for result in results for release in result.releases]
    told = [journey(release) for release in releases]
    since = min(one.asked for one in told)
    until = max(one.ended if one.ended is not None else one.asked for one in told) + 1.0
    write_report(report_of(releases, since=since, until=until, made=until, title="A simulated night"), file)


def _print_json(results: Sequence[StoryResult]) -> None:
    import json

    told: list[dict[str, Any]] = [
        {
            "story": result.story,
            "outcome": result.outcome,
            "phases": [{"phase": str(phase), "minute": round(minute, 1)} for phase, minute in result.phases],
            "minutes": round(result.minutes, 1),
            "because": result.because,
        }
        for result in results
    ]
    print(json.dumps(told, indent=2, ensure_ascii=False))
