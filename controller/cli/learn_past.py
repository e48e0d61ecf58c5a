"""From the name of a policy to what its history teaches: the way that learn, plan and backtest share.

The policy comes from a file or from the cluster, the numbers from a metric store. Long work shows a bar on a terminal
and nothing without one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from analysis.learned import NotLearned
    from controller.cli.access import Access
    from controller.learning.gather import Gathered, Subject
    from controller.learning.learn import Taught
    from controller.metrics.settings import SourceSettings
    from policies.schema import ReleasePolicy

PolicyName = Annotated[
    str, typer.Argument(metavar="POLICY", help="The name of a policy, or a policy file with one policy in it.")
]
Policies = Annotated[
    Path | None,
    typer.Option("--policies", metavar="PATH", help="Policy files to find it in; default: the cluster's objects."),
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE.svg", help="Draw a picture into this file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

Told = Callable[[float, str], None]  # the share that is done, and what is done at the moment


@dataclass(frozen=True, slots=True)
class Question:
    """Whose history is asked for. access, releases, uid: of the cluster, where the policy is from there; now: epoch."""

    policy: ReleasePolicy
    namespace: str
    settings: SourceSettings
    subject: Subject
    now: float
    access: Access | None = None
    releases: Sequence[Mapping[str, Any]] = ()
    uid: str = ""


def question(
    name: str,
    policies: Path | None,
    prometheus: str | None,
    config: Path | None,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
) -> Question:
    """What a command asks, with the store opened and not asked yet. Raises Refusal."""
    from controller.cli.access import Access, legal_namespace
    from controller.cli.ends import Refusal
    from controller.cli.stores import home_namespace, source_named
    from controller.learning.gather import Subject
    from controller.loop import SystemClock
    from controller.metrics import KINDS
    from controller.settings import Source
    from policies.load import PolicyRefused, from_object

    access: Access | None = None
    releases: Sequence[Mapping[str, Any]] = ()
    uid = ""
    if policies is not None or _is_file(name):
        policy = _from_files(name, policies)
        given = legal_namespace(namespace) if namespace is not None else None
        where = given or policy.namespace or home_namespace(kubeconfig, context)
        clock = SystemClock()
    else:
        access = Access.open(namespace, kubeconfig, context)
        obj = access.policy(name)
        if obj is None:
            raise Refusal(f"no policy is named {name} in namespace {access.namespace}; --policies PATH reads files")
        try:
            policy = from_object(obj)
        except PolicyRefused as error:
            raise Refusal(*map(str, error.errors)) from None
        where, clock, uid = access.namespace, access.clock, str(obj["metadata"].get("uid", ""))
        releases = access.releases(name)
    settings = source_named(policy.spec.metrics.source, prometheus, config)
    store = KINDS[settings.kind].history(settings, clock)
    subject = Subject(policy, where, store, Source(scrape=settings.scrape, window=settings.window))
    return Question(policy, where, settings, subject, clock.now(), access, releases, uid)


def gathered(asked: Question, *, bands: bool = True) -> Gathered:
    """The history of a policy, with a bar. Raises Refusal when the store answers to no gate."""
    from controller.learning.gather import Progress, gather

    with bar("asking the metric store") as told:

        def step(progress: Progress) -> None:
            told(progress.done / max(progress.total, 1), progress.doing)

        found = gather(asked.subject, asked.now, releases=asked.releases, bands=bands, progress=step)
    troubles = [one.trouble for one in found.gates.values()]
    if troubles and all(one is not None and one.reason in _SILENT for one in troubles):
        from controller.cli.ends import Refusal

        raise Refusal(*dict.fromkeys(f"the metric store does not help: {one.detail}" for one in troubles if one))
    return found


_SILENT = frozenset({"Unreachable", "TimedOut", "QueryRefused"})


def studied(asked: Question, found: Gathered) -> Taught:
    """What a history teaches, with a bar that only turns."""
    from controller.learning.learn import learn

    with bar("replaying releases out of history"):
        return learn(found, asked.policy, asked.namespace, asked.now)


@contextlib.contextmanager
def bar(title: str) -> Iterator[Told]:
    """A progress bar on stderr for the length of a block; without a terminal there is none."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from controller.cli.screen import console

    screen = console(error=True)
    if not screen.is_terminal:
        yield lambda share, doing: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[doing]}"))
    with Progress(*columns, TimeElapsedColumn(), console=screen, transient=True) as progress:
        task = progress.add_task(title, total=None, doing="")

        def told(share: float, doing: str) -> None:
            progress.update(task, total=1.0, completed=min(max(share, 0.0), 1.0), doing=doing)

        yield told


def draw(picture: str, file: Path) -> None:
    """Writes a picture. Raises Refusal."""
    from controller.cli.ends import Refusal

    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"--plot {file}: {error.strerror}") from None


def may_draw(file: Path | None) -> None:
    """Refuses a picture that could not be written, before the long work and not after it. Raises Refusal."""
    from controller.cli.ends import Refusal

    if file is None:
        return
    if file.suffix != ".svg":
        raise Refusal(f"--plot {file}: allowed: a file name that ends in .svg")
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise Refusal(f"--plot {file}: no folder that can be written to")


def refuse_untaught(gates: Iterable[tuple[str, NotLearned | None]]) -> None:
    """Raises Refusal, a line for each gate and why, when not a single gate has learned. gates: by name."""
    from controller.cli.ends import Refusal

    told = tuple(gates)
    lines = [f"gate {name}: {why.reason}: {why.detail}" for name, why in told if why is not None]
    if len(lines) == len(told):
        raise Refusal(*lines)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or os.sep in name


def _from_files(name: str, policies: Path | None) -> ReleasePolicy:
    from controller.cli.ends import Refusal
    from policies.load import load_paths

    documents, errors = load_paths([policies if policies is not None else name])
    if errors:
        raise Refusal(*map(str, errors))
    found = [document.policy for document in documents if document.policy is not None]
    if policies is None:
        if len(found) != 1:
            raise Refusal(f"{name}: found {len(found)} policies; allowed: a file with one ReleasePolicy")
        return found[0]
    named = [policy for policy in found if policy.name == name]
    if len(named) != 1:
        known = ", ".join(sorted(policy.name for policy in found)) or "none"
        raise Refusal(f"{policies}: found {len(named)} policies named {name}; there: {known}")
    return named[0]
