"""``python -m reports``: render reports and tables from results, and compare them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.command_line import end
from data.errors import UserError
from experiments.atomic import told_if_full
from reports import commands
from reports.cards import Catalogue

ROOT = Path(__file__).resolve().parent.parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument(
        "--root", type=Path, default=ROOT, help="folder with experiments/, results/ and reports/"
    )
    verbs = parser.add_subparsers(dest="command", required=True, metavar="command")
    render = verbs.add_parser("render", parents=[everywhere], help="write an experiment's report")
    render.add_argument("experiment", help="the name of a YAML in experiments/")
    tables = verbs.add_parser("tables", parents=[everywhere], help="write tables, nothing else")
    tables.add_argument("experiments", nargs="*", help="default: all that have results")
    compare = verbs.add_parser(
        "compare", parents=[everywhere], help="what changed between two reports; 1 if for the worse"
    )
    for name in ("a", "b"):
        compare.add_argument(name, help="a report's folder, an experiment or a version")
    verify = verbs.add_parser(
        "verify", parents=[everywhere], help="recompute some of a report's cells; 1 if any differs"
    )
    verify.add_argument("report", help="a report's folder, an experiment or a version")
    verify.add_argument("--cells", type=int, default=3, help="how many (3)")
    study = verbs.add_parser(
        "study", parents=[everywhere], help="export blinded pairs for people to rate"
    )
    study.add_argument("experiment", help="the name of a YAML in experiments/")
    study.add_argument("--rows", nargs="*", default=[], help="labels; default: all that are ranked")
    study.add_argument("--pairs", type=int, default=60, help="how many pairs (60)")
    export = verbs.add_parser(
        "export", parents=[everywhere], help="results in others' formats, in reports/<name>/export"
    )
    export.add_argument("experiment", help="the name of a YAML in experiments/")
    export.add_argument("--to", choices=["huggingface", "leaderboard"], required=True)
    answers = verbs.add_parser("answers", help="win rates and agreement from filled files")
    answers.add_argument("study", type=Path, help="the study's folder, with its key.json")
    answers.add_argument("files", type=Path, nargs="+", help="the files that raters saved")
    return parser


def main(arguments: list[str] | None = None, catalogue: Catalogue | None = None) -> int:
    """Command line entry; returns the exit status, 2 for what a user can put right."""
    given = _parser().parse_args(arguments)
    catalogue = catalogue or Catalogue()
    try:
        with told_if_full(getattr(given, "root", ROOT) / "reports"):
            return getattr(commands, given.command)(given, catalogue)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    end(main)
