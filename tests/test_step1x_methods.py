"""Editing by instruction on a miniature network: what holds whatever the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel

from data.clip import Clip, Edit
from data.errors import UserError
from data.instructed import InstructedEdit
from data.world.instruct import KEEP
from experiments.catalogue import project_catalogue
from experiments.clips import clip_loader
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from methods.backbones.families import load
from methods.backbones.step1x import random_parts
from methods.backbones.step1x.backbone import Step1X
from methods.backbones.step1x.connector import Step1XConnector
from methods.base import Context, Method, run_cell
from methods.registry import get_method
from tests.step1x_miniature import CONNECTOR, TRANSFORMER, save_step1x_miniature

ASKED = "make the circle red"
SMALL = {
    "step1x-edit": {"num_inference_steps": 3},
    "flowedit": {"num_inference_steps": 4, "n_max": 3, "n_min": 1, "source_instruction": KEEP},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_step1x_miniature(tmp_path_factory.mktemp("step1x") / "miniature"))


@pytest.fixture(scope="module")
def backbone(folder: str) -> Step1X:
    return load(folder)


def make_clip(n_frames: int = 2, height: int = 64, width: int = 64) -> Clip:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (n_frames, height, width, 3), dtype=np.uint8)
    edit = InstructedEdit("colour", "colour", "a red circle on grass", instruction=ASKED)
    return Clip("c", "test", frames, "a blue circle on grass", edits={"colour": edit})


def context(
    backbone: Step1X, name: str, clip: Clip | None = None, **setting
) -> tuple[Method, Context]:
    method, clip = get_method(name), clip or make_clip()
    chosen = method.Setting(**{**SMALL[name], **setting})
    return method, Context(clip, clip.edits["colour"], chosen, 0, backbone)


def latents_of(method: Method, ctx: Context) -> torch.Tensor:
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, len(ctx.clip.frames))):
        state = method.step(ctx, state, plan, k)
    return state.latents


@pytest.mark.parametrize("name", SMALL)
def test_a_cell_repeats_to_the_bit_and_follows_its_seed(backbone, name: str) -> None:
    method, ctx = context(backbone, name)
    first = run_cell(method, ctx)
    assert np.array_equal(first, run_cell(method, ctx))
    assert first.shape == ctx.clip.frames.shape and first.dtype == np.uint8
    assert not torch.equal(latents_of(method, ctx), latents_of(method, replace(ctx, seed=1)))


@pytest.mark.parametrize("name", SMALL)
def test_a_frame_is_edited_as_an_image_would_be(backbone, name: str) -> None:
    clip = make_clip(3)
    whole = latents_of(*context(backbone, name, clip))
    alone = latents_of(*context(backbone, name, replace(clip, frames=clip.frames[2:])))
    torch.testing.assert_close(whole[2:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("n_frames", [1, 3])
def test_plans_count_every_sample_through_the_network(
    backbone, name: str, scale: float, n_frames: int
) -> None:
    field = {"step1x-edit": "guidance_scale", "flowedit": "tar_guidance_scale"}[name]
    method, ctx = context(backbone, name, make_clip(n_frames), **{field: scale})
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, n_frames)):
        before = backbone.evaluations
        state = method.step(ctx, state, plan, k)
        assert backbone.evaluations - before == plan.evaluations


def test_frames_come_back_at_the_clips_size(backbone) -> None:
    """Worked at multiples of a token's 8 pixels, of about 64 x 64, in the clip's proportions."""
    clip = make_clip(1, height=50, width=100)
    method, ctx = context(backbone, "step1x-edit", clip)
    assert method.start(ctx).latents.shape == (1, 4, 10, 22)
    assert run_cell(method, ctx).shape == clip.frames.shape
    assert method.start(context(backbone, "step1x-edit", clip, size=32)[1]).latents.shape[2:] == (
        4,
        10,
    )


def test_each_setting_changes_the_result(backbone) -> None:
    plain = latents_of(*context(backbone, "step1x-edit"))
    for changed in (
        {"guidance_scale": 1.0},
        {"text_mask": "everywhere"},
        {"bf16_times": False},
        {"posterior": "mean"},
        {"negative_prompt": "make the square red"},
    ):
        other = latents_of(*context(backbone, "step1x-edit", **changed))
        assert not torch.equal(other, plain), changed


@pytest.mark.parametrize("name", SMALL)
def test_an_edit_without_an_instruction_is_refused(backbone, name: str) -> None:
    method, ctx = context(backbone, name)
    ctx.edit = Edit("colour", "colour", "a red circle on grass")
    with pytest.raises(UserError, match="edit 'colour' of clip 'c' has no instruction"):
        method.start(ctx)


def test_flowedit_asked_for_no_change_gives_the_source_exactly(backbone) -> None:
    """Equal instructions and guidance leave no difference of velocities to go along."""
    same = {"source_instruction": ASKED, "src_guidance_scale": 4.0, "tar_guidance_scale": 4.0}
    method, ctx = context(backbone, "flowedit", n_min=0, n_avg=2, **same)
    assert torch.equal(latents_of(method, ctx), method.start(ctx).latents)


def test_flowedit_of_plain_steps_alone_is_step1x_edit(backbone) -> None:
    steps = {"num_inference_steps": 3}
    method, ctx = context(
        backbone, "flowedit", **steps, n_max=3, n_min=3, tar_guidance_scale=6.0, n_avg=1
    )
    expected = latents_of(*context(backbone, "step1x-edit", **steps))
    torch.testing.assert_close(latents_of(method, ctx), expected, rtol=1e-3, atol=1e-4)


def test_flowedit_averages_over_its_noises(backbone) -> None:
    """By hand: the mean of the steps that each noise alone would take from the source."""
    method, ctx = context(backbone, "flowedit", num_inference_steps=4, n_max=4, n_min=0, n_avg=2)
    state = method.start(ctx)
    both = method.step(ctx, state.fork(), method.plan(ctx.setting, 2)[0], 0).latents

    class OneDraw(Context):
        """The same seed, but the first noise is another draw."""

        def rng(self, purpose: str, k: int = 0) -> torch.Generator:
            return super().rng(purpose.replace("noise0", self.draw), k)

    single = ctx.setting.model_copy(update={"n_avg": 1})
    plan = method.plan(single, 2)[0]
    parts = []
    for draw in ("noise0", "noise1"):
        one = OneDraw(ctx.clip, ctx.edit, single, 0, backbone)
        one.draw = draw
        parts.append(method.step(one, state.fork(), plan, 0).latents)
    torch.testing.assert_close(both, torch.stack(parts).mean(dim=0))


def test_steps_must_fit() -> None:
    with pytest.raises(ValueError, match="must not decrease in this order"):
        get_method("flowedit").Setting(num_inference_steps=10)
    method = get_method("flowedit")
    plans = method.plan(method.Setting(), 1)
    assert [plan.index for plan in plans] == list(range(4, 28))
    assert plans[0].evaluations == 3 and plans[0].source_evaluations == 1
    ends = method.plan(method.Setting(n_min=2), 1)[-3:]
    assert [plan.entering for plan in ends] == [False, True, False]
    assert [plan.evaluations for plan in ends] == [3, 2, 2]


SWEEP = """\
title: Instructions
backbones: [{backbone}]
clips:
  - {{dataset: instructions, first: 1, edits: [colour, shape], frames: 1}}
