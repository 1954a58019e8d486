"""Plug-and-Play Diffusion Features for Text-Driven Image-to-Image Translation.

Tumanyan, Geyer, Bagon, Dekel, CVPR 2023, https://arxiv.org/abs/2211.12572, as released for
diffusers at https://github.com/MichalGeyer/pnp-diffusers; every frame by itself. The source's
residual features and self-attention queries and keys guide the first steps of the edit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from methods.attention import control, residual_site
from methods.base import (
    Context,
    InversionSpec,
    Method,
    Requirements,
    Shared,
    State,
    StepPlan,
    compute,
)
from methods.ddim import STABLE_DIFFUSION
from methods.injection import read_source
from methods.inversion import InvertedSetting, inversion_spec, inverted_start
from methods.lazy import lazy_import
from methods.sampling import Branches, chunks, denoise, guide, guided_step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
else:
    torch = lazy_import("torch")

SOURCE_PROMPT = ""  # released: the source branch is unconditional, whatever it was inverted with


class PnPSetting(InvertedSetting):
    """As released (config_pnp.yaml)."""

    n_inversion_steps: int = Field(999, ge=1, le=999, description="DDIM inversion steps")
    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field(
        "ugly, blurry, black, low res, unrealistic",
        description="prompt of the unconditional branch",
    )
    pnp_f_t: float = Field(0.8, ge=0, le=1, description="share of steps with feature injection")
    pnp_f_block: int = Field(
        1, ge=0, le=3, description="decoder block whose residual features are injected, as released"
    )
    pnp_attn_t: float = Field(0.5, ge=0, le=1, description="share of steps with q, k injection")
    inversion_prompt: Literal["empty", "clip"] = Field(
        "empty", description="what the source is inverted with: nothing, or the clip's prompt"
    )


@dataclass(frozen=True)
class PnPPlan(StepPlan):
    """One step's switches."""

    previous: int
    n_inversion_steps: int
    guidance_scale: float
    negative_prompt: str
    inject_features: bool
    inject_attention: bool
    pnp_f_block: int

    @property
    def source_key(self) -> Hashable:
        """The source branch keeps the features of one block."""
        return self.timestep, self.pnp_f_block


class PnP(Method):
    """Per-frame editing with the source's features and self-attention."""

    name = "pnp"
    paper = "Tumanyan et al., Plug-and-Play, CVPR 2023"
    requires = Requirements(inversion=True)
    stochastic = False
    Setting = PnPSetting
    presets = {"fast": {"n_inversion_steps": 50}}

    def inversion(self, setting: PnPSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with an empty prompt, as released, or with the clip's."""
        prompt = clip_prompt if setting.inversion_prompt == "clip" else SOURCE_PROMPT
        return inversion_spec(setting.n_inversion_steps, setting.n_timesteps, prompt)

    def plan(self, setting: PnPSetting, n_frames: int) -> Sequence[PnPPlan]:
        """Features and attention are injected in the first ``int(n * share)`` steps."""
        n = setting.n_timesteps
        plans = []
        for k, t in enumerate(STABLE_DIFFUSION.timesteps(n)):
            features = k < int(n * setting.pnp_f_t)
            attention = k < int(n * setting.pnp_attn_t)
            source = n_frames if features or attention else 0
            plans.append(
                PnPPlan(
                    timestep=t,
                    evaluations=2 * n_frames + source,
                    source_evaluations=source,
                    previous=STABLE_DIFFUSION.previous(t, n),
                    n_inversion_steps=setting.n_inversion_steps,
                    guidance_scale=setting.guidance_scale,
                    negative_prompt=setting.negative_prompt,
                    inject_features=features,
                    inject_attention=attention,
                    pnp_f_block=setting.pnp_f_block,
                )
            )
        return plans

    def start(self, ctx: Context) -> State:
        """The inverted latents of the first timestep."""
        return inverted_start(ctx)

    def step(self, ctx: Context, state: State, plan: PnPPlan, k: int) -> State:
        """Denoise with the source's features of this timestep."""
        prompts = [SOURCE_PROMPT, plan.negative_prompt, ctx.edit.prompt]
        source = ctx.inversion.latents[plan.timestep]
        embeddings = ctx.backbone.embed(prompts)
        branches = Branches(source, state.latents, embeddings, plan.timestep)
        return State(pnp_step(ctx.backbone, branches, plan, ctx.shared), state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)


def pnp_step(
    backbone: StableDiffusion, branches: Branches, plan: PnPPlan, shared: Shared = compute
) -> Tensor:
    """One denoising step of independent frames.

    Where nothing is injected the source branch has no effect and is not run.
    """
    latents = branches.latents
    if not (plan.inject_features or plan.inject_attention):
        prompts = branches.embeddings[1:]
        return guided_step(
            backbone, latents, prompts, plan.timestep, plan.previous, plan.guidance_scale
        )
    noise = []
    for part in chunks(len(latents), Branches.COUNT, backbone.max_samples):
        seen = branches[part]
        work = partial(read_source, backbone, seen, residual_site(plan.pnp_f_block))
        source = shared((plan.source_key, part.start), work)
        processors = source.processors(plan.inject_attention)
        with control(backbone.unet, processors, source.hooks(plan.inject_features)):
            uncond, cond = seen.edit(backbone)
        noise.append(guide(uncond, cond, plan.guidance_scale))
    return denoise(backbone, latents, torch.cat(noise), plan.timestep, plan.previous)
