"""Rehearsal at real size: with Stable Diffusion 1.5's weights in place, nothing else is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments.catalogue import project_catalogue
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from methods.backbones import get_backbone_info
from tests.real_size import save_real_size

#: As counted for the published weights.
PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
EXPERIMENT = """\
title: Two steps at real size
backbones: [{backbone}]
clips:
  - {{dataset: world, first: 1, edits: [colour], frames: 2}}
methods:
  - name: tokenflow
    setting: {{n_timesteps: 2, n_inversion_steps: 2, batch_size: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Room for two gigabytes, given back at once."""
    yield tmp_path / "sd15"
    shutil.rmtree(tmp_path / "sd15", ignore_errors=True)


@pytest.mark.slow
def test_tokenflow_runs_through_the_whole_path(folder: Path, tmp_path: Path) -> None:
    """Saved, described, loaded, inverted, edited with extended attention, decoded and stored."""
    assert save_real_size(folder) == PARAMETERS
    info = get_backbone_info(str(folder))
    assert (info.sample_size, info.frame_multiple, info.prediction_type) == (64, 8, "epsilon")

    (tmp_path / "rehearsal.yaml").write_text(EXPERIMENT.format(backbone=folder))
    catalogue, store = project_catalogue(), Store(tmp_path / "results")
    plan = make_plan(tmp_path / "rehearsal.yaml", catalogue)
    tallies = [ShardRunner(plan, shard, store, catalogue).run() for shard in plan.shards]

    (cell,) = plan.cells
    assert store.status(cell) == "ok"
    assert store.frames(cell).shape == (2, 64, 64, 3) and store.frames(cell).dtype == np.uint8
    # Inversion 2 x 2 samples; each of two steps 3 branches of 2 keyframes and of 2 frames.
    assert sum(tally.evaluations for tally in tallies) == 2 * 2 + 2 * 3 * (2 + 2)
