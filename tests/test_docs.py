"""What the documents show is run: the policy, the mistake, the scenario, the diagram, the links and the targets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from controller.configuration import configuration_from_text
from controller.outside.wording import MARKS
from controller.report.alerting import OUTCOMES, POSTS
from controller.simulation.scenario import simulate
from controller.transitions import mermaid
from policies.alerts import OnAlert
from policies.load import PolicyRefused, load_text
from policies.notify import USUAL, Event, NotifyRoute

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a page in this language ("" for none)."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [body for name, body in fenced if name == language]


def test_the_policy_of_the_readme_is_the_shipped_example() -> None:
    shown = load_text(blocks(README, "yaml")[0])[0].policy
    shipped = load_text((ROOT / "policies/examples/quickstart.yaml").read_text())[0].policy
    assert shown == shipped


def test_the_mistake_of_the_readme_is_told_in_those_words() -> None:
    line = next(line for line in README.splitlines() if line.startswith("policy.yaml:"))
    wrong = blocks(README, "yaml")[0].replace("batches", "batchs")
    with pytest.raises(PolicyRefused) as refused:
        load_text(wrong, "policy.yaml")
    assert [str(error) for error in refused.value.errors] == [line]


def test_the_scenario_of_the_readme_turns_back_before_batch_three() -> None:
    block = next(block for block in blocks(README, "") if "night.txt" in block)
    text = "\n".join(line for line in block.splitlines() if line and not line.startswith("$"))
    policy = load_text(blocks(README, "yaml")[0])[0].policy
    assert policy is not None
    story = simulate(policy, text, "night.txt", seed=1)
    assert story.outcome == "RolledBack"
    assert "Batch 3" not in [phase for phase, _ in story.phases]


def test_the_diagram_of_the_architecture_page_is_drawn_from_the_table() -> None:
    assert mermaid() in (ROOT / "docs/architecture.md").read_text()


def test_the_writes_of_the_strategies_page_are_those_of_the_golden_plans() -> None:
    page = (ROOT / "docs/strategies.md").read_text()
    shown = re.findall(r"^Writes of `([\w-]+)`:\n\n```\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(shown) >= 6
    for name, block in shown:
        plan = next((ROOT / "tests/golden/plans").glob(f"{name}.*"))
        lines = plan.read_text().splitlines()
        told = "".join(f"{json.loads(line)['what'] if plan.suffix == '.jsonl' else line}\n" for line in lines)
        told = re.sub(r"version [0-9a-f]{12}", "version VERSION", told)
        assert block == re.sub(r"(pod-template-hash[= ])\w+", r"\1HASH", told), name


def stories() -> dict[str, list[str]]:
    """The stories on a real API server by file, each in the words of its name."""
    return {
        file.stem: [name.replace("_", " ") for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)]
        for file in (ROOT / "tests/cluster/stories").glob("test_*.py")
    }


def table(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_tick_of_the_readme_names_a_story_that_runs() -> None:
    told, ticks = stories(), 0
    for _, here, tick, story in table(README, "| the origin's system |"):
        if tick != "✓":
            assert story == "", here
            continue
        ticks += 1
        named = re.fullmatch(r"`(test_\w+)`: ([a-z0-9 ]+)", story)
        assert named, story
        assert [one for one in told[named[1]] if one.startswith(named[2])], story
        text = (ROOT / f"tests/cluster/stories/{named[1]}.py").read_text()
        assert not re.search(r"(pytest|mark)\.(\w*skip|skip\w*)", text), named[1]
    assert ticks >= 12
    # They run wherever all of this project is tested.
    assert "make test" in (ROOT / ".ci/run").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert "$(REAL)" in re.findall(r"^test:.*?\n\n", makefile, re.DOTALL | re.MULTILINE)[0]
    assert re.search(r"^REAL := .* -m cluster tests/cluster ", makefile, re.MULTILINE)


def test_each_story_of_the_strategies_page_is_about_its_strategy_or_router() -> None:
    routers = (ROOT / "tests/cluster/stories/routers.py").read_text()
    rows = table((ROOT / "docs/strategies.md").read_text(), "| on a real API server |")
    assert len(rows) == 7
    for name, *cells in rows:
        for cell in cells:
            for file in re.findall(r"`(test_\w+)`", cell):
                text = (ROOT / f"tests/cluster/stories/{file}.py").read_text()
                assert name.strip("`") in (text + routers if "ROUTERS" in text else text), f"{name}: {file}"
        assert all(cells), name


def test_the_notifiers_that_are_shown_are_legal_and_every_event_and_mark_is_named() -> None:
    page = (ROOT / "docs/notifications.md").read_text()
    policy, configuration = blocks(page, "yaml")
    routes = [NotifyRoute.model_validate(route) for route in yaml.safe_load(policy)["spec"]["notify"]]
    found = configuration_from_text(configuration).notifiers
    assert {route.notifier for route in routes} <= {one.key for one in found}
    events = re.findall(r"^\| `(\w+)` \| .* \| (yes)? ?\|$", page, re.MULTILINE)
    assert [event for event, _ in events] == list(get_args(Event))
    assert [event for event, usual in events if usual] == list(USUAL)
    assert {f"`${mark}`" for mark in MARKS} <= set(re.findall(r"`\$\w+`", page))


def test_the_glossary_has_each_word_once() -> None:
    words = re.findall(r"^\| ([A-Z][\w ,]*) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) > 40
    assert sorted(set(words)) == sorted(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_every_path_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name} shows make {target}"


def test_every_command_that_is_shown_exists() -> None:
    told = subprocess.run([sys.executable, "-m", "controller", "--help"], capture_output=True, text=True, check=True)
    for page in PAGES:
        for verb in re.findall(r"nightferry ([a-z]+)(?=[ `\n])", page.read_text()):
            assert re.search(rf"^\W*{verb}\b", told.stdout, re.MULTILINE), f"{page.name} shows nightferry {verb}"


def test_no_document_names_a_machine_or_a_registry_host() -> None:
    for page in PAGES:
        assert not re.search(r"/work/|/tmp/|/root/|pypi\.org|proxy\.golang|registry\.npmjs", page.read_text()), (
            page.name
        )


def test_the_train_of_the_nights_page_is_legal_and_its_cars_leave_as_the_page_says() -> None:
    page = (ROOT / "docs/nights.md").read_text()
    shown = next(block for block in blocks(page, "yaml") if "kind: ReleaseTrain" in block)
    assert load_text(shown)[0].train is not None
    told = re.search(r"scenario\s+\[[\w-]+\]\(\.\./([^)]+)\)\s+the\s+order\s+is\s+(.+?)\.\n", page, re.DOTALL)
    assert told is not None
    cars = re.findall(r"`([\w-]+)`", told[2])
    assert f"left {', '.join(f'{car}-v2' for car in cars)}" in (ROOT / told[1]).read_text().splitlines()


def test_the_alerts_that_are_shown_are_legal_and_every_answer_and_count_is_named() -> None:
    page = (ROOT / "docs/alerts.md").read_text()
    policy, configuration = blocks(page, "yaml")
    shown = yaml.safe_load(policy)["spec"]
    assert [OnAlert.model_validate(each).then for each in shown["alerts"]] == ["rollBack", "pause"]
    found = configuration_from_text(configuration)
    assert (found.alerts.watchdog, found.alerts.listen) == ((("alertname", "Watchdog"),), ("0.0.0.0", 8081))
    assert found.settings.hears
    (posts,) = re.findall(r"requests to the listener: ([a-z, ]+) \|", page)
    assert set(posts.split(", ")) == set(POSTS)
    assert all(f" {word}" in page for word in OUTCOMES)
