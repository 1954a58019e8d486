"""The arithmetic of one step of Prompt-to-Prompt or FateZero: noise of the edit, words seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from data.errors import UserError
from methods.attention import control
from methods.base import Context
from methods.blending import word_mask, words_seen
from methods.lazy import lazy_import
from methods.map_control import CrossEdit, MapControl, SelfEdit, Watch
from methods.map_sites import map_sizes, mask_sites
from methods.sampling import chunks, guide, predict_branches
from methods.source_pass import inflated
from methods.word_aligner import align, token_weights
from methods.words import Prompt, read_prompt

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from data.clip import Edit
    from methods.inflation import Inflation
    from methods.map_sites import Size
    from methods.prompt_edit import PromptEditPlan
    from methods.source_pass import SourcePass
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Prompts:
    """Source and target prompt, and the tokens of the words that change."""

    source: Prompt
    target: Prompt
    edit: Edit

    def changed(self, side: int) -> list[int]:
        """Tokens of the edit's words in the source (0) or the target prompt (1)."""
        words = [word for pair in self.edit.words for word in pair[side].split()]
        if not words:
            name = ("source", "target")[side]
            raise UserError(
                f"edit '{self.edit.id}' changes no word of the {name} prompt, so there is no mask "
                "of it: turn blend_latents and blend_self_attention off for it, or name (source "
                "word, target word) pairs in the edit."
            )
        return (self.source, self.target)[side].tokens_of_all(words)


@dataclass(frozen=True)
class StepResult:
    """Guided noise (n, 4, h, w), and where source and target words are seen, (n, h', w').

    None where nobody looked: at the target without masks of latents, at the source in steps that
    do not read it.
    """

    noise: Tensor
    source_seen: Tensor | None
    target_seen: Tensor | None


def read_prompts(ctx: Context, plan: PromptEditPlan) -> Prompts:
    """Both prompts in tokens; the words that a setting names must be the target's."""
    read = partial(read_prompt, ctx.backbone.tokenizer)
    prompts = Prompts(read(ctx.inversion.spec.prompt), read(ctx.edit.prompt), ctx.edit)
    prompts.target.tokens_of_all(plan.words)
    return prompts


def prompt_edit(
    ctx: Context,
    latents: Tensor,
    prompts: Prompts,
    plan: PromptEditPlan,
    read: Callable[[slice], SourcePass],
    *,
    inflation: Inflation | None,
    self_queries: int,
) -> StepResult:
    """Run source (shared), unconditional and conditional branch of all frames.

    An inflated network sees the whole clip in one call, another as many frames as it may.
    ``read`` gives the source's pass over some frames.
    """
    backbone, n = ctx.backbone, len(latents)
    network = backbone.unet
    embeddings = backbone.embed([plan.negative_prompt, prompts.target.text])
    results = []
    for part in chunks(n, 1, n if inflation else backbone.max_samples):
        source, x = None, latents[part]
        if plan.source_evaluations:
            source = ctx.shared((plan.source_key, part.start), partial(read, part))
        maps, seen = _map_control(network, x, prompts, plan, source, self_queries)
        with inflated(network, inflation, len(x)):
            uncond = predict_branches(backbone, [x], embeddings[:1], plan.timestep)[0]
            with control(network, maps.processors(network, len(x), inflation)):
                cond = predict_branches(backbone, [x], embeddings[1:], plan.timestep)[0]
        noise = guide(uncond, cond, plan.guidance_scale)
        results.append((noise, seen, maps.watch.seen() if maps.watch else None))
    return StepResult(*(_joined(parts) for parts in zip(*results, strict=True)))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Parts of a clip in one, on the CPU, as latents are; None where there are none."""
    return None if parts[0] is None else torch.cat(tuple(parts)).float().cpu()


def _map_control(
    network: nn.Module,
    latents: Tensor,
    prompts: Prompts,
    plan: PromptEditPlan,
    source: SourcePass | None,
    self_queries: int,
) -> tuple[MapControl, Tensor | None]:
    """What the step does to the maps, and where the source's words are seen."""
    sizes = map_sizes(network, *latents.shape[-2:])
    cross = own = watch = seen = None
    if plan.takes_cross:
        share = replaced_share(prompts.target, plan)
        weights = torch.from_numpy(token_weights(prompts.target, plan.word_weights))
        cross = CrossEdit(align(prompts.source, prompts.target, plan.controller), share, weights)
    if plan.mask_size:
        sites, size = mask_sites(sizes, plan.mask_size)
        if plan.watch:
            watch = Watch(sites, prompts.changed(1), size)
        if source:
            seen = words_seen(source.maps(network, sites), prompts.changed(0), size)
    if plan.replace_self:
        kept = [site for site in source.projections if site.endswith(".attn1")]
        replaced = [site for site in kept if sizes[site][0] * sizes[site][1] <= self_queries]
        own = SelfEdit(replaced, _self_masks(seen, plan.self_mask, {sizes[x] for x in replaced}))
    return MapControl(source, cross, own, watch), seen


def replaced_share(target: Prompt, plan: PromptEditPlan) -> Tensor:
    """(L,): 1 for the target's tokens that take their cross-attention from the source."""
    share = torch.full((target.length,), float(plan.replace_cross))
    for word, on in plan.replace_words:
        share[target.tokens_of(word)] = float(on)
    return share


def _self_masks(
    seen: Tensor | None, threshold: float | None, sizes: set[Size]
) -> dict[int, Tensor] | None:
    """Masks of the source's words for maps of every size, by number of queries."""
    if threshold is None:
        return None
    masks = {size: word_mask(seen, size, threshold) for size in sizes}
    return {h * w: mask.flatten(1)[:, None, :, None] for (h, w), mask in masks.items()}
