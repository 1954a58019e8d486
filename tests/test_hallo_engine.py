"""Method hallo in the engine: planned and run like the others, refused where there is no speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import UserError
from data.speech import audio_of
from experiments.catalogue import project_catalogue
from experiments.clips import clip_loader
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from methods.base import Context, run_cell
from tests.hallo_miniature import save_miniature

SWEEP = """\
title: One portrait
backbones: [{backbone}]
clips: [{{dataset: {dataset}, first: 1, edits: [{edit}], frames: 6}}]
methods:
  - name: {method}
    setting: {{n_timesteps: 2, {setting}}}
    grid: {{guidance_scale: [1.0, 3.5]}}
seeds: [0]
"""
HALLO = {"dataset": "portraits", "edit": "own", "method": "hallo", "setting": "clip_length: 4"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_miniature(tmp_path_factory.mktemp("hallo") / "net"))


def sweep(folder: Path, **changes: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP.format(**HALLO | changes))
    return path


def test_cells_run_as_planned_and_equal_those_run_alone(backbone: str, tmp_path: Path) -> None:
    catalogue, store = project_catalogue(), Store(tmp_path / "results")
    plan = make_plan(sweep(tmp_path, backbone=backbone), catalogue)
    tallies = [ShardRunner(plan, shard, store, catalogue).run() for shard in plan.shards]
    assert {status for tally in tallies for status in tally.statuses.values()} == {"ok"}
    assert sum(tally.evaluations for tally in tallies) == plan.shared()

    cells = list(plan.cells.values())
    loaded = catalogue.load_backbone(backbone, "cpu", "float32")
    clip = clip_loader(catalogue.dataset)(cells[0].clip)
    assert len(clip.frames) == 6 and audio_of(clip.edits["own"])
    for cell in cells:
        context = Context(clip, clip.edits[cell.edit], cell.setting, cell.seed, loaded)
        np.testing.assert_array_equal(store.frames(cell.id), run_cell(cell.method, context))


def test_another_sound_is_another_cell(backbone: str, tmp_path: Path) -> None:
    plans = [
        make_plan(sweep(tmp_path, backbone=backbone, edit=edit), project_catalogue())
        for edit in ("own", "other")
    ]
    assert set(plans[0].cells).isdisjoint(plans[1].cells)


def test_a_clip_without_speech_is_refused_before_anything_runs(
    backbone: str, tmp_path: Path
) -> None:
    path = sweep(tmp_path, backbone=backbone, dataset="world", edit="colour")
    with pytest.raises(UserError, match="is of kind 'colour'; method 'hallo' does speech"):
        make_plan(path, project_catalogue())


def test_other_methods_and_portraits_do_not_fit_each_other(backbone: str, tmp_path: Path) -> None:
    path = sweep(tmp_path, backbone=backbone, method="sdedit", setting="strength: 0.5")
    with pytest.raises(UserError, match="predicts portrait velocity; method 'sdedit' needs"):
        make_plan(path, project_catalogue())
    path = sweep(tmp_path, backbone="world-tiny")
    with pytest.raises(UserError, match="method 'hallo' needs portrait velocity"):
        make_plan(path, project_catalogue())
