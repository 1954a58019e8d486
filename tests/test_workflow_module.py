"""The workflow inside another project's, and what Snakemake's own report shows of it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow

EXPERIMENT = """\
title: An experiment of somebody's
backbones: [{backbone}]
clips: [{{dataset: world, first: 1, edits: [colour], frames: 2}}]
methods: [{{name: source}}, {{name: oracle}}]
metrics: [oracle_psnr@rgb]
"""
OUTER = f"""\
rule all:
    input: "mine.txt"

module crossframe:
    snakefile: "{ROOT}/Snakefile"

use rule * from crossframe

rule mine:
    input: rules.inner.input
    output: "mine.txt"
    shell: "wc -l {{input[0]}} > {{output}}"
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A call as another project's user makes it: nothing of ours in the environment."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nocolor", *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory, miniature_backbone: str) -> Path:
    """Another project, with an experiment and a rule of its own that needs its report."""
    folder = tmp_path_factory.mktemp("outer")
    (folder / "experiments").mkdir()
    text = EXPERIMENT.format(backbone=miniature_backbone)
    (folder / "experiments" / "inner.yaml").write_text(text)
    (folder / "Snakefile").write_text(OUTER)
    return folder


@pytest.fixture(scope="module")
def finished(outer: Path) -> Path:
    run = snakemake(outer)
    assert run.returncode == 0, run.stdout + run.stderr
    return outer


def test_a_dry_run_plans_the_outer_project_s_experiments(outer: Path) -> None:
    run = snakemake(outer, "--dry-run", "--quiet", "rules")
    told = run.stdout + run.stderr
    assert run.returncode == 0, told
    assert not (outer / "results" / "cells").exists()


def test_it_runs_in_the_outer_project_s_folder(finished: Path) -> None:
    assert (finished / "mine.txt").is_file()
    table = pd.read_parquet(finished / "results" / "inner.parquet")
    assert list(table["method"]) == ["source", "oracle"] and (table["status"] == "ok").all()
    assert (finished / "reports" / "inner" / "latest" / "report.html").is_file()
    assert "Nothing to be done" in (done := snakemake(finished, "--dry-run")).stdout + done.stderr


def test_a_target_of_nobody_s_is_the_outer_workflow_s_to_refuse(outer: Path) -> None:
    run = snakemake(outer, "--dry-run", "nothing-of-this-name")
    assert run.returncode == 1 and "MissingRuleException" in run.stdout + run.stderr


def test_snakemake_s_report_shows_page_tables_and_figures(finished: Path) -> None:
    run = snakemake(finished, "--report", "shown.zip")
    assert run.returncode == 0, run.stdout + run.stderr
    with zipfile.ZipFile(finished / "shown.zip") as archive:
        names = archive.namelist()
        texts = [archive.read(name).decode(errors="ignore") for name in names]
    pages = "".join(texts)
    for told in ("the whole report", "Tables", "Figures", "leaderboard", "one page that works"):
        assert told in pages, told
