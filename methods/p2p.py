"""Prompt-to-Prompt Image Editing with Cross-Attention Control.

Hertz et al., ICLR 2023, https://arxiv.org/abs/2208.01626, as released at
https://github.com/google/prompt-to-prompt, for given images: where the paper denoises a source of
its own making beside the edit, the source branch here runs on the inverted latents of every
timestep. Every frame by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from methods.base import Context, InversionSpec, Method, Requirements, State
from methods.blending import blend, word_mask
from methods.inversion import InvertedSetting, inversion_spec, inverted_start
from methods.prompt_edit import PromptEditPlan, PromptEditSetting, switches
from methods.prompt_edit_step import prompt_edit, read_prompts
from methods.sampling import denoise
from methods.source_pass import SourcePass, read_source

BLENDED_FROM = 0.2  # share of steps before latents are blended
SELF_QUERIES = 16**2  # larger self-attention maps are left alone, as released


class P2PSetting(PromptEditSetting, InvertedSetting):
    """As released (prompt-to-prompt_stable.ipynb), from DDIM inversion."""

    self_replace_steps: float = Field(
        0.4, ge=0, le=1, description="share of steps up to which self-attention is taken"
    )


@dataclass(frozen=True, kw_only=True)
class P2PPlan(PromptEditPlan):
    """One step of independent frames."""

    n_inversion_steps: int


class P2P(Method):
    """Per-frame editing with the source's attention maps."""

    name = "p2p"
    paper = "Hertz et al., Prompt-to-Prompt, ICLR 2023"
    requires = Requirements(inversion=True)
    stochastic = False
    Setting = P2PSetting
    presets = {"local": {"blend_latents": True}}

    def inversion(self, setting: P2PSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt."""
        return inversion_spec(setting.n_inversion_steps, setting.n_timesteps, clip_prompt)

    def plan(self, setting: P2PSetting, n_frames: int) -> Sequence[P2PPlan]:
        """Maps are taken while their shares last; latents are blended from a fifth on."""
        n = setting.n_timesteps
        return [
            P2PPlan(
                n_inversion_steps=setting.n_inversion_steps,
                **switches(
                    setting, k, n_frames, blends=k + 1 > int(BLENDED_FROM * n), adds_up_source=True
                ),
            )
            for k in range(n)
        ]

    def start(self, ctx: Context) -> State:
        """The inverted latents of the first timestep."""
        return inverted_start(ctx)

    def step(self, ctx: Context, state: State, plan: P2PPlan, k: int) -> State:
        """One guided step under the source's maps; masks are of all maps seen so far."""
        kept, backbone = ctx.inversion, ctx.backbone

        def read(part: slice) -> SourcePass:
            seen = kept.latents[plan.timestep][part]
            return read_source(backbone, seen, backbone.embed([kept.spec.prompt]), plan.timestep)

        result = prompt_edit(
            ctx,
            state.latents,
            read_prompts(ctx, plan),
            plan,
            read,
            inflation=None,
            self_queries=SELF_QUERIES,
        )
        latents = denoise(backbone, state.latents, result.noise, plan.timestep, plan.previous)
        extra = dict(state.extra)
        if plan.watch:
            extra["seen"] = result.target_seen + extra.get("seen", 0)
            extra["source_seen"] = result.source_seen + extra.get("source_seen", 0)
        if plan.latent_mask is not None:
            size = latents.shape[-2:]
            masks = [word_mask(extra[x], size, plan.latent_mask) for x in ("seen", "source_seen")]
            source = kept.clean if plan.previous < 0 else kept.latents[plan.previous]
            latents = blend(source, latents, masks[0] | masks[1])
        return State(latents, extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)
