"""Text2Video-Zero's attention against diffusers' own, and what it makes of a clip."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers.pipelines.deprecated.text_to_video_synthesis.pipeline_text_to_video_zero import (
    CrossFrameAttnProcessor,
)

from methods.attention import PNP_ATTENTION
from methods.text2video_zero import FirstFrameAttention
from tests.test_methods_run import context, latents_of, make_clip


def tokens(attention, n_frames: int) -> torch.Tensor:
    shape = (2 * n_frames, 16, attention.query_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_frames", [1, 3])
def test_attention_equals_that_of_diffusers(miniature, n_frames: int) -> None:
    """The library's, which repeats the first frame's keys and writes the table out."""
    attention = miniature.unet.get_submodule(PNP_ATTENTION[0])
    hidden = tokens(attention, n_frames)
    theirs = CrossFrameAttnProcessor(batch_size=2)(attention, hidden)
    ours = FirstFrameAttention("site", {})(attention, hidden)
    torch.testing.assert_close(ours, theirs)


def test_later_calls_of_a_step_look_at_the_first_frame_too(miniature) -> None:
    attention = miniature.unet.get_submodule(PNP_ATTENTION[0])
    hidden = tokens(attention, 5)
    whole = FirstFrameAttention("site", {})(attention, hidden).unflatten(0, (2, 5))
    first: dict[str, torch.Tensor] = {}
    parts = [
        FirstFrameAttention("site", first)(
            attention, hidden.unflatten(0, (2, 5))[:, frames].flatten(0, 1)
        ).unflatten(0, (2, -1))
        for frames in (slice(0, 2), slice(2, 5))
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_all_frames_depend_on_the_first_and_on_themselves_alone(miniature) -> None:
    """Of three frames the last changes: the others stay. The first changes: all do."""
    method, ctx = context(miniature, "text2video-zero")
    before = latents_of(method, ctx, 1)

    def after(changed: int) -> list[bool]:
        latents = {t: x.clone() for t, x in ctx.inversion.latents.items()}
        for x in latents.values():
            x[changed] = x[changed].flip(-1)
        other = replace(ctx, inversion=replace(ctx.inversion, latents=latents))
        now = latents_of(method, other, 1)
        return [
            torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(now, before, strict=True)
        ]

    assert after(2) == [True, True, False]
    assert after(0) == [False, False, False]


def test_an_image_is_sampled_from_its_inversion(miniature) -> None:
    """One frame looks at itself: PnP without injection, from the same start."""
    clip = make_clip(1)
    ours = latents_of(*context(miniature, "text2video-zero", clip))
    plain = {"pnp_f_t": 0, "pnp_attn_t": 0, "negative_prompt": "", "inversion_prompt": "clip"}
    theirs = latents_of(*context(miniature, "pnp", clip, **plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
