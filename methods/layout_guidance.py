"""Training-Free Layout Control with Cross-Attention Guidance: backward guidance.

Chen, Laina, Vedaldi, WACV 2024, https://arxiv.org/abs/2304.03373, as released at
https://github.com/silent-chen/layout-guidance: before each of the first steps, latents follow the
gradient of how much an object's words are attended to from outside its boxes. The edit's ``layout``
says which words and boxes. Preset ``walkthrough-004`` is the port
https://github.com/nipunjindal/diffusers-layout-guidance, which computes other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from data.errors import UserError
from methods.base import Context, State
from methods.cross_attention import Maps, follow, sites_of_blocks
from methods.layout_loss import Heads, Rounding, Target, layout_loss
from methods.lazy import lazy_import
from methods.solvers import SolverName, Stand
from methods.text_sampling import SamplingPlan, SamplingSetting, TextSampler
from methods.token_positions import Counting, token_positions, word_positions

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

LOSS = "loss"  # in a state's extras: each image's latest loss, as released carried along
UNTESTED = 10_000.0  # the loss before there is one
BLOCKS = r"(down\d|mid|up\d)(\+(down\d|mid|up\d))*"


class LayoutGuidanceSetting(SamplingSetting):
    """As released (conf/base_config.yaml and the defaults of its code)."""

    n_timesteps: int = Field(51, ge=1, le=999, description="denoising steps")
    scheduler: SolverName = Field("lms", description="diffusers' scheduler")
    loss_scale: float = Field(
        30, gt=0, le=1000, description="what the loss is multiplied by: step size"
    )
    loss_threshold: float = Field(
        0.2, ge=0, le=1, description="loss, before scaling, at which guidance ends for good"
    )
    max_iter: int = Field(5, ge=0, le=100, description="most guidance passes before a step")
    max_index_step: int = Field(
        10, ge=0, le=999, description="steps, from the first, that are guided"
    )
    layers: str = Field(
        "mid+up1", pattern=f"^{BLOCKS}$", description='blocks whose maps are read, joined by "+"'
    )
    heads: Heads = Field("all", description="attention heads that enter the loss")
    box_rounding: Rounding = Field("down", description="how boxes are cut to a map's cells")
    tokens: Counting = Field(
        "pieces",
        description="how words are found: pieces, by the tokenizer's; words, by counting, as "
        "released, which goes wrong behind a word of several pieces",
    )


@dataclass(frozen=True)
class Guidance:
    """What moves the latents before one step."""

    loss_scale: float
    loss_threshold: float
    max_iter: int
    layers: str
    heads: Heads
    box_rounding: Rounding
    tokens: Counting


@dataclass(frozen=True, kw_only=True)
class LayoutPlan(SamplingPlan):
    """One step; ``evaluations`` counts guidance passes as if none ended early."""

    guidance: Guidance | None


class LayoutGuidance(TextSampler):
    """An image whose objects stand in given boxes."""

    name = "layout-guidance"
    paper = "Chen et al., Layout Guidance, WACV 2024"
    requires = replace(TextSampler.requires, layout=True)
    Setting = LayoutGuidanceSetting
    presets = {
        "released": {"tokens": "words"},
        "walkthrough-004": {
            "n_timesteps": 20,
            "scheduler": "euler",
            "loss_scale": 50,
            "heads": "second half",
            "box_rounding": "nearest",
        },
    }

    def plan(self, setting: LayoutGuidanceSetting, n_frames: int) -> Sequence[LayoutPlan]:
        """The first ``max_index_step`` steps are guided."""
        names = Guidance.__dataclass_fields__
        guidance = Guidance(**{name: getattr(setting, name) for name in names})
        plans = []
        for k, values in enumerate(self.sampling(setting, n_frames)):
            guided = k < setting.max_index_step and setting.max_iter > 0
            values["evaluations"] += n_frames * setting.max_iter if guided else 0
            plans.append(LayoutPlan(**values, guidance=guidance if guided else None))
        return plans

    def targets(self, ctx: Context, counting: Counting) -> list[Target]:
        """The edit's objects by token positions; :class:`UserError` for absent words or boxes."""
        find = partial(token_positions, ctx.backbone.tokenizer)
        if counting == "words":
            find = word_positions
        found = []
        for region in ctx.edit.layout:
            if not region.boxes:
                raise UserError(
                    f"the phrase '{region.phrase}' of the prompt '{ctx.edit.prompt}' has no box; "
                    "layout guidance needs one for every object of a layout."
                )
            words = find(ctx.edit.prompt, region.phrase)
            found.append(Target(tuple(p for pieces in words for p in pieces), region.boxes))
        return found

    def start(self, ctx: Context) -> State:
        """Noise, and no loss yet; :class:`UserError` for words that the prompt does not have."""
        self.targets(ctx, ctx.setting.tokens)
        state = super().start(ctx)
        state.extra[LOSS] = torch.full((len(state.latents),), UNTESTED)
        return state

    def prepare(self, ctx: Context, state: State, plan: LayoutPlan, stand: Stand) -> State:
        """Guide each image by itself."""
        if plan.guidance is None:
            return state
        targets = self.targets(ctx, plan.guidance.tokens)
        evaluate = evaluation(ctx, targets, plan.guidance, stand)
        moved = [
            follow_layout(latents, loss, plan.guidance, stand, evaluate)
            for latents, loss in zip(state.latents.split(1), state.extra[LOSS], strict=True)
        ]
        latents, losses = zip(*moved, strict=True)
        return State(torch.cat(latents), state.extra | {LOSS: torch.stack(losses)})


def evaluation(
    ctx: Context, targets: Sequence[Target], guidance: Guidance, stand: Stand
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The scaled loss of latents (1, 4, h, w) and its gradient."""
    embedding = ctx.backbone.embed([ctx.edit.prompt])
    sites = sites_of_blocks(ctx.backbone.unet, guidance.layers)

    def objective(maps: Maps) -> tuple[Tensor, None]:
        each = [maps[site.name][0] for site in sites]
        loss = layout_loss(each, targets, guidance.box_rounding, guidance.heads)
        return loss * guidance.loss_scale, None

    def evaluate(latents: Tensor) -> tuple[Tensor, Tensor]:
        return follow(ctx.backbone, stand, latents, embedding, sites, objective)[:2]

    return evaluate


def follow_layout(
    latents: Tensor,
    loss: Tensor,
    guidance: Guidance,
    stand: Stand,
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """Latents and loss after at most ``max_iter`` moves.

    As released the loss is that before the latest move, and it is carried along: once it is at the
    threshold, no later step moves anything. A move's length is the variance of the noise, in the
    scaling that the latents have.
    """
    variance = stand.sigma**2
    length = variance if stand.exploding else variance / (1 + variance)
    for _ in range(guidance.max_iter):
        if not loss / guidance.loss_scale > guidance.loss_threshold:
            break
        loss, gradient = evaluate(latents)
        latents = latents - gradient * length
    return latents, loss
