"""What the methods do on a miniature network: properties that hold whatever the weights."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from data.clip import Clip, Edit, Region
from data.errors import UserError
from methods.backbones.stable_diffusion import StableDiffusion
from methods.base import Context, InversionSpec, Method, run_cell
from methods.ddim import STABLE_DIFFUSION
from methods.inversion import Inversion, invert
from methods.registry import get_method, method_names
from methods.routes import draw_keyframes
from methods.sampling import guided_step
from methods.tuning import TunedContext, TunedInversionSpec, TunedMethod

STEPS = {"n_timesteps": 4, "n_inversion_steps": 8}
SMALL = {
    "sdedit": {"n_timesteps": 6, "strength": 0.5},
    "reconstruct": STEPS,
    "pnp": {**STEPS, "pnp_f_t": 0.75},
    "tokenflow": {**STEPS, "pnp_f_t": 0.75, "batch_size": 2},
    "text2video-zero": STEPS,
    "p2p": {**STEPS, "blend_latents": True},
    "fatezero": {"n_timesteps": 5, "blend_latents": True, "blend_self_attention": True},
    "tune-a-video": {"n_timesteps": 4, "tuning_steps": 2},
    "text-to-image": {"n_timesteps": 4},
    "layout-guidance": {
        "n_timesteps": 4,
        "loss_threshold": 0,  # guidance never ends early: its passes can be counted
        "max_iter": 2,
        "max_index_step": 2,
        "layers": "mid+up2",
    },
    "attend-and-excite": {
        "n_timesteps": 4,
        "max_iter_to_alter": 2,
        "thresholds": (),
        "attention_res": 8,
    },
}

#: Other backbones' methods have tests of their own.
ON_STABLE_DIFFUSION = [n for n in method_names() if "epsilon" in get_method(n).requires.prediction]


def make_clip(n_frames: int = 3) -> Clip:
    each = [np.random.default_rng([3, k]) for k in range(n_frames)]
    frames = np.stack([rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for rng in each])
    layout = (Region("blue disc", ((0.1, 0.2, 0.6, 0.9),)),)
    prompt = "a blue disc on grass"
    edit = Edit("colour", "colour", prompt, (("red", "blue"),), oracle=255 - frames, layout=layout)
    return Clip("c", "test", frames, "a red disc on grass", edits={"colour": edit})


def context(
    backbone: StableDiffusion, name: str, clip: Clip | None = None, seed: int = 0, **setting
) -> tuple[Method, Context]:
    """A method and all that it may look at, prepared as a runner would."""
    method, clip = get_method(name), clip or make_clip()
    chosen = method.Setting(**{**SMALL.get(name, {}), **setting})
    spec = method.inversion(chosen, clip.prompt)
    if isinstance(method, TunedMethod):
        weights, inversion = tuned(backbone, method, len(clip.frames), spec)
        edit = clip.edits["colour"]
        return method, TunedContext(clip, edit, chosen, seed, backbone, inversion, tuned=weights)
    inversion = spec and inverted(backbone, len(clip.frames), spec)
    return method, Context(clip, clip.edits["colour"], chosen, seed, backbone, inversion)


@cache
def tuned(
    backbone: StableDiffusion, method: TunedMethod, n_frames: int, spec: TunedInversionSpec
) -> tuple[dict[str, torch.Tensor], Inversion]:
    """Weights tuned on ``make_clip(n_frames)`` and the clip inverted with them."""
    frames = make_clip(n_frames).frames
    tuner = method.tuner(backbone, frames, spec.tuning)
    while tuner.done < spec.tuning.steps:
        tuner.step()
    weights = tuner.result()
    return weights, method.invert(backbone, frames, spec, weights)


@cache
def inverted(backbone: StableDiffusion, n_frames: int, spec: InversionSpec) -> Inversion:
    """Inverted latents of ``make_clip(n_frames)``, computed once and not to be written to."""
    return invert(backbone, backbone.encode(make_clip(n_frames).frames), spec)


def latents_of(method: Method, ctx: Context, steps: int | None = None) -> torch.Tensor:
    """The latents after the first ``steps`` steps (all by default)."""
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, len(ctx.clip.frames))[:steps]):
        state = method.step(ctx, state, plan, k)
    return state.latents


def test_source_and_oracle_answer_with_known_frames(miniature) -> None:
    clip = make_clip()
    assert np.array_equal(run_cell(*context(miniature, "source", clip)), clip.frames)
    assert np.array_equal(run_cell(*context(miniature, "oracle", clip)), 255 - clip.frames)


def test_oracle_without_a_known_answer_is_refused(miniature) -> None:
    method, ctx = context(miniature, "oracle")
    ctx.edit = replace(ctx.edit, oracle=None)
    with pytest.raises(UserError, match="'colour' has no oracle"):
        run_cell(method, ctx)


@pytest.mark.parametrize("name", ON_STABLE_DIFFUSION)
def test_twice_the_same_cell_gives_the_same_frames_bit_for_bit(miniature, name: str) -> None:
    clip = make_clip()
    first, second = (run_cell(*context(miniature, name, clip)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == clip.frames.shape and first.dtype == np.uint8


@pytest.mark.parametrize("name", ON_STABLE_DIFFUSION)
def test_the_seed_matters_exactly_where_the_method_says(miniature, name: str) -> None:
    method, ctx = context(miniature, name, seed=0)
    if not method.plan(ctx.setting, 3):
        assert not method.stochastic
        return
    one, other = latents_of(method, ctx), latents_of(method, replace(ctx, seed=1))
    assert torch.equal(one, other) != method.stochastic


@pytest.mark.parametrize("name", sorted(SMALL))
@pytest.mark.parametrize("n_frames", [1, 3])
def test_plans_count_every_sample_through_the_network(miniature, name: str, n_frames: int) -> None:
    method, ctx = context(miniature, name, make_clip(n_frames))
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, n_frames)):
        before = miniature.evaluations
        state = method.step(ctx, state, plan, k)
        assert miniature.evaluations - before == plan.evaluations


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_forked_state_is_independent_and_continues_alike(miniature, name: str) -> None:
    method, ctx = context(miniature, name)
    plans = method.plan(ctx.setting, 3)
    state = method.step(ctx, method.start(ctx), plans[0], 0)
    fork = state.fork()
    expected = method.step(ctx, state, plans[1], 1).latents
    with torch.inference_mode():
        state.latents.zero_()
    assert torch.equal(method.step(ctx, fork, plans[1], 1).latents, expected)
    assert fork.latents.data_ptr() != state.latents.data_ptr()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_steps_depend_on_their_plan_and_not_on_the_setting(miniature, name: str) -> None:
    """The engine shares steps between cells with equal plans, so nothing else may count."""
    method, ctx = context(miniature, name)
    state, plan = method.start(ctx), method.plan(ctx.setting, 3)[0]
    blind = replace(ctx, setting=None)
    assert torch.equal(
        method.step(ctx, state.fork(), plan, 0).latents,
        method.step(blind, state.fork(), plan, 0).latents,
    )


@pytest.mark.parametrize("name", sorted(SMALL))
def test_small_chunks_change_rounding_only(miniature, name: str) -> None:
    method, ctx = context(miniature, name)
    whole = latents_of(method, ctx, 1)
    part = latents_of(method, replace(ctx, backbone=replace(miniature, max_samples=3)), 1)
    torch.testing.assert_close(part, whole, rtol=1e-3, atol=1e-3)


def test_pnp_without_injection_is_plain_sampling(miniature) -> None:
    method, ctx = context(miniature, "pnp", pnp_f_t=0, pnp_attn_t=0)
    x = ctx.inversion.latents[751]
    text = miniature.embed([ctx.setting.negative_prompt, ctx.edit.prompt])
    for t in STABLE_DIFFUSION.timesteps(4):
        x = guided_step(miniature, x, text, t, STABLE_DIFFUSION.previous(t, 4), 7.5)
    assert torch.equal(latents_of(method, ctx), x)


@pytest.mark.parametrize("share", ["pnp_f_t", "pnp_attn_t"])
def test_injection_acts_up_to_its_last_step_and_no_further(miniature, share: str) -> None:
    """Of four steps, a half is two and three quarters are three: only the third differs."""
    none = {"pnp_f_t": 0, "pnp_attn_t": 0}
    half, more = (context(miniature, "pnp", **{**none, share: value}) for value in (0.5, 0.75))
    assert torch.equal(latents_of(*half, 2), latents_of(*more, 2))
    assert not torch.allclose(latents_of(*half, 3), latents_of(*more, 3))


def test_pnp_of_the_source_itself_reconstructs_like_the_source_branch(miniature) -> None:
    """Target, negative and source prompt alike, no guidance, latents alike: nothing to inject."""
    edit = Edit("same", "colour", "")
    method, ctx = context(
        miniature, "pnp", pnp_f_t=1, pnp_attn_t=1, guidance_scale=1, negative_prompt=""
    )
    ctx.edit = edit
    plain, plain_ctx = context(
        miniature, "pnp", pnp_f_t=0, pnp_attn_t=0, guidance_scale=1, negative_prompt=""
    )
    plain_ctx.edit = edit
    torch.testing.assert_close(
        latents_of(method, ctx, 1), latents_of(plain, plain_ctx, 1), rtol=1e-3, atol=1e-3
    )


def test_frames_of_per_frame_methods_do_not_see_each_other(miniature) -> None:
    clip = make_clip()
    single = replace(clip, frames=clip.frames[:1])
    for name in ("sdedit", "pnp", "reconstruct"):
        together = latents_of(*context(miniature, name, clip))[:1]
        alone = latents_of(*context(miniature, name, single))
        torch.testing.assert_close(alone, together, rtol=1e-2, atol=1e-2)


def test_tokenflow_edits_every_frame_of_an_uneven_clip(miniature) -> None:
    """Three frames in batches of two: two keyframes, and no frame is dropped."""
    method, ctx = context(miniature, "tokenflow")
    assert method.plan(ctx.setting, 3)[0].evaluations == 3 * (2 + 3)
    assert run_cell(method, ctx).shape == (3, 64, 64, 3)


def test_keyframes_are_one_per_batch_drawn_again_every_step(miniature) -> None:
    _, ctx = context(miniature, "tokenflow")
    draws = [draw_keyframes(11, 4, ctx.rng("keyframes", k)) for k in range(200)]
    for batch, size in ((0, 4), (1, 4), (2, 3)):
        seen = {draw[batch] for draw in draws}
        assert seen == set(range(4 * batch, 4 * batch + size))
    assert draws == [draw_keyframes(11, 4, ctx.rng("keyframes", k)) for k in range(200)]


def test_tokenflow_of_one_frame_is_pnp_with_its_own_matches(miniature) -> None:
    """One frame is its own keyframe: every token matches itself, so nothing is propagated."""
    clip, none = make_clip(1), {"pnp_f_t": 0, "pnp_attn_t": 0, "negative_prompt": ""}
    flow, flow_ctx = context(miniature, "tokenflow", clip, **none)
    pnp, pnp_ctx = context(miniature, "pnp", clip, **none)
    start = {751: flow.start(flow_ctx).latents}
    pnp_ctx.inversion = replace(pnp_ctx.inversion, latents={**pnp_ctx.inversion.latents, **start})
    torch.testing.assert_close(
        latents_of(flow, flow_ctx, 1), latents_of(pnp, pnp_ctx, 1), rtol=1e-3, atol=1e-3
    )


def test_sdedit_shares_noise_between_frames_when_asked(miniature) -> None:
    frame = make_clip(1).frames.repeat(3, axis=0)
    clip = replace(make_clip(), frames=frame)
    shared = latents_of(*context(miniature, "sdedit", clip, shared_noise=True), 0)
    own = latents_of(*context(miniature, "sdedit", clip), 0)
    torch.testing.assert_close(shared[0], shared[2], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(own[0], own[2], atol=0.1)
    torch.testing.assert_close(shared[0], own[0], rtol=1e-4, atol=1e-4)


def test_weaker_sdedit_keeps_more_of_the_source(miniature) -> None:
    method = get_method("sdedit")
    weak, strong = (
        len(method.plan(method.Setting(n_timesteps=50, strength=s), 1)) for s in (0.1, 0.9)
    )
    assert (weak, strong) == (5, 45)
    clean = miniature.encode(make_clip().frames)
    distances = [
        (latents_of(*context(miniature, "sdedit", strength=s), 0) - clean).norm()
        for s in (0.2, 1.0)
    ]
    assert distances[0] < distances[1]


def test_methods_leave_the_global_random_state_alone(miniature) -> None:
    before = torch.get_rng_state()
    for name in ("sdedit", "tokenflow"):
        latents_of(*context(miniature, name))
    assert torch.equal(torch.get_rng_state(), before)
