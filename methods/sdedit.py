"""SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations.

Meng et al., ICLR 2022, https://arxiv.org/abs/2108.01073, with a latent text-to-image model as in
diffusers' image-to-image pipeline; every frame by itself. Noise the source, then denoise it with
the target prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from methods.base import Context, Method, Setting, State, StepPlan
from methods.ddim import STABLE_DIFFUSION, add_noise
from methods.lazy import lazy_import
from methods.sampling import edit_step

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")


class SDEditSetting(Setting):
    """Defaults of diffusers' image-to-image pipeline."""

    n_timesteps: int = Field(50, ge=1, le=999, description="denoising steps at full strength")
    strength: float = Field(
        0.8, gt=0, le=1, description="share of the steps that are run: 1 forgets the source"
    )
    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field("", description="prompt of the unconditional branch")
    shared_noise: bool = Field(False, description="the same noise for all frames of a clip")


@dataclass(frozen=True)
class SDEditPlan(StepPlan):
    """One step; ``shared_noise`` matters to the start and so stands in the first plan only."""

    previous: int
    guidance_scale: float
    negative_prompt: str
    shared_noise: bool | None


class SDEdit(Method):
    """Per-frame noising and denoising."""

    name = "sdedit"
    paper = "Meng et al., SDEdit, ICLR 2022"
    Setting = SDEditSetting

    def plan(self, setting: SDEditSetting, n_frames: int) -> Sequence[SDEditPlan]:
        """The last ``int(n_timesteps * strength)`` timesteps, at least one."""
        n = setting.n_timesteps
        kept = max(1, int(n * setting.strength))
        return [
            SDEditPlan(
                timestep=t,
                evaluations=2 * n_frames,
                previous=STABLE_DIFFUSION.previous(t, n),
                guidance_scale=setting.guidance_scale,
                negative_prompt=setting.negative_prompt,
                shared_noise=setting.shared_noise if k == 0 else None,
            )
            for k, t in enumerate(STABLE_DIFFUSION.timesteps(n)[-kept:])
        ]

    def start(self, ctx: Context) -> State:
        """The source's latents, noised to the first timestep; a frame's noise is keyed by index."""
        first = self.plan(ctx.setting, 1)[0]
        clean = ctx.backbone.encode(ctx.clip.frames)
        index = [0 if first.shared_noise else frame for frame in range(len(clean))]
        noise = torch.stack(
            [torch.randn(clean.shape[1:], generator=ctx.rng("noise", frame)) for frame in index]
        )
        alpha = ctx.backbone.alpha(first.timestep)
        return State(add_noise(clean, noise.to(clean), alpha))

    def step(self, ctx: Context, state: State, plan: SDEditPlan, k: int) -> State:
        """One guided DDIM step."""
        return edit_step(ctx, state, plan)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)
