"""The project's methods in the engine: shared steps, frames of cells run alone, evaluations."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from experiments.catalogue import project_catalogue
from experiments.clips import clip_loader
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from methods.base import Context, run_cell

SWEEP = """\
title: One method's settings
backbones: [{backbone}]
clips:
  - dataset: world
    first: 1
    edits: [colour]
    frames: 2
methods:
  - name: {method}
    setting: {{{setting}}}
    grid: {{{grid}}}
seeds: [0, 1]
"""
# method: fixed fields, axes, whether its settings have steps in common
SWEEPS = {
    "sdedit": ("n_timesteps: 2", "strength: [0.5, 1.0], shared_noise: [true, false]", False),
    "reconstruct": ("n_timesteps: 2", "n_inversion_steps: [2, 4]", False),
    "pnp": (
        "n_timesteps: 4, n_inversion_steps: 4",
        "pnp_f_t: [0.25, 0.75], pnp_attn_t: [0.25, 0.5], guidance_scale: [3.0, 7.5]",
        True,
    ),
    "tokenflow": (
        "n_timesteps: 4, n_inversion_steps: 4, batch_size: 1",
        "pnp_f_t: [0.5, 0.75], pnp_attn_t: [0.5], window: [0, 1]",
        True,
    ),
    "p2p": (
        "n_timesteps: 5, n_inversion_steps: 5, blend_latents: true",
        "cross_replace_steps: [0.4, 0.8], self_replace_steps: [0.2, 0.6], blend_th: [0.3, 0.6]",
        True,
    ),
    "fatezero": (
        "n_timesteps: 6, blend_latents: true, blend_self_attention: true, controller: refine",
        "cross_replace_steps: [0.4, 0.8], self_replace_steps: [0.2, 0.6], blend_th: [0.3, 0.6]",
        True,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_shared_run_equals_each_cell_run_alone(
    name: str, miniature_backbone: str, tmp_path: Path
) -> None:
    """Bit for bit, over injection, guidance, window and seeds; the network runs as planned."""
    setting, grid, shares = SWEEPS[name]
    path = tmp_path / "sweep.yaml"
    path.write_text(
        SWEEP.format(backbone=miniature_backbone, method=name, setting=setting, grid=grid)
    )
    catalogue, store = project_catalogue(), Store(tmp_path / "results")
    plan = make_plan(path, catalogue)
    tallies = [ShardRunner(plan, shard, store, catalogue).run() for shard in plan.shards]

    cells = list(plan.cells.values())
    alone = sum(plan.alone(cell) for cell in cells)
    assert sum(tally.evaluations for tally in tallies) == plan.shared()
    assert sum(tally.evaluations_alone for tally in tallies) == alone
    each_inverted = sum(sum(plan.inversions([cell]).values()) for cell in cells)
    inverted_once = sum(plan.inversions(cells).values())
    assert (plan.shared() - inverted_once < alone - each_inverted) == shares

    backbone = catalogue.load_backbone(miniature_backbone, "cpu", "float32")
    clip = clip_loader(catalogue.dataset)(cells[0].clip)
    invert = cache(lambda spec: catalogue.invert(backbone, clip.frames, spec))
    for cell in cells:
        inversion = invert(cell.inversion) if cell.inversion else None
        edit = clip.edits[cell.edit] if cell.edit else None
        context = Context(clip, edit, cell.setting, cell.seed, backbone, inversion)
        np.testing.assert_array_equal(store.frames(cell.id), run_cell(cell.method, context))
