"""The workflow from a file to a report, and what it does when nothing or something has changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow

EXPERIMENT = """\
title: Smallest sweep
description: Two edits of one clip.
backbones: [{backbone}]
clips:
  - dataset: world
    first: 1
    edits: [colour, shape]
    frames: 3
methods:
  - name: source
  - name: oracle
  - name: sdedit
    setting: {{n_timesteps: 2, strength: 1.0}}
seeds: [0]
metrics: [psnr@source]
allow_failures: true
"""


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A call in a folder that holds experiments/ and takes everything else from the project."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "profiles" / "default"), "--cores", "1"),
        *("--nocolor", *arguments),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, miniature_backbone: str) -> Path:
    """A folder in which the experiment has run."""
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "experiments").mkdir()
    text = EXPERIMENT.format(backbone=miniature_backbone)
    (folder / "experiments" / "smallest-sweep.yaml").write_text(text)
    prepared = folder / "data" / "prepared" / "world" / "index.json"
    prepared.parent.mkdir(parents=True)
    prepared.write_text("{}")  # stands for the prepared dataset, which the project's own code reads
    run = snakemake(folder, "smallest-sweep")
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def nothing_to_do(folder: Path, *arguments: str) -> bool:
    run = snakemake(folder, "--dry-run", *arguments, "--", "smallest-sweep")
    assert run.returncode == 0, run.stdout + run.stderr
    return "Nothing to be done" in run.stdout + run.stderr


def test_one_call_leads_to_table_and_report(finished: Path) -> None:
    table = pd.read_parquet(finished / "results" / "smallest-sweep.parquet")
    assert list(table["method"]) == ["source"] * 2 + ["oracle"] * 2 + ["sdedit"] * 2
    assert (table.loc[table["method"] != "sdedit", "status"] == "ok").all()
    assert table["strength"].dropna().tolist() == [1.0, 1.0]
    assert (finished / "reports" / "smallest-sweep" / "latest" / "report.html").is_file()


def test_a_second_call_does_nothing(finished: Path) -> None:
    assert nothing_to_do(finished)


def test_the_number_of_cores_does_not_decide(finished: Path) -> None:
    assert nothing_to_do(finished, "--cores", "3")


def test_timestamps_do_not_decide(finished: Path) -> None:
    for path in finished.rglob("*"):
        if path.is_file():
            path.touch()
    assert nothing_to_do(finished)


def test_a_copy_without_snakemake_s_memory_has_nothing_to_do(
    finished: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns(".snakemake"), symlinks=True)
    assert nothing_to_do(copy)


def test_an_altered_cell_is_run_again(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns(".snakemake"), symlinks=True)
    cell = pd.read_parquet(copy / "results" / "smallest-sweep.parquet")["cell"].iloc[0]
    frames = copy / "results" / "cells" / cell / "frames.npz"
    good = frames.read_bytes()
    frames.write_bytes(good[:-100])
    assert not nothing_to_do(copy)
    # As on a machine with two GPUs; the cell is a control's and needs none.
    run = snakemake(copy, "--config", "devices=left,right", "--", "smallest-sweep")
    assert run.returncode == 0, run.stdout + run.stderr
    assert 'Resource("gpu", 2)' in run.stdout + run.stderr  # at most two shards at a time
    assert "gpu=0" in run.stdout + run.stderr
    assert frames.read_bytes() == good
    assert nothing_to_do(copy)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("smalest-sweep", "Did you mean 'smallest-sweep'?"),
        ("wrong", "experiments/wrong.yaml:1: backbones: required"),
        ("broken", "not valid YAML"),
    ],
)
def test_wrong_input_ends_before_any_job(
    target: str, said: str, miniature_backbone: str, tmp_path: Path
) -> None:
    (tmp_path / "experiments").mkdir()
    text = EXPERIMENT.format(backbone=miniature_backbone)
    (tmp_path / "experiments" / "smallest-sweep.yaml").write_text(text)
    wrong = "\n".join(line for line in text.splitlines() if not line.startswith("backbones"))
    (tmp_path / "experiments" / "wrong.yaml").write_text(wrong)
    (tmp_path / "experiments" / "broken.yaml").write_text("title: [\n")
    run = snakemake(tmp_path, target)
    assert run.returncode == 2
    assert said in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"experiments", ".snakemake"}


def test_data_comes_before_shards_and_shards_before_scores(finished: Path, tmp_path: Path) -> None:
    """Or with many threads to ask for it would wait while every free core goes to a shard."""
    shutil.copytree(finished / "experiments", tmp_path / "experiments")
    index = "data/prepared/world/index.json"
    run = snakemake(tmp_path, "--dry-run", "--", "smallest-sweep", index)
    assert run.returncode == 0, run.stdout + run.stderr
    jobs = re.findall(r"^rule (\w+):\n((?: .*\n)+)", run.stdout + run.stderr, re.MULTILINE)
    said = {rule: re.search(r"priority: (\d+)", about) for rule, about in jobs}
    priorities = {rule: int(found[1]) if found else 0 for rule, found in said.items()}
    assert priorities["prepare"] > priorities["shard"] > priorities["score"]


def test_a_call_without_target_lists_the_experiments(finished: Path) -> None:
    run = snakemake(finished)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "smallest-sweep" in run.stdout


def test_workflow_is_linted_and_formatted() -> None:
    lint = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    formatted = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "experiments/rules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stderr
