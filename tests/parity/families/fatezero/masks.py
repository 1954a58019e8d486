"""Masks of the changed words, in maps and in latents, as recorded for FateZero's edits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any

import torch
from torch import Tensor

from methods.blending import spread, word_mask, words_seen
from methods.fatezero import FateZero
from methods.map_sites import map_sizes, mask_sites
from methods.prompt_edit_step import read_prompts
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.fatezero.case_run import Run, frames_of
from tests.parity.families.fatezero.common import (
    tolerance,
)

EDITED = "edit latents"
NEAR = 1e-4  # a mask may differ where its map is as near to the threshold (the manifest's words)
SOFT = Tolerance(NEAR, inf)


def attention_masks(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """The source's words in the inversion's own maps, at every size of map."""
    tensors, threshold = run.recording.tensors, case["settings"]["blend_th"][0]
    unet, ctx = run.backbone.unet, run.context(case, case["target"])
    prompts = read_prompts(ctx, FateZero().plan(ctx.setting, 1)[0])
    sites, size = mask_sites(map_sizes(unet, *run.trajectory.shape[-2:]), ctx.setting.mask_size)
    prefix = f"{case['id']}.attn_mask"
    for name in (name for name in tensors if name.startswith(prefix)):
        kind, step, side = name.removeprefix(f"{case['id']}.").split(".")
        maps = run.source_pass(int(step[1:])).maps(unet, sites)
        seen = words_seen(maps, prompts.changed(0), size)
        yield from _mask(tensors[name][0], seen, (int(side[1:]),) * 2, threshold, "soft" in kind)


def latent_masks(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """Masks of source and target in every step, and latents before they are blended."""
    tensors, name = run.recording.tensors, case["id"]
    within, threshold = tolerance(run.recording, EDITED), case["settings"]["blend_th"][0]
    unet, size = run.backbone.unet, run.trajectory.shape[-2:]
    unblended = iter(frames_of(tensors[f"{name}.latents_before_blend"]))
    active = case["latent_blend"]["active_counters"]
    for step in run.edited(case["id"]):
        prompts = read_prompts(step.ctx, step.plan)
        sites, small = mask_sites(map_sizes(unet, *size), step.plan.mask_size)
        maps = run.source_pass(len(run.trajectory) - 2 - step.k).maps(unet, sites)
        seen = words_seen(maps, prompts.changed(0), small)
        both = (seen, step.after.extra["seen"])
        masks, soft = tensors[f"{name}.latent_mask"], tensors[f"{name}.latent_mask_soft_20"]
        yield from _mask(masks[step.k, 0], seen, size, threshold)
        yield from _mask(tensors[f"{name}.mask_list"][step.k, :, 0], seen, size, threshold)
        yield from _mask(masks[step.k, 1], both, size, threshold)
        for side, one in enumerate(both):
            yield compare(soft[step.k, side], spread(one, size)[:, ::2, ::2], SOFT)
        yield equal([int(step.k + 1 in active)], [int(step.plan.latent_mask is not None)])
        if step.plan.latent_mask is not None:
            method, plan = FateZero(), replace(step.plan, latent_mask=None)
            alone = method.step(step.ctx, step.before.fork(), plan, step.k)
            yield compare(next(unblended), alone.latents, within)


def _mask(
    expected: Tensor,
    seen: Tensor | tuple[Tensor, Tensor],
    size: tuple[int, int],
    threshold: float,
    soft: bool = False,
) -> Iterator[Comparison]:
    """A mask as recorded, but for pixels that lie at the threshold; or the map behind it."""
    each = seen if isinstance(seen, tuple) else (seen,)
    if soft:
        yield compare(expected, spread(each[0], size), SOFT)
        return
    ours = torch.stack([word_mask(x, size, threshold) for x in each]).any(0)
    near = torch.stack([(spread(x, size) - threshold).abs() <= NEAR for x in each]).any(0)
    expected = torch.where(near, ours, expected.bool())
    yield compare(expected.float(), ours.float(), Tolerance(0, 0))
