"""FateZero: Fusing Attentions for Zero-shot Text-based Video Editing.

Qi et al., ICCV 2023, https://arxiv.org/abs/2303.09535, as released at
https://github.com/ChenyangQiQi/FateZero. The clip is inverted and edited by an inflated network
that sees all frames at once; the edit takes the attention maps of the inversion's own steps, its
self-attention those outside the edited object's mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from methods.base import Context, InversionSpec, Method, Requirements, State
from methods.blending import blend, word_mask
from methods.inflation import FrameName, Inflation
from methods.inversion import inversion_spec, inverted_start
from methods.map_sites import LARGEST_MAP
from methods.prompt_edit import PromptEditPlan, PromptEditSetting, switches
from methods.prompt_edit_step import prompt_edit, read_prompts
from methods.sampling import denoise

BLENDED = (0.2, 0.8)  # share of steps whose latents are blended, both ends left out


class FateZeroSetting(PromptEditSetting):
    """As released for zero-shot style edits with Stable Diffusion."""

    blend_self_attention: bool = Field(
        False, description="inside the changed words' mask, self-attention stays the edit's own"
    )
    attend: tuple[FrameName | int, ...] = Field(
        ("mid",),
        description="frames that give every frame its keys and values: first, mid, last, or an "
        "integer relative to the frame",
    )
    plain_levels: int = Field(
        1, ge=0, le=4, description="finest levels of the network where frames keep to themselves"
    )
    temporal: Literal["identity", "released"] = Field(
        "identity",
        description="untrained temporal layers: none, or the released ones' random constants",
    )

    @property
    def inflation(self) -> Inflation:
        """The network's part of the setting."""
        return Inflation(self.attend, self.plain_levels, self.temporal)


@dataclass(frozen=True, kw_only=True)
class FateZeroPlan(PromptEditPlan):
    """One step of an inflated network."""

    inflation: Inflation


class FateZero(Method):
    """Attention maps of the inversion fused into a joint edit of all frames."""

    name = "fatezero"
    paper = "Qi et al., FateZero, ICCV 2023"
    requires = Requirements(inversion=True)
    stochastic = False
    Setting = FateZeroSetting
    presets = {
        "attribute": {"cross_replace_steps": 0.5, "self_replace_steps": 0.5},
        "shape": {
            "cross_replace_steps": 0.5,
            "self_replace_steps": 0.5,
            "blend_self_attention": True,
            "blend_latents": True,
            "attend": (-1, "first"),
            "plain_levels": 0,
        },
    }

    def inversion(self, setting: FateZeroSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt by the inflated network, in as many steps as sampled."""
        n = setting.n_timesteps
        return inversion_spec(n, n, clip_prompt, setting.inflation)

    def plan(self, setting: FateZeroSetting, n_frames: int) -> Sequence[FateZeroPlan]:
        """Maps are taken while their shares last; latents are blended in the middle steps."""
        n = setting.n_timesteps
        first, last = (int(share * n) for share in BLENDED)
        return [
            FateZeroPlan(
                inflation=setting.inflation,
                **switches(
                    setting,
                    k,
                    n_frames,
                    blends=first < k + 1 < last,
                    self_mask=setting.blend_self_attention,
                ),
            )
            for k in range(n)
        ]

    def start(self, ctx: Context) -> State:
        """The last inverted latents."""
        return inverted_start(ctx)

    def step(self, ctx: Context, state: State, plan: FateZeroPlan, k: int) -> State:
        """One guided step under the maps of the inversion step that led to this timestep.

        That step saw the latents of the timestep before, less noisy than the edit's. Latents
        outside the mask are the inverted ones of this timestep, one step noisier than the edit's
        by then. Both as released.
        """
        kept = ctx.inversion
        source = kept.clean if plan.previous < 0 else kept.latents[plan.previous]
        result = prompt_edit(
            ctx,
            state.latents,
            source,
            read_prompts(ctx, plan),
            plan,
            inflation=plan.inflation,
            self_queries=LARGEST_MAP,
        )
        latents = denoise(ctx.backbone, state.latents, result.noise, plan.timestep, plan.previous)
        extra = dict(state.extra)
        if plan.watch:
            extra["seen"] = result.target_seen + extra.get("seen", 0)
        if plan.latent_mask is not None:
            size = latents.shape[-2:]
            masks = [
                word_mask(seen, size, plan.latent_mask)
                for seen in (result.source_seen, extra["seen"])
            ]
            latents = blend(kept.latents[plan.timestep], latents, masks[0] | masks[1])
        return State(latents, extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)
