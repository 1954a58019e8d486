"""Text-to-image sampling: what the plain baseline and the guided methods have in common.

A clip's frames say how many images to make and how large; their pixels are not looked at. Image k
starts from noise that depends on seed and k alone, so methods are compared on equal noise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from data.errors import UserError
from methods.base import Context, Method, Requirements, Setting, State, StepPlan
from methods.lazy import lazy_import
from methods.sampling import chunks, guide, predict_branches
from methods.solvers import SOLVERS, SolverName, Stand
from methods.watching import ATTENTION, watching

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
else:
    torch = lazy_import("torch")

HISTORY = "history."  # in a state's extras, before what the scheduler remembers


class SamplingSetting(Setting):
    """How to sample an image."""

    n_timesteps: int = Field(50, ge=1, le=999, description="denoising steps")
    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field("", description="prompt of the unconditional branch")
    scheduler: SolverName = Field(
        "pndm",
        description="diffusers' scheduler; lms is unstable under strong guidance on networks that "
        "follow their text closely, such as the embedded one (methods.solvers)",
    )
    watch: str = Field(
        "",
        pattern=r"^(|down\d|mid|up\d)$",
        description="block whose attention to the layout's phrases is kept beside the frames",
    )


@dataclass(frozen=True, kw_only=True)
class SamplingPlan(StepPlan):
    """One guided step."""

    scheduler: SolverName
    n_timesteps: int
    guidance_scale: float
    negative_prompt: str
    watch: str


class TextSampler(Method):
    """Noise to image along a diffusers scheduler; subclasses may move latents before each step."""

    # A fraction of a timestep, which some schedulers take, has no alpha to turn velocity with.
    requires = Requirements(prediction=("epsilon",))

    @abstractmethod
    def prepare(self, ctx: Context, state: State, plan: Any, stand: Stand) -> State:
        """The state with latents (and extras) as they are to be denoised in this step."""

    def sampling(self, setting: SamplingSetting, n_frames: int) -> list[dict[str, Any]]:
        """The values of :class:`SamplingPlan`, step by step."""
        return [
            {
                "timestep": timestep,
                "evaluations": 2 * n_frames,
                "scheduler": setting.scheduler,
                "n_timesteps": setting.n_timesteps,
                "guidance_scale": setting.guidance_scale,
                "negative_prompt": setting.negative_prompt,
                "watch": setting.watch,
            }
            for timestep in SOLVERS[setting.scheduler].timesteps(setting.n_timesteps)
        ]

    def start(self, ctx: Context) -> State:
        """Noise at the scheduler's first level; :class:`UserError` for frames that do not fit."""
        shape = latent_shape(ctx.backbone, ctx.clip.frames)
        noise = [
            torch.randn(shape, generator=ctx.rng("noise", k)) for k in range(len(ctx.clip.frames))
        ]
        stand = Stand.before(ctx.setting.scheduler, ctx.backbone, ctx.setting.n_timesteps, 0)
        return State(torch.stack(noise) * stand.start_scale)

    def step(self, ctx: Context, state: State, plan: SamplingPlan, k: int) -> State:
        """Prepare, then one step with classifier-free guidance."""
        kept = {name: x for name, x in state.extra.items() if not name.startswith(HISTORY)}
        past = {n.removeprefix(HISTORY): state.extra[n] for n in state.extra.keys() - kept.keys()}
        stand = Stand.before(plan.scheduler, ctx.backbone, plan.n_timesteps, k, past)
        prepared = self.prepare(ctx, State(state.latents, kept), plan, stand)
        with watching(ctx, plan.watch, prepared.latents) as watch:
            latents, history = guided_step(
                ctx.backbone, ctx.edit.prompt, prepared.latents, plan, stand
            )
        extra = prepared.extra | {HISTORY + name: x for name, x in history.items()}
        return State(latents, watch.add(extra))

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)

    def traces(self, state: State) -> Mapping[str, np.ndarray]:
        """``attention``: (steps, N, phrases, h, w) shares, where a block is watched."""
        kept = state.extra.get(ATTENTION)
        return {} if kept is None else {ATTENTION: kept.numpy()}


def latent_shape(backbone: StableDiffusion, frames: np.ndarray) -> tuple[int, int, int]:
    """(channels, h, w) of one frame's latents; :class:`UserError` for a size that does not fit."""
    factor = 2 ** (len(backbone.vae.config.block_out_channels) - 1)
    height, width = frames.shape[1:3]
    if height % factor or width % factor:
        raise UserError(
            f"images of {width}x{height} pixels do not fit this backbone: width and height must be "
            f"multiples of {factor}."
        )
    return backbone.unet.config.in_channels, height // factor, width // factor


def guided_step(
    backbone: StableDiffusion, prompt: str, latents: Tensor, plan: SamplingPlan, stand: Stand
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of independent images; latents (N, 4, h, w), and the scheduler's history."""
    embeddings = backbone.embed([plan.negative_prompt, prompt])
    seen = stand.scaled(latents)
    noise = torch.cat(
        [
            guide(
                *predict_branches(backbone, [seen[part]] * 2, embeddings, plan.timestep),
                plan.guidance_scale,
            )
            for part in chunks(len(seen), 2, backbone.max_samples)
        ]
    )
    return stand.step(noise, latents)
