"""Step1X-Edit: an instruction changes an image; of a clip every frame by itself.

Liu et al., Step1X-Edit: A Practical Framework for General Image Editing, 2025,
https://arxiv.org/abs/2504.17761; stepfun-ai/Step1X-Edit v1.0. Every frame has the same noise, as
running the released program on each with one seed would give it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from methods.base import Context, Method, State
from methods.instructed import (
    REFERENCE,
    Asked,
    InstructedPlan,
    InstructedRequirements,
    InstructedSetting,
    branches,
    finished,
    guided_velocity,
    image_noise,
    instruction_of,
    plan_values,
    reference_state,
    times,
)


class Step1XEditSetting(InstructedSetting):
    """Defaults of the released program."""

    guidance_scale: float = Field(
        6.0, ge=0, le=30, description="classifier-free guidance; 1: none, and half the work"
    )
    timesteps_truncate: float = Field(
        1.0, ge=0, le=1, description="guidance is rescaled by its norm above this time; 1: never"
    )
    process_norm_power: float = Field(
        0.4, ge=0, le=1, description="power of the norm that guidance is divided by"
    )


@dataclass(frozen=True, kw_only=True)
class Step1XEditPlan(InstructedPlan):
    """One guided step."""

    guidance_scale: float
    rescaled_above: float | None
    power: float | None


class Step1XEdit(Method):
    """Noise to image beside the source's tokens, guided by the instruction."""

    name = "step1x-edit"
    paper = "Liu et al., Step1X-Edit, 2025"
    requires = InstructedRequirements()
    Setting = Step1XEditSetting
    presets = {
        "masked": {"text_mask": "everywhere"},
        "exact": {"text_mask": "everywhere", "bf16_times": False, "posterior": "mean"},
    }

    def plan(self, setting: Step1XEditSetting, n_frames: int) -> Sequence[Step1XEditPlan]:
        """One plan per step, two samples per frame in each."""
        rescaled = setting.timesteps_truncate < 1  # no time is above 1
        return [
            Step1XEditPlan(
                **plan_values(setting, index),
                evaluations=n_frames * branches(setting.guidance_scale),
                guidance_scale=setting.guidance_scale,
                rescaled_above=setting.timesteps_truncate if rescaled else None,
                power=setting.process_norm_power if rescaled else None,
            )
            for index in range(setting.num_inference_steps)
        ]

    def start(self, ctx: Context) -> State:
        """Noise, and the source's latents beside it."""
        instruction_of(ctx)
        state = reference_state(ctx, self.plan(ctx.setting, 1)[0])
        noise = image_noise(ctx, state.latents, draw=0)
        return State(noise.repeat(len(state.latents), 1, 1, 1), state.extra)

    def step(self, ctx: Context, state: State, plan: Step1XEditPlan, k: int) -> State:
        """One Euler step."""
        t, following = times(ctx.backbone, plan, state.latents)
        rescale = plan.rescaled_above is not None and t > plan.rescaled_above
        asked = Asked(instruction_of(ctx), plan.guidance_scale, plan.power if rescale else None)
        velocity = guided_velocity(ctx, state.latents, state.extra[REFERENCE], asked, plan, t)
        return State(state.latents + (following - t) * velocity, state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode, at the clip's size."""
        return finished(ctx, state)
