"""Scores belong to frames, edit and recipe; the table shows them or shows nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.collect import columns, table, write_table
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.score import batches, edit_name, fingerprints, missing, run_batch
from experiments.store import Store
from metrics.base import Sample, Score
from metrics.extractors import MissingExtractor
from tests.fake_clips import EDITS
from tests.fakes import EXPERIMENT, Broken, fake_catalogue, write_experiment

CATALOGUE = fake_catalogue()


@pytest.fixture
def scored(tmp_path: Path):
    text = EXPERIMENT.replace("[mean@pixels]", "[mean@pixels, broken@pixels]")
    plan = make_plan(write_experiment(tmp_path, text), CATALOGUE)
    store = Store(tmp_path / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, CATALOGUE).run()
    marks = fingerprints(plan, CATALOGUE)
    jobs = batches(plan, marks, size=20)
    for batch in jobs:
        run_batch(batch, store, CATALOGUE, lambda text: None)
    return plan, store, marks, jobs


def test_scores_are_those_of_the_stored_frames(scored) -> None:
    plan, store, _, _ = scored
    frame = table(plan, store)
    for row in frame.itertuples():
        prompt = EDITS.get(row.edit, "")
        expected = store.frames(row.cell).mean() + len(prompt)
        assert row._asdict()[f"_{frame.columns.get_loc('mean@pixels') + 1}"] == pytest.approx(
            expected
        )


def test_one_cell_is_scored_against_each_edit(scored) -> None:
    """The source's frames ignore the edit; its scores do not."""
    plan, store, _, _ = scored
    frame = table(plan, store)
    same = frame[(frame["method"] == "same") & (frame["clip"] == "disc") & (frame["seed"] == 0)]
    assert same["cell"].nunique() == 1
    assert same["mean@pixels"].nunique() == 2


def test_a_metric_that_raises_gives_a_reason_and_no_number(scored) -> None:
    plan, store, _, _ = scored
    frame = table(plan, store)
    assert frame["broken@pixels"].isna().all()
    cell, edit = frame.iloc[-1][["cell", "edit"]]
    assert store.scores(cell)[edit]["broken@pixels"]["reason"] == (
        "error: ZeroDivisionError: no pixels"
    )


def test_a_missing_extractor_is_a_reason_and_the_other_recipes_go_on(scored, monkeypatch) -> None:
    plan, store, marks, jobs = scored

    def compute(self: Broken, sample: Sample) -> Score:
        raise MissingExtractor("missing extractor 'lpips-alex': run `make extractors`")

    monkeypatch.setattr(Broken, "compute", compute)
    said: list[str] = []
    run_batch(replace(jobs[0], fingerprints=marks | {"broken@pixels": "absent"}), store, CATALOGUE,
              said.append)  # fmt: skip
    frame = table(plan, store)
    assert frame["broken@pixels"].isna().all() and frame["mean@pixels"].notna().all()
    job = jobs[0].jobs[0]
    kept = store.scores(job.cell.id)[edit_name(job.edits[0])]["broken@pixels"]
    assert kept["reason"].startswith("missing extractor 'lpips-alex'")
    assert not any("Traceback" in text for text in said)


def test_nothing_is_scored_twice_and_new_frames_are_scored_again(scored) -> None:
    _, store, marks, jobs = scored
    assert not any(missing(store, job, marks) for batch in jobs for job in batch.jobs)
    job = jobs[0].jobs[0]
    run = store.run(job.cell.id)
    store.write_frames(job.cell.id, 255 - store.frames(job.cell.id), run)
    assert len(missing(store, job, marks)) == 2 * len(job.edits)


def test_another_version_of_a_recipe_is_another_score(scored) -> None:
    _, store, marks, jobs = scored
    changed = marks | {"mean@pixels": "other"}
    job = jobs[0].jobs[0]
    assert {recipe for _, recipe in missing(store, job, changed)} == {"mean@pixels"}


def test_the_pairs_of_a_cell_are_in_one_batch(scored) -> None:
    plan, _, _, jobs = scored
    cells = [job.cell.id for batch in jobs for job in batch.jobs]
    assert sorted(cells) == sorted(plan.cells)


def test_the_table_is_tidy_and_the_same_twice(scored) -> None:
    plan, store, _, _ = scored
    frame = table(plan, store)
    assert len(frame) == len(plan.rows)
    assert list(frame.columns) == columns(plan)
    assert not frame.duplicated(["label", "share", "guidance", "clip", "edit", "seed"]).any()
    assert write_table(frame, plan, store) == write_table(table(plan, store), plan, store)
    read = pd.read_parquet(store.root / "toy.parquet")
    assert read["share"].isna().sum() == (read["method"] == "same").sum()
    assert np.issubdtype(read["seconds_edit"].dtype, np.floating)
