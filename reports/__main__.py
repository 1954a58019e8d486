"""``python -m reports render <experiment>``: write a report and print its path."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.errors import UserError
from experiments.atomic import told_if_full
from reports.render import render

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Command line entry; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("render", help="write the report of an experiment's results")
    command.add_argument("experiment", help="the name of a YAML in experiments/")
    command.add_argument("--root", type=Path, default=ROOT, help="folder with results/, reports/")
    given = parser.parse_args(arguments)
    try:
        with told_if_full(given.root / "reports" / given.experiment):
            folder = render(given.experiment, given.root)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page = folder.resolve() / "report.html"
    print(page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
