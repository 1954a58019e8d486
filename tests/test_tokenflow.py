"""TokenFlow's settings, each against another way to the same numbers."""

from __future__ import annotations

import pytest
import torch

from methods import tokenflow
from methods.ddim import STABLE_DIFFUSION
from methods.propagation import edit_keyframes, read_keyframes
from methods.registry import get_method
from methods.sampling import Branches, denoise, guide
from tests.test_methods_run import context, latents_of, make_clip

CLOSE = {"rtol": 1e-3, "atol": 1e-3}


def seen_keyframes(monkeypatch, miniature, seed: int = 0, **setting) -> list[list[int]]:
    """The keyframes of every step of a run that computes nothing."""
    seen: list[list[int]] = []

    def note(backbone, branches, keyframes, plan, shared):
        seen.append(keyframes)
        return branches.latents

    monkeypatch.setattr(tokenflow, "tokenflow_step", note)
    method, ctx = context(miniature, "tokenflow", make_clip(8), seed, batch_size=4, **setting)
    latents_of(method, ctx)
    return seen


def test_sdedit_guidance_skips_the_first_steps_and_injects_nothing() -> None:
    """As released: of 50 steps a share of 0.9 leaves 44, one fewer than it should."""
    method = tokenflow.TokenFlow()
    plans = method.plan(method.Setting(guidance="sdedit"), 8)
    assert [plan.timestep for plan in plans] == STABLE_DIFFUSION.timesteps(50)[-44:]
    assert not any(plan.inject_features or plan.inject_attention for plan in plans)
    few = method.plan(method.Setting(guidance="sdedit", n_timesteps=10, sdedit_t=0.1), 8)
    assert len(few) == 10  # as released: fewer than two steps are taken for all


def test_fixed_keyframes_are_drawn_once_and_by_the_seed(monkeypatch, miniature) -> None:
    drawn = seen_keyframes(monkeypatch, miniature)
    assert len(set(map(tuple, drawn))) > 1
    fixed = [seen_keyframes(monkeypatch, miniature, seed, keyframes="fixed") for seed in range(6)]
    assert all(step == run[0] for run in fixed for step in run)
    assert len({tuple(run[0]) for run in fixed}) > 1
    assert fixed[0][0] == drawn[0]


def test_the_saved_start_is_the_inversions(miniature) -> None:
    """Where the noisiest inverted latents are the first step's, both starts are the same."""
    method, ctx = context(miniature, "tokenflow", start="saved")
    saved = latents_of(method, ctx, 0)
    assert torch.equal(saved, ctx.inversion.latents[751])
    finer = latents_of(*context(miniature, "tokenflow"), 0)
    assert not torch.allclose(finer, saved, **CLOSE)
    equal = {"n_inversion_steps": 4}
    one = latents_of(*context(miniature, "tokenflow", **equal), 0)
    other = latents_of(*context(miniature, "tokenflow", start="saved", **equal), 0)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_keyframes_edited_alone_are_those_with_a_window_of_one(miniature) -> None:
    """Five frames, two a batch: three keyframes, each blind to the others either way."""
    clip = make_clip(5)
    alone = latents_of(*context(miniature, "tokenflow", clip, keyframe_batch=1), 1)
    window = latents_of(*context(miniature, "tokenflow", clip, window=1), 1)
    torch.testing.assert_close(alone, window, **CLOSE)
    together = latents_of(*context(miniature, "tokenflow", clip), 1)
    assert not torch.allclose(alone, together, **CLOSE)


@pytest.mark.parametrize("batch", [3, 200])
def test_a_batch_that_holds_all_keyframes_changes_nothing(miniature, batch: int) -> None:
    clip = make_clip(5)
    whole = latents_of(*context(miniature, "tokenflow", clip), 2)
    assert torch.equal(
        latents_of(*context(miniature, "tokenflow", clip, keyframe_batch=batch), 2), whole
    )


def test_the_papers_blend_leaves_keyframes_as_they_were_edited(miniature) -> None:
    """With every frame a keyframe nothing is propagated: one guided step of all frames jointly."""
    clip = make_clip(3)
    method, ctx = context(miniature, "tokenflow", clip, blend="paper", batch_size=1)
    plan = method.plan(ctx.setting, 3)[0]
    text = miniature.embed([clip.prompt, plan.negative_prompt, ctx.edit.prompt])
    x = latents_of(method, ctx, 0)
    branches = Branches(ctx.inversion.latents[plan.timestep], x, text, plan.timestep)
    source = read_keyframes(miniature, branches)
    injected = source.features.projections
    noise, _ = edit_keyframes(miniature, branches, source, injected=injected, features=True)
    expected = denoise(
        miniature, x, guide(*noise, plan.guidance_scale), plan.timestep, plan.previous
    )
    torch.testing.assert_close(latents_of(method, ctx, 1), expected, **CLOSE)
    released = latents_of(*context(miniature, "tokenflow", clip, batch_size=1), 1)
    assert not torch.allclose(released, expected, **CLOSE)


@pytest.mark.parametrize("preset", sorted(tokenflow.TokenFlow.presets))
def test_presets_edit_an_uneven_clip_whole(miniature, preset: str) -> None:
    values = {k: v for k, v in tokenflow.TokenFlow.presets[preset].items() if "steps" not in k}
    method, ctx = context(miniature, "tokenflow", make_clip(3), **values)
    latents = latents_of(method, ctx)
    assert len(latents) == 3 and torch.isfinite(latents).all()


@pytest.mark.parametrize(("name", "default"), [("pnp", "empty"), ("tokenflow", "clip")])
def test_the_source_is_inverted_with_an_empty_prompt_or_the_clips(name: str, default: str) -> None:
    """The defaults are the releases'; where they are made equal, the inversion is one."""
    method, prompts = get_method(name), {"empty": "", "clip": "a red disc"}
    for given, prompt in prompts.items():
        setting = method.Setting(inversion_prompt=given)
        assert method.inversion(setting, "a red disc").prompt == prompt
    assert method.Setting().inversion_prompt == default
