"""Writes everything that is made from the schema, or says with --check which of it is stale."""

import argparse
import sys
from pathlib import Path

from policies.openapi import crds, editor_schema
from policies.reference import page
from policies.train import ReleaseTrain


def generated() -> dict[str, str]:
    """Path below the root of the source tree -> its text."""
    files = {f"manifests/crds/{name}": text for name, text in crds().items()}
    files["manifests/schema/releasepolicy.schema.json"] = editor_schema()
    files["manifests/schema/releasetrain.schema.json"] = editor_schema(ReleaseTrain)
    files["docs/policy-reference.md"] = page()
    return files


def stale(root: Path) -> list[str]:
    """The paths whose file is missing or differs from what the schema yields; files nobody makes any more too."""
    files = generated()
    wrong = [path for path, text in files.items() if not _same(root / path, text)]
    kept = {root / path for path in files}
    wrong += [str(file.relative_to(root)) for file in sorted((root / "manifests/crds").glob("*")) if file not in kept]
    return wrong


def _same(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m policies", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the stale files")
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent, help="the root of the source tree")
    options = parser.parse_args(arguments)
    wrong = stale(options.root)
    if options.check:
        for path in wrong:
            print(f"{path}: stale; run `python -m policies`")  # noqa: T201 - the answer of a command
        return 1 if wrong else 0
    for path, text in generated().items():
        file = options.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
