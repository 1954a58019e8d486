"""DDIM inversion and back, with the source prompt and no guidance.

Song, Meng, Ermon, ICLR 2021, https://arxiv.org/abs/2010.02502. What inversion alone loses: an
upper bound on how faithful the methods that start from inverted latents can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from methods.base import Context, InversionSpec, Method, Requirements, State, StepPlan
from methods.ddim import STABLE_DIFFUSION
from methods.inversion import InvertedSetting, inversion_spec, inverted_start
from methods.sampling import conditional_noise, denoise


class ReconstructSetting(InvertedSetting):
    """How finely to invert and to denoise."""


@dataclass(frozen=True)
class ReconstructPlan(StepPlan):
    """One unguided step."""

    previous: int
    n_inversion_steps: int


class Reconstruct(Method):
    """Control: inverted and denoised again."""

    name = "reconstruct"
    paper = "Song et al., DDIM, ICLR 2021"
    requires = Requirements(inversion=True, edit=False)
    stochastic = False
    Setting = ReconstructSetting

    def inversion(self, setting: ReconstructSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt."""
        return inversion_spec(setting.n_inversion_steps, setting.n_timesteps, clip_prompt)

    def plan(self, setting: ReconstructSetting, n_frames: int) -> Sequence[ReconstructPlan]:
        """Every sampling timestep, one branch."""
        n = setting.n_timesteps
        return [
            ReconstructPlan(
                timestep=t,
                evaluations=n_frames,
                previous=STABLE_DIFFUSION.previous(t, n),
                n_inversion_steps=setting.n_inversion_steps,
            )
            for t in STABLE_DIFFUSION.timesteps(n)
        ]

    def start(self, ctx: Context) -> State:
        """The inverted latents of the first timestep."""
        return inverted_start(ctx)

    def step(self, ctx: Context, state: State, plan: ReconstructPlan, k: int) -> State:
        """One unguided DDIM step under the source prompt."""
        embedding = ctx.backbone.embed([ctx.inversion.spec.prompt])
        noise = conditional_noise(ctx.backbone, state.latents, embedding, plan.timestep)
        latents = denoise(ctx.backbone, state.latents, noise, plan.timestep, plan.previous)
        return State(latents, state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)
