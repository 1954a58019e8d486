"""TokenFlow: Consistent Diffusion Features for Consistent Video Editing.

Geyer, Bar-Tal, Bagon, Dekel, ICLR 2024, https://arxiv.org/abs/2307.10373, with PnP guidance, as
released at https://github.com/omerbt/TokenFlow. Each step edits one random keyframe per batch
jointly (extended attention), then every frame takes the keyframes' features along the source
video's nearest-token matches.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from methods.base import Context, InversionSpec, Method, Requirements, State, StepPlan
from methods.ddim import STABLE_DIFFUSION
from methods.inversion import InvertedSetting, inversion_spec
from methods.routes import draw_keyframes
from methods.sampling import Branches
from methods.tokenflow_step import renoised, tokenflow_step


class TokenFlowSetting(InvertedSetting):
    """Defaults are the released program's (config_pnp.yaml), its departures from the paper too."""

    n_inversion_steps: int = Field(500, ge=1, le=999, description="DDIM inversion steps")
    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field(
        "ugly, blurry, low res, unrealistic, unaesthetic",
        description="prompt of the unconditional branch",
    )
    inversion_prompt: Literal["clip", "empty"] = Field(
        "clip",
        description="what inversion and source branch are told: the clip's prompt, or nothing",
    )
    guidance: Literal["pnp", "sdedit"] = Field(
        "pnp", description="what keeps the structure: PnP's injection, or SDEdit's late start"
    )
    sdedit_t: float = Field(
        0.9,
        gt=0,
        le=1,
        description="share of the steps that SDEdit guidance runs; as released, one step fewer",
    )
    start: Literal["renoised", "saved"] = Field(
        "renoised",
        description="noise of the noisiest inverted latents, or the first step's latents as saved",
    )
    pnp_f_t: float = Field(0.8, ge=0, le=1, description="share of steps with feature injection")
    pnp_f_block: int = Field(
        1, ge=0, le=3, description="decoder block whose residual features are injected, as released"
    )
    pnp_attn_t: float = Field(0.5, ge=0, le=1, description="share of steps with q, k injection")
    batch_size: int = Field(8, ge=1, le=256, description="frames per keyframe")
    keyframes: Literal["drawn", "fixed"] = Field(
        "drawn", description="drawn anew in every step, or once for all steps"
    )
    keyframe_batch: int = Field(
        0,
        ge=0,
        le=256,
        description="keyframes edited at once, blind to the others (long clips); 0 for all",
    )
    blend: Literal["released", "paper"] = Field(
        "released",
        description="own and previous batch's keyframe by sigmoid, or nearest on both sides",
    )
    window: int = Field(
        0, ge=0, le=255, description="keyframes that a keyframe attends to; odd, 0 for all"
    )
    window_sites: Literal["all", "uninjected"] = Field(
        "all", description="where the window holds: all self-attentions, or the 8 without injection"
    )

    @model_validator(mode="after")
    def _odd_window(self) -> TokenFlowSetting:
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
    pnp_f_block: int
    start: str | None  # matters to the start, and so stands in the first plan only
    batch_size: int
    keyframes: str
    keyframe_batch: int
    blend: str
    window: int
    window_sites: str

    @property
    def source_key(self) -> Hashable:
        """The source branch of a step depends on what its keyframes are and serve, too."""
        return (
            self.timestep,
            self.pnp_f_block,
            self.batch_size,
            self.keyframes,
            self.keyframe_batch,
            self.blend,
        )


class TokenFlow(Method):
    """Keyframes edited jointly, their features propagated to all frames."""

    name = "tokenflow"
    paper = "Geyer et al., TokenFlow, ICLR 2024"
    requires = Requirements(inversion=True)
    Setting = TokenFlowSetting
    presets = {
        "paper": {"blend": "paper", "start": "saved"},
        "sdedit": {"guidance": "sdedit"},
        "window3": {"window": 3, "window_sites": "uninjected"},
        "fast": {"n_inversion_steps": 50},
        "long": {"keyframe_batch": 8},
    }

    def inversion(self, setting: TokenFlowSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt, or with none, which is PnP's inversion."""
        prompt = clip_prompt if setting.inversion_prompt == "clip" else ""
        return inversion_spec(setting.n_inversion_steps, setting.n_timesteps, prompt)

    def plan(self, setting: TokenFlowSetting, n_frames: int) -> Sequence[TokenFlowPlan]:
        """PnP guidance injects in the first ``int(n * share)`` steps, SDEdit's skips the first."""
        n, pnp = setting.n_timesteps, setting.guidance == "pnp"
        n_keyframes = -(-n_frames // setting.batch_size)
        timesteps = STABLE_DIFFUSION.timesteps(n)
        kept = timesteps if pnp else timesteps[int(1 - setting.sdedit_t * n) :]
        return [
            TokenFlowPlan(
                timestep=t,
                evaluations=Branches.COUNT * (n_keyframes + n_frames),
                source_evaluations=n_keyframes + n_frames,
                previous=STABLE_DIFFUSION.previous(t, n),
                n_inversion_steps=setting.n_inversion_steps,
                guidance_scale=setting.guidance_scale,
                negative_prompt=setting.negative_prompt,
                inject_features=pnp and k < int(n * setting.pnp_f_t),
                inject_attention=pnp and k < int(n * setting.pnp_attn_t),
                pnp_f_block=setting.pnp_f_block,
                start=setting.start if k == 0 else None,
                batch_size=setting.batch_size,
                keyframes=setting.keyframes,
                keyframe_batch=setting.keyframe_batch,
                blend=setting.blend,
                window=setting.window,
                window_sites=setting.window_sites if setting.window else "all",
            )
            for k, t in enumerate(kept)
        ]

    def start(self, ctx: Context) -> State:
        """Inverted latents at the first timestep: brought to its noise level, or as saved."""
        first = self.plan(ctx.setting, 1)[0]
        if first.start == "saved":
            return State(ctx.inversion.latents[first.timestep])
        return State(renoised(ctx.backbone, ctx.inversion, first.timestep))

    def step(self, ctx: Context, state: State, plan: TokenFlowPlan, k: int) -> State:
        """Draw keyframes, edit them jointly, propagate to all frames, denoise."""
        rng = ctx.rng("keyframes", 0 if plan.keyframes == "fixed" else k)
        keyframes = draw_keyframes(len(state.latents), plan.batch_size, rng)
        prompts = [ctx.inversion.spec.prompt, plan.negative_prompt, ctx.edit.prompt]
        source = ctx.inversion.latents[plan.timestep]
        embeddings = ctx.backbone.embed(prompts)
        branches = Branches(source, state.latents, embeddings, plan.timestep)
        latents = tokenflow_step(ctx.backbone, branches, keyframes, plan, ctx.shared)
        return State(latents, state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)
