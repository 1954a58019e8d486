"""Sharing as people do it: Snakemake runs and shares, another clone pulls and has nothing to do."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from experiments.store import Store
from tests.test_workflow import EXPERIMENT, ROOT, nothing_to_do, snakemake
from tests.two_users import User, join, make_project

pytestmark = pytest.mark.slow
NAME = "smallest-sweep"
# Controls alone need no network, so what is tried here takes seconds.
CONTROLS = EXPERIMENT.partition("  - name: sdedit")[0] + "metrics: [psnr@source]\n"
MORE = CONTROLS.format(backbone="world-tiny")
TEXT = MORE.replace("  - name: oracle\n", "")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where the first user has run, shared and committed the experiment."""
    folder = tmp_path_factory.mktemp("two-users")
    (folder / "store").mkdir()
    first = make_project(folder, str(folder / "store"))
    (first.root / "experiments" / "toy.yaml").unlink()
    (first.root / "experiments" / f"{NAME}.yaml").write_text(TEXT)
    first.commit("The experiment")
    prepared = first.root / "data" / "prepared" / "world"
    prepared.mkdir(parents=True)
    (prepared / "index.json").write_text("{}")  # stands for the dataset, as in test_workflow
    for arguments in ((NAME,), ("share", "--config", f"experiment={NAME}")):
        run = snakemake(first.root, *arguments)
        assert run.returncode == 0, run.stdout + run.stderr
    assert "results/shared/smallest-sweep" in run.stdout  # what to commit
    first.commit("Share it")
    return folder


@pytest.fixture(scope="module")
def second(place: Path) -> User:
    """Another user, who has cloned and pulled."""
    user = join(place, "second")
    command = [sys.executable, "-m", "experiments", "--folder", str(user.root / "experiments")]
    command += ["--results", str(user.root / "results"), "pull"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "nothing is to be done" in run.stdout
    return user


def test_after_a_pull_nothing_is_to_be_done(second: User) -> None:
    assert nothing_to_do(second.root)
    assert (second.root / "data" / "prepared" / "world" / "index.json").read_text() == "{}"


def test_snakemake_s_own_report_works_at_once(second: User) -> None:
    run = snakemake(second.root, "--report", "shown.zip", "--", NAME)
    assert run.returncode == 0, run.stdout + run.stderr
    with zipfile.ZipFile(second.root / "shown.zip") as archive:
        page = archive.read("shown/report.html").decode()
    assert "the whole report" in page and "leaderboard" in page


def test_tables_are_made_again_byte_for_byte(place: Path, second: User) -> None:
    for user in (User(place / "first"), second):
        assert snakemake(user.root, "tables").returncode == 0
    assert second.files("reports") == User(place / "first").files("reports")
    assert any(path.endswith("leaderboard.tex") for path in second.files("reports"))


def test_one_more_method_runs_only_its_own_cells(second: User) -> None:
    (second.root / "experiments" / f"{NAME}.yaml").write_text(MORE)
    store = Store(second.root / "results")
    before = {p: p.stat().st_mtime_ns for p in (store.root / "cells").glob("*/run.json")}
    run = snakemake(second.root, NAME)
    assert run.returncode == 0, run.stdout + run.stderr
    after = {p: p.stat().st_mtime_ns for p in (store.root / "cells").glob("*/run.json")}
    assert before.items() <= after.items()
    assert len(after) - len(before) == 2  # one for each edit
