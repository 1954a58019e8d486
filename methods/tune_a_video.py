"""Tune-A-Video: One-Shot Tuning of Image Diffusion Models for Text-to-Video Generation.

Wu et al., ICCV 2023, https://arxiv.org/abs/2212.11565, as released at
https://github.com/showlab/Tune-A-Video: an image network made to see all frames of a clip at once
is tuned on that one clip, inverts it, and draws it again under another prompt. Every edit, guidance
and seed shares the clip's tuned weights. The released frames, 24 of 512x512, took 500 steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from methods.base import Requirements, Setting, State, StepPlan
from methods.ddim import STABLE_DIFFUSION
from methods.inflation import Inflation
from methods.inversion import inversion_spec, inverted_start
from methods.sampling import denoise, guide, predict_branches
from methods.tuned_inversion import invert_tuned
from methods.tuned_network import tuned_network
from methods.tuner import Tuner
from methods.tuning import TunedContext, TunedInversionSpec, TunedMethod, TuningSpec

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.inversion import Inversion

#: Keys and values of every frame are the first's and the frame's before, at all levels.
INFLATION = Inflation(attend=("first", -1))
NOTHING = ""  # the prompt that clips are inverted with, as released


class TuneAVideoSetting(Setting):
    """As released (configs/man-skiing.yaml)."""

    n_timesteps: int = Field(50, ge=1, le=500, description="steps of inversion and of denoising")
    guidance_scale: float = Field(12.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field("", description="prompt of the unconditional branch")
    tuning_steps: int = Field(500, ge=1, le=100_000, description="gradient steps on the clip")
    learning_rate: float = Field(3e-5, gt=0, le=1, description="of the tuning")
    tuning_seed: int = Field(
        33, ge=0, le=2**31 - 1, description="of the tuning's noise and new layers"
    )
    temporal: Literal["released", "identity"] = Field(
        "released",
        description="biases of untuned temporal layers: the released ones, which are random, or "
        "none, so that tuning starts from the image network",
    )


@dataclass(frozen=True, kw_only=True)
class TuneAVideoPlan(StepPlan):
    """One guided step of the tuned network."""

    previous: int
    guidance_scale: float
    negative_prompt: str


class TuneAVideo(TunedMethod):
    """A clip drawn again under another prompt by a network tuned on it."""

    name = "tune-a-video"
    paper = "Wu et al., Tune-A-Video, ICCV 2023"
    requires = Requirements(inversion=True)
    stochastic = False
    Setting = TuneAVideoSetting
    tuning_modules = ("methods.backbones.load", "methods.tuner", "methods.tuned_inversion")

    def tuner(self, backbone: StableDiffusion, frames: np.ndarray, spec: TuningSpec) -> Tuner:
        """A tuning on the clip's latents."""
        return Tuner(backbone, backbone.encode(frames), spec)

    def invert(
        self,
        backbone: StableDiffusion,
        frames: np.ndarray,
        spec: TunedInversionSpec,
        weights: Mapping[str, Tensor],
    ) -> Inversion:
        """The clip inverted by the tuned network."""
        return invert_tuned(backbone, backbone.encode(frames), spec, weights)

    def inversion(self, setting: TuneAVideoSetting, clip_prompt: str) -> TunedInversionSpec:
        """Inverted by the network tuned on the clip, in as many steps as sampled."""
        n = setting.n_timesteps
        plain = inversion_spec(n, n, NOTHING, INFLATION)
        tuning = TuningSpec(
            steps=setting.tuning_steps,
            learning_rate=setting.learning_rate,
            seed=setting.tuning_seed,
            prompt=clip_prompt,
            inflation=INFLATION,
            temporal=setting.temporal,
        )
        return TunedInversionSpec(plain.steps, plain.save, NOTHING, INFLATION, tuning=tuning)

    def plan(self, setting: TuneAVideoSetting, n_frames: int) -> Sequence[TuneAVideoPlan]:
        """All steps alike."""
        n = setting.n_timesteps
        return [
            TuneAVideoPlan(
                timestep=t,
                evaluations=2 * n_frames,
                previous=STABLE_DIFFUSION.previous(t, n),
                guidance_scale=setting.guidance_scale,
                negative_prompt=setting.negative_prompt,
            )
            for t in STABLE_DIFFUSION.timesteps(n)
        ]

    def start(self, ctx: TunedContext) -> State:
        """The last inverted latents."""
        return inverted_start(ctx)

    def step(self, ctx: TunedContext, state: State, plan: TuneAVideoPlan, k: int) -> State:
        """One guided DDIM step of all frames at once."""
        backbone, x = ctx.backbone, state.latents
        embeddings = backbone.embed([plan.negative_prompt, ctx.edit.prompt])
        with tuned_network(backbone.unet, INFLATION, len(x), ctx.tuned):
            branches = predict_branches(backbone, [x, x], embeddings, plan.timestep)
        noise = guide(*branches, plan.guidance_scale)
        return State(denoise(backbone, x, noise, plan.timestep, plan.previous), state.extra)

    def finish(self, ctx: TunedContext, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)
