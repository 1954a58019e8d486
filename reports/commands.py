"""The commands of ``python -m reports``; each returns an exit status."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from data.errors import UserError
from data.files import write_text
from reports import compare as comparing
from reports import render as rendering
from reports.cards import Catalogue
from reports.compare_text import to_text
from reports.leaderboards import all_tables
from reports.sides import read_side
from reports.study import export_study
from reports.study_results import agreement, read_answers, win_rates
from reports.study_results import to_text as study_text
from reports.version import appearing
from reports.write_tables import cells_csv, write_tables


def render(given: Namespace, catalogue: Catalogue) -> int:
    """Write a report and print its path."""
    folder = rendering.render(given.experiment, given.root, catalogue)
    print(_near(folder.resolve() / "report.html"))
    return 0


def tables(given: Namespace, catalogue: Catalogue) -> int:
    """Write ``reports/<experiment>/tables/`` from results, equal bytes for equal results."""
    names = given.experiments or _with_results(given.root)
    for name in names:
        results = rendering.read(name, given.root, catalogue)
        folder = given.root / "reports" / name / "tables"
        made = all_tables(results, catalogue)
        with appearing(folder) as scratch:
            write_tables(scratch, made)
            (scratch / "cells.csv").write_text(cells_csv(results), encoding="utf-8")
        print(f"{name}: {len(made)} tables in {_near(folder.resolve())}")
    return 0


def compare(given: Namespace, catalogue: Catalogue) -> int:
    """Say what changed between two reports; 1 where a metric regressed beyond its margin."""
    a, b = (read_side(name, given.root) for name in (given.a, given.b))
    changes = comparing.compare(a, b, catalogue)
    print(to_text(changes, a, b))
    return comparing.exit_status(changes)


def verify(given: Namespace, catalogue: Catalogue) -> int:
    """Recompute cells of a report and say of each whether it matches; 1 where one does not."""
    from experiments.catalogue import project_catalogue
    from reports.verify import verify as checked

    if given.cells < 0:
        raise UserError(f"--cells {given.cells}: how many cells to recompute, 0 or more.")
    checks = checked(given.report, given.root, given.cells, project_catalogue())
    for check in checks:
        print(f"{'matches' if check.matches else 'DIFFERS'}  {check.name}: {check.told}")
    wrong = sum(not check.matches for check in checks)
    print(f"{len(checks) - wrong} of {len(checks)} match")
    return int(wrong > 0)


def study(given: Namespace, catalogue: Catalogue) -> int:
    """Write ``reports/<experiment>/study/``."""
    results = rendering.read(given.experiment, given.root, catalogue)
    folder = given.root / "reports" / given.experiment / "study"
    if (folder / "key.json").is_file():
        raise UserError(
            f"{folder} holds a study already, and its key is needed to read the answers. Move it "
            "away first."
        )
    count = export_study(results, catalogue, given.rows, given.pairs, folder)
    print(f"{count} pairs: send {_near(folder.resolve() / 'index.html')}, keep key.json")
    return 0


def export(given: Namespace, catalogue: Catalogue) -> int:
    """Write ``reports/<experiment>/export/huggingface/`` or ``leaderboard.json``."""
    from reports.hub import write_dataset
    from reports.leaderboard_json import leaderboard_json

    results = rendering.read(given.experiment, given.root, catalogue)
    folder = given.root / "reports" / given.experiment / "export"
    if given.to == "huggingface":
        with appearing(folder / given.to) as scratch:
            count = write_dataset(results, catalogue, scratch)
        print(f"{count} rows: datasets.load_dataset('{_near((folder / given.to).resolve())}')")
        return 0
    text = json.dumps(leaderboard_json(results, catalogue), indent=1, ensure_ascii=False)
    write_text(folder / "leaderboard.json", text + "\n")
    print(_near((folder / "leaderboard.json").resolve()))
    return 0


def answers(given: Namespace, catalogue: Catalogue) -> int:
    """Say who won how often, and how far raters agree."""
    found = read_answers(given.study, given.files)
    print(study_text(win_rates(found), agreement(found), found["rater"].nunique()))
    return 0


def _with_results(root: Path) -> list[str]:
    """The experiments that have a table of results."""
    found = sorted(
        path.stem
        for path in (root / "experiments").glob("*.yaml")
        if (root / "results" / f"{path.stem}.parquet").is_file()
    )
    if not found:
        raise UserError(
            f"no experiment has results in {root / 'results'} yet. Run `snakemake -j N "
            "<experiment>` first (N = number of cores)."
        )
    return found


def _near(path: Path) -> Path:
    """A path as seen from here, where it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
