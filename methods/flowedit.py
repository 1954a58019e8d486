"""FlowEdit: from the source straight to the edit along the difference of two velocities.

Kulikov et al., FlowEdit: Inversion-Free Text-Based Editing Using Pre-Trained Flow Models,
ICCV 2025, https://arxiv.org/abs/2412.08629, algorithm 1 and, with ``n_min``, the released
program's last steps of plain sampling (fallenshock/FlowEdit). Defaults are the paper's for Flux.

The paper's source and target prompts are instructions here and the source image stands beside both
as Step1X-Edit's reference; the source's instruction is one that asks for no change. Its velocity
depends on neither edit nor edited image, so all edits of a clip share it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

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
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


class FlowEditSetting(InstructedSetting):
    """Names and defaults of the released program for Flux."""

    src_guidance_scale: float = Field(1.5, ge=0, le=30, description="guidance of the source")
    tar_guidance_scale: float = Field(5.5, ge=0, le=30, description="guidance of the target")
    source_instruction: str = Field("", description="instruction that asks for no change")
    n_max: int = Field(24, ge=1, le=1000, description="steps that are run: the last ones")
    n_min: int = Field(0, ge=0, le=1000, description="of these, the last: plain sampling")
    n_avg: int = Field(1, ge=1, le=64, description="noises that a step averages over")

    @model_validator(mode="after")
    def _fit(self) -> FlowEditSetting:
        if not self.n_min <= self.n_max <= self.num_inference_steps:
            raise ValueError(
                f"n_min {self.n_min}, n_max {self.n_max} and num_inference_steps "
                f"{self.num_inference_steps} must not decrease in this order"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class FlowEditPlan(InstructedPlan):
    """A step along the difference of velocities or, with ``n_avg`` 0, of plain sampling."""

    n_avg: int
    entering: bool  # the first step of plain sampling, which noises what was edited so far
    src_guidance_scale: float | None
    source_instruction: str
    tar_guidance_scale: float

    @property
    def source_key(self) -> Hashable:
        """What the source's velocities depend on besides clip and seed."""
        return (
            *(self.index, self.num_inference_steps, self.n_avg),
            *(self.src_guidance_scale, self.source_instruction, self.negative_prompt),
            *(self.size, self.text_mask, self.bf16_times, self.posterior),
        )


class FlowEdit(Method):
    """No inversion: noise only ever serves to ask for velocities."""

    name = "flowedit"
    paper = "Kulikov et al., FlowEdit, ICCV 2025"
    requires = InstructedRequirements()
    Setting = FlowEditSetting
    presets = {"masked": {"text_mask": "everywhere"}}

    def plan(self, setting: FlowEditSetting, n_frames: int) -> Sequence[FlowEditPlan]:
        """The last ``n_max`` of the schedule's steps."""
        n = setting.num_inference_steps
        first = n - setting.n_max
        target = n_frames * branches(setting.tar_guidance_scale)
        source = n_frames * branches(
            setting.src_guidance_scale, setting.source_instruction, setting.negative_prompt
        )
        plans = []
        for index in range(first, n):
            edits = n - index > setting.n_min
            n_avg = setting.n_avg if edits else 0
            plans.append(
                FlowEditPlan(
                    **plan_values(setting, index),
                    evaluations=n_avg * (source + target) if edits else target,
                    source_evaluations=n_avg * source,
                    n_avg=n_avg,
                    entering=n - index == setting.n_min,
                    src_guidance_scale=setting.src_guidance_scale if edits else None,
                    source_instruction=setting.source_instruction if edits else "",
                    tar_guidance_scale=setting.tar_guidance_scale,
                )
            )
        return plans

    def start(self, ctx: Context) -> State:
        """The source."""
        instruction_of(ctx)
        return reference_state(ctx, self.plan(ctx.setting, 1)[0])

    def step(self, ctx: Context, state: State, plan: FlowEditPlan, k: int) -> State:
        """One Euler step."""
        latents, source = state.latents, state.extra[REFERENCE]
        t, following = times(ctx.backbone, plan, latents)
        target = Asked(instruction_of(ctx), plan.tar_guidance_scale)
        if plan.n_avg:
            velocity = _difference(ctx, latents, source, target, plan, t)
        else:
            if plan.entering:
                latents = _noised(ctx, source, plan, 0, t) + (latents - source)
            velocity = guided_velocity(ctx, latents, source, target, plan, t)
        return State(latents + (following - t) * velocity, state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode, at the clip's size."""
        return finished(ctx, state)


def _difference(
    ctx: Context, latents: Tensor, source: Tensor, target: Asked, plan: FlowEditPlan, t: float
) -> Tensor:
    """Velocity of the target less that of the source, averaged over noises."""
    noised = [_noised(ctx, source, plan, draw, t) for draw in range(plan.n_avg)]
    asked = Asked(plan.source_instruction, plan.src_guidance_scale)
    ours = ctx.shared(
        plan.source_key,
        lambda: [guided_velocity(ctx, x, source, asked, plan, t) for x in noised],
    )
    theirs = [guided_velocity(ctx, x + (latents - source), source, target, plan, t) for x in noised]
    return torch.stack([b - a for a, b in zip(ours, theirs, strict=True)]).mean(dim=0)


def _noised(ctx: Context, source: Tensor, plan: FlowEditPlan, draw: int, t: float) -> Tensor:
    """The source at time ``t``; noise by schedule step, so that ``n_max`` does not change it."""
    return (1 - t) * source + t * image_noise(ctx, source, draw, plan.index)