methods:
  - name: step1x-edit
    setting: {{num_inference_steps: 2}}
    grid: {{guidance_scale: [1.0, 6.0]}}
  - name: flowedit
    setting: {{num_inference_steps: 3, n_max: 3, source_instruction: {keep}}}
    grid: {{n_min: [0, 1], tar_guidance_scale: [3.0, 5.5]}}
"""


def test_shared_runs_equal_cells_run_alone_and_edits_share_the_source(
    folder: str, backbone, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.format(backbone=folder, keep=KEEP))
    catalogue, store = project_catalogue(), Store(tmp_path / "results")
    plan = make_plan(path, catalogue)
    tallies = [ShardRunner(plan, shard, store, catalogue).run() for shard in plan.shards]
    cells = list(plan.cells.values())
    assert {store.status(cell.id) for cell in cells} == {"ok"}
    assert sum(tally.evaluations for tally in tallies) == plan.shared()
    # step1x-edit: 2 edits x 2 steps, unguided and guided. flowedit: the source's 3 steps, guided,
    # once for all 8 cells; the target's for 2 edits x 2 scales, whose n_min parts the last step.
    assert plan.shared() == 2 * 2 * (1 + 2) + 3 * 2 + 2 * 2 * (2 + 1 + 1) * 2
    clip = clip_loader(catalogue.dataset)(cells[0].clip)
    for cell in cells:
        ctx = Context(clip, clip.edits[cell.edit], cell.setting, cell.seed, backbone)
        np.testing.assert_array_equal(store.frames(cell.id), run_cell(cell.method, ctx))


@pytest.mark.parametrize(
    ("backbone_name", "dataset", "method", "reason"),
    [
        ("{folder}", "world", "step1x-edit", "has no instruction; method 'step1x-edit' follows"),
        ("{folder}", "instructions", "sdedit", "predicts flow; method 'sdedit' needs"),
        ("step1x-random", "instructions", "flowedit", "has random weights"),
    ],
)
def test_pairs_that_do_not_fit_are_refused_before_anything_runs(
    folder: str, tmp_path: Path, backbone_name: str, dataset: str, method: str, reason: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        f"title: Wrong\nbackbones: ['{backbone_name.format(folder=folder)}']\n"
        f"clips:\n  - {{dataset: {dataset}, first: 1, edits: [colour]}}\n"
        f"methods:\n  - name: {method}\nmetrics: [oracle_psnr@rgb]\n"
    )
    with pytest.raises(UserError, match=reason):
        make_plan(path, project_catalogue())


def test_random_weights_run_as_a_cell_that_costs(monkeypatch, tmp_path: Path) -> None:
    """The way of ``step1x-random``, with narrow networks in the real ones' place."""
    monkeypatch.setattr(random_parts, "made", small_networks)
    path = tmp_path / "costs.yaml"
    path.write_text(
        "title: Costs\nbackbones: [step1x-random]\n"
        "clips:\n  - {dataset: instructions, first: 1, edits: [colour], frames: 1}\n"
        "methods:\n  - {name: step1x-edit, setting: {size: 64, num_inference_steps: 2}}\n"
    )
    catalogue, store = project_catalogue(), Store(tmp_path / "results")
    plan = make_plan(path, catalogue)
    (tally,) = (ShardRunner(plan, shard, store, catalogue).run() for shard in plan.shards)
    (cell,) = plan.cells.values()
    assert store.status(cell.id) == "ok" and tally.evaluations == 4
    assert store.frames(cell.id).shape == (1, 64, 64, 3)


def small_networks() -> dict[str, torch.nn.Module]:
    """As the real ones, and as wide as their inputs ask."""
    vae = random_parts.VAE | {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
    text, vision = (random_parts.ENCODER[f"{part}_config"] for part in ("text", "vision"))
    text = text | {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "rope_parameters": text["rope_parameters"] | {"mrope_section": [2, 3, 3]},
    }
    vision = vision | {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 1,
        "out_hidden_size": 16,
    }
    encoder = random_parts.ENCODER | {"text_config": text, "vision_config": vision}
    return {
        "transformer": FluxTransformer2DModel(**TRANSFORMER | {"in_channels": 64}),
        "connector": Step1XConnector(**CONNECTOR),
        "encoder": Qwen2_5_VLModel(Qwen2_5_VLConfig(**encoder)),
        "vae": AutoencoderKL(**vae),
    }
