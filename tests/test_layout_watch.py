"""Attention kept beside the frames: what it is, where it goes, and the metric and plan on it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from data.clip import Edit, Region
from data.datasets import load_dataset
from experiments.catalogue import project_catalogue
from experiments.planner import make_plan
from experiments.store import Store
from methods.cross_attention import read_maps, sites_of_blocks
from methods.solvers import Stand
from metrics.attention_mass import inside
from metrics.base import Sample
from metrics.registry import get_metric
from tests.test_methods_run import context, make_clip

LAYOUT = Path(__file__).parents[1] / "experiments" / "layout.yaml"


@pytest.mark.parametrize("name", ["text-to-image", "layout-guidance"])
def test_the_attention_of_each_step_is_kept(miniature, name: str) -> None:
    """Of the latents as denoised: the same as a pass that reads nothing but the maps."""
    setting = {"watch": "up2", "scheduler": "ddim", "n_timesteps": 3}
    method, ctx = context(miniature, name, make_clip(2), **setting)
    plans, state = method.plan(ctx.setting, 2), method.start(ctx)
    stand = Stand.before("ddim", miniature, 3, 0)
    denoised = method.prepare(ctx, state, plans[0], stand).latents
    for k, plan in enumerate(plans):
        state = method.step(ctx, state, plan, k)
    kept = method.traces(state)["attention"]
    assert kept.shape == (3, 2, 1, 8, 8) and kept.dtype == np.float16
    sites = sites_of_blocks(miniature.unet, "up2")
    text = miniature.embed([ctx.edit.prompt] * 2)
    with torch.no_grad():
        maps = read_maps(miniature, denoised, plans[0].timestep, text, sites)
    tokens = slice(2, 10)  # "blue disc", letter by letter
    expected = torch.stack([m.mean(1)[..., tokens].sum(-1) for m in maps.values()]).mean(0)
    np.testing.assert_allclose(kept[0, :, 0], expected.numpy(), rtol=5e-3, atol=1e-3)


def test_unless_a_block_is_watched_nothing_is_kept(miniature) -> None:
    method, ctx = context(miniature, "text-to-image", make_clip(1))
    state = method.step(ctx, method.start(ctx), method.plan(ctx.setting, 1)[0], 0)
    assert method.traces(state) == {}
    with pytest.raises(ValueError, match="watch"):
        method.Setting(watch="up2+mid")


def test_traces_lie_beside_the_frames(tmp_path: Path) -> None:
    store, frames = Store(tmp_path), make_clip(1).frames
    kept = np.arange(6, dtype=np.float16).reshape(1, 1, 1, 2, 3)
    store.write_frames("a" * 16, frames, {}, {"attention": kept})
    store.write_frames("b" * 16, frames, {})
    assert np.array_equal(store.frames("a" * 16), frames)
    assert np.array_equal(store.traces("a" * 16)["attention"], kept)
    assert store.traces("b" * 16) == {}


def test_the_share_of_attention_inside_the_boxes_by_hand() -> None:
    """Two steps, one frame, two phrases: all inside, none; half, a quarter: 7/16 on average."""
    layout = (Region("cat", ((0.0, 0.0, 0.5, 1.0),)), Region("dog", ((0.5, 0.0, 1.0, 0.5),)))
    kept = np.zeros((2, 1, 2, 4, 4))
    kept[0, 0, 0, :, 1] = 0.2
    kept[0, 0, 1, 3, 3] = 0.7
    kept[1] = 0.1
    clip, edit = make_clip(1), Edit("e", "layout", "a cat and a dog", layout=layout)
    metric = get_metric("attention_mass@backbone")
    value = metric.compute(Sample(clip.frames, clip, edit, {"attention": kept})).value
    assert value == pytest.approx((1 + 0 + 1 / 2 + 1 / 4) / 4)
    assert "name a block" in metric.compute(Sample(clip.frames, clip, edit)).reason
    assert inside(Region("x", ((0.1, 0.1, 0.4, 0.4), (0.6, 0.6, 0.9, 0.9))), 2, 2).tolist() == [
        [True, False],
        [False, True],
    ]


def test_the_layout_experiment_is_planned_to_take_minutes() -> None:
    """About nine at 64 network evaluations a second; baselines share images among layouts."""
    plan = make_plan(LAYOUT, project_catalogue())
    names = [cell.method.name for cell in plan.cells.values()]
    assert names.count("text-to-image") == (24 + 8 + 5 + 4) * 4
    assert 480 * 64 < plan.shared() < 600 * 64
    labels = {request.label for request, _ in plan.rows}
    assert {"text-to-image", "attend-and-excite", "layout-guidance", "ablation"} < labels
    for axis in ("loss_scale", "max_index_step", "guidance_scale"):
        values = {r.setting_json[axis] for r, _ in plan.rows if r.label == "ablation"}
        assert len(values) == 3


def test_settings_are_chosen_on_captions_that_are_not_tested() -> None:
    """By the objects that they name, in whatever order and on whatever ground."""
    named = {}
    for name in ("layouts", "layouts-round", "layouts-tuning"):
        dataset = load_dataset(name)
        edits = [edit for c in dataset.clip_ids for edit in dataset.summary(c).edits.values()]
        named[name] = {frozenset(region.phrase for region in edit.layout) for edit in edits}
    assert all(named.values())
    assert not any(one & other for one, other in combinations(named.values(), 2))
    tested, tuned = (
        {request.clip.dataset for request, _ in make_plan(spec, project_catalogue()).rows}
        for spec in (LAYOUT, LAYOUT.with_name("layout-tuning.yaml"))
    )
    assert (tested, tuned) == ({"layouts", "layouts-round"}, {"layouts-tuning"})
