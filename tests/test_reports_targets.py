"""`snakemake tables` and `snakemake compare`, in a folder with results and reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.provenance import gather
from reports.render import read
from reports.version import identify
from reports.write_tables import cells_csv
from tests.report_fixture import FixtureCatalogue, fabricate
from tests.test_workflow import snakemake

pytestmark = pytest.mark.slow
CATALOGUE = FixtureCatalogue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one experiment and two reports, of which the second has a worse PSNR."""
    root = tmp_path_factory.mktemp("targets")
    fabricate(root, clips=5, seeds=1, frames=2, pictures=False, failures=False)
    results = read("made", root, CATALOGUE)
    told = json.dumps(gather(results, CATALOGUE, identify(root, results)))
    for name, loss in (("first", 0.0), ("second", 3.0)):
        report = root / "reports" / "made" / name
        report.mkdir(parents=True)
        results.table["clip_text@world-tiny"] -= loss
        (report / "cells.csv").write_text(cells_csv(results))
        (report / "provenance.json").write_text(told)
    return root


def test_tables_are_made_again_from_results(folder: Path) -> None:
    run = snakemake(folder, "tables")
    assert run.returncode == 0, run.stdout + run.stderr
    names = {path.name for path in (folder / "reports" / "made" / "tables").iterdir()}
    assert {"leaderboard.tex", "leaderboard.md", "cost.csv", "cost.html", "cells.csv"} <= names


def test_compare_ends_in_an_error_for_a_regression(folder: Path) -> None:
    run = snakemake(folder, "compare", "--config", "first=made/first", "second=made/second")
    assert run.returncode != 0
    assert "| pnp[pnp_f_t=0.8] | clip_text@world-tiny |" in run.stdout
    assert "**regressed**" in run.stdout
