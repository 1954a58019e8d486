"""TokenFlow: Consistent Diffusion Features for Consistent Video Editing.

Geyer, Bar-Tal, Bagon, Dekel, ICLR 2024, https://arxiv.org/abs/2307.10373, with PnP guidance, as
released at https://github.com/omerbt/TokenFlow. Each step edits one random keyframe per batch
jointly (extended attention), then every frame takes the keyframes' features along the source
video's nearest-token matches.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from methods.attention import PNP_ATTENTION, self_attention_sites
from methods.base import (
    Context,
    InversionSpec,
    Method,
    Requirements,
    Setting,
    Shared,
    State,
    StepPlan,
    compute,
)
from methods.correspondence import route
from methods.ddim import STABLE_DIFFUSION, add_noise, noise_between
from methods.inversion import check_grids, inversion_spec
from methods.lazy import lazy_import
from methods.propagation import (
    draw_keyframes,
    edit_keyframes,
    propagate,
    read_frames,
    read_keyframes,
)
from methods.sampling import Branches, chunks, denoise, guide

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.inversion import Inversion
else:
    torch = lazy_import("torch")


class TokenFlowSetting(Setting):
    """As released (config_pnp.yaml), plus the window variant."""

    n_timesteps: int = Field(50, ge=1, le=500, description="denoising steps")
    n_inversion_steps: int = Field(500, ge=1, le=999, description="DDIM inversion steps")
    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field(
        "ugly, blurry, low res, unrealistic, unaesthetic",
        description="prompt of the unconditional branch",
    )
    pnp_f_t: float = Field(0.8, ge=0, le=1, description="share of steps with feature injection")
    pnp_attn_t: float = Field(0.5, ge=0, le=1, description="share of steps with q, k injection")
    batch_size: int = Field(8, ge=1, le=256, description="frames per keyframe")
    window: int = Field(
        0, ge=0, le=255, description="keyframes that a keyframe attends to; odd, 0 for all"
    )
    window_sites: Literal["all", "uninjected"] = Field(
        "all", description="where the window holds: all self-attentions, or the 8 without injection"
    )

    @model_validator(mode="after")
    def _consistent(self) -> TokenFlowSetting:
        check_grids(self.n_inversion_steps, self.n_timesteps)
        if self.window and self.window % 2 == 0:
            raise ValueError(f"window {self.window} must be odd (a centre and its sides), or 0")
        return self


@dataclass(frozen=True)
class TokenFlowPlan(StepPlan):
    """One step's switches."""

    previous: int
    n_inversion_steps: int
    guidance_scale: float
    negative_prompt: str
    inject_features: bool
    inject_attention: bool
    batch_size: int
    window: int
    window_sites: str

    @property
    def source_key(self) -> Hashable:
        """The source branch of a step depends on its keyframes too: seed and batch size."""
        return self.timestep, self.batch_size


class TokenFlow(Method):
    """Keyframes edited jointly, their features propagated to all frames."""

    name = "tokenflow"
    paper = "Geyer et al., TokenFlow, ICLR 2024"
    requires = Requirements(inversion=True)
    Setting = TokenFlowSetting

    def inversion(self, setting: TokenFlowSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt."""
        return inversion_spec(setting.n_inversion_steps, setting.n_timesteps, clip_prompt)

    def plan(self, setting: TokenFlowSetting, n_frames: int) -> Sequence[TokenFlowPlan]:
        """Features and attention are injected in the first ``int(n * share)`` steps."""
        n = setting.n_timesteps
        n_keyframes = -(-n_frames // setting.batch_size)
        return [
            TokenFlowPlan(
                timestep=t,
                evaluations=Branches.COUNT * (n_keyframes + n_frames),
                source_evaluations=n_keyframes + n_frames,
                previous=STABLE_DIFFUSION.previous(t, n),
                n_inversion_steps=setting.n_inversion_steps,
                guidance_scale=setting.guidance_scale,
                negative_prompt=setting.negative_prompt,
                inject_features=k < int(n * setting.pnp_f_t),
                inject_attention=k < int(n * setting.pnp_attn_t),
                batch_size=setting.batch_size,
                window=setting.window,
                window_sites=setting.window_sites if setting.window else "all",
            )
            for k, t in enumerate(STABLE_DIFFUSION.timesteps(n))
        ]

    def start(self, ctx: Context) -> State:
        """The noisiest inverted latents, brought to the first timestep's noise level."""
        first = STABLE_DIFFUSION.timesteps(ctx.setting.n_timesteps)[0]
        return State(start_latents(ctx.backbone, ctx.inversion, first))

    def step(self, ctx: Context, state: State, plan: TokenFlowPlan, k: int) -> State:
        """Draw keyframes, edit them jointly, propagate to all frames, denoise."""
        keyframes = draw_keyframes(len(state.latents), plan.batch_size, ctx.rng("keyframes", k))
        prompts = [ctx.inversion.spec.prompt, plan.negative_prompt, ctx.edit.prompt]
        source = ctx.inversion.latents[plan.timestep]
        embeddings = ctx.backbone.embed(prompts)
        branches = Branches(source, state.latents, embeddings, plan.timestep)
        latents = tokenflow_step(ctx.backbone, branches, keyframes, plan, ctx.shared)
        return State(latents, state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)


def start_latents(backbone: StableDiffusion, inversion: Inversion, first: int) -> Tensor:
    """Noise read off the noisiest inverted latents, added to the clean ones at ``first``."""
    noisy = inversion.latents[inversion.noisiest]
    noise = noise_between(inversion.clean, noisy, backbone.alpha(inversion.noisiest))
    return add_noise(inversion.clean, noise, backbone.alpha(first))


def tokenflow_step(
    backbone: StableDiffusion,
    branches: Branches,
    keyframes: list[int],
    plan: TokenFlowPlan,
    shared: Shared = compute,
) -> Tensor:
    """One denoising step of all frames, given the global indices of the keyframes."""
    windowed = [
        site
        for site in self_attention_sites(backbone.unet)
        if plan.window_sites == "all" or site not in PNP_ATTENTION
    ]
    seen = branches[keyframes]
    source = shared((plan.source_key, "keyframes"), partial(read_keyframes, backbone, seen))
    _, outputs = edit_keyframes(
        backbone,
        seen,
        source,
        injected=PNP_ATTENTION if plan.inject_attention else (),
        features=plan.inject_features,
        windows=dict.fromkeys(windowed, plan.window),
    )
    noise = []
    for part in chunks(len(branches.latents), Branches.COUNT, backbone.max_samples):
        way, seen = route(range(part.start, part.stop), plan.batch_size), branches[part]
        frames = shared(
            (plan.source_key, part.start), partial(read_frames, backbone, seen, source, way)
        )
        uncond, cond = propagate(
            backbone, seen, frames, outputs, way, features=plan.inject_features
        )
        noise.append(guide(uncond, cond, plan.guidance_scale))
    return denoise(backbone, branches.latents, torch.cat(noise), plan.timestep, plan.previous)
