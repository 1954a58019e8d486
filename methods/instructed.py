"""What methods share that edit by an instruction with Step1X-Edit: settings, guided velocity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from data import instructed
from data.errors import UserError
from methods.backbones.step1x.guidance import guide
from methods.backbones.step1x.schedule import released_time
from methods.base import Context, Requirements, Setting, State, StepPlan
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.step1x.backbone import Step1X
else:
    torch = lazy_import("torch")

backbones = lazy_import("methods.backbones.step1x.backbone")
lazy_import("methods.backbones.step1x.loading")  # frames depend on how the network was loaded

REFERENCE = "reference"  # in a state's extras: the source's latents


@dataclass(frozen=True)
class InstructedRequirements(Requirements):
    """A velocity, and an edit with an instruction."""

    prediction: tuple[str, ...] = ("flow",)
    instruction: bool = True


class InstructedSetting(Setting):
    """What every instructed method can be told."""

    num_inference_steps: int = Field(28, ge=1, le=1000, description="steps from noise to image")
    negative_prompt: str = Field("", description="instruction of the unconditional branch")
    size: int = Field(
        0,
        ge=0,
        le=4096,
        description="an image is worked at about this many pixels squared; 0: the backbone's own",
    )
    text_mask: Literal["connector", "everywhere"] = Field(
        "connector", description="where padding is masked: as released, or in the transformer too"
    )
    bf16_times: bool = Field(
        True, description="the network sees times in bfloat16, as released; in bfloat16 it must"
    )
    posterior: Literal["sample", "mean"] = Field(
        "sample",
        description="the source's latents: sampled, as released (but by the seed), or mean",
    )


@dataclass(frozen=True, kw_only=True)
class InstructedPlan(StepPlan):
    """One step; ``posterior`` matters to the start, and to whoever shares what is made of it."""

    index: int  # of the schedule's steps
    num_inference_steps: int
    negative_prompt: str
    size: int
    text_mask: str
    bf16_times: bool
    posterior: str


def plan_values(setting: InstructedSetting, index: int) -> dict[str, object]:
    """What :class:`InstructedPlan` takes of a setting."""
    n = setting.num_inference_steps
    return {
        "timestep": round(1000 * (1 - index / n)),
        "index": index,
        "num_inference_steps": n,
        "negative_prompt": setting.negative_prompt,
        "size": setting.size,
        "text_mask": setting.text_mask,
        "bf16_times": setting.bf16_times,
        "posterior": setting.posterior,
    }


def instruction_of(ctx: Context) -> str:
    """The edit's instruction; :class:`UserError` for an edit without one."""
    instruction = instructed.instruction_of(ctx.edit)
    if not instruction:
        raise UserError(
            f"edit '{ctx.edit.id}' of clip '{ctx.clip.id}' has no instruction, which this method "
            "follows; use a dataset whose edits have one, such as 'instructions'."
        )
    return instruction


def reference_state(ctx: Context, plan: InstructedPlan) -> State:
    """The source's latents, as the state's and as the reference to be kept."""
    frames = ctx.backbone.working_frames(ctx.clip.frames, plan.size)
    noise = None
    if plan.posterior == "sample":
        shape = ctx.backbone.latent_shape(frames)
        noise = torch.randn(shape, generator=ctx.rng("posterior"))
    clean = ctx.backbone.encode(frames, noise)
    return State(clean, {REFERENCE: clean.clone()})


def image_noise(ctx: Context, latents: Tensor, draw: int, step: int = 0) -> Tensor:
    """(1, C, h, w) normal noise, the same for every frame: each is edited as an image would be."""
    return torch.randn(latents.shape[1:], generator=ctx.rng(f"noise{draw}", step))[None]


def times(backbone: Step1X, plan: InstructedPlan, latents: Tensor) -> tuple[float, float]:
    """A step's own flow time and the next, 1 noise and 0 clean."""
    tokens = latents.shape[2] * latents.shape[3] // 4
    both = backbone.schedule.times(plan.num_inference_steps, tokens)
    return both[plan.index], both[plan.index + 1]


def branches(scale: float, instruction: str | None = None, negative: str = "") -> int:
    """Samples through the network per image: one if nothing guides, or the instruction itself."""
    return 1 if scale == 1 or instruction == negative else 2


@dataclass(frozen=True)
class Asked:
    """What a velocity is asked for: an instruction and how it is guided; see ``guide``."""

    instruction: str
    scale: float
    power: float | None = None

    def texts(self, negative: str) -> list[str]:
        """The branches' instructions."""
        return [self.instruction, negative][: branches(self.scale, self.instruction, negative)]


def guided_velocity(
    ctx: Context, latents: Tensor, reference: Tensor, asked: Asked, plan: InstructedPlan, t: float
) -> Tensor:
    """(N, C, h, w) velocity of N frames at time ``t``, frame by frame as many as fit a call."""
    backbone = ctx.backbone
    frames = backbone.working_frames(ctx.clip.frames, plan.size)
    texts = asked.texts(plan.negative_prompt)
    length = backbone.conditions(frames[:1], texts[:1]).mask.shape[1]
    size = backbone.images_per_call(latents, len(texts), length)
    found = []
    for part in (slice(k, k + size) for k in range(0, len(latents), size)):
        out = backbone.predict(
            torch.cat([latents[part]] * len(texts)),
            torch.cat([reference[part]] * len(texts)),
            backbone.conditions([*frames[part]] * len(texts), _each(texts, len(frames[part]))),
            released_time(t) if plan.bf16_times else t,
            mask_text=plan.text_mask == "everywhere",
        )
        if len(texts) > 1:
            out = guide(*out.chunk(2), asked.scale, asked.power)
        found.append(backbones.velocity_latents(out, latents))
    return torch.cat(found)


def _each(texts: list[str], times: int) -> list[str]:
    return [text for text in texts for _ in range(times)]


def finished(ctx: Context, state: State) -> np.ndarray:
    """Decoded frames at the clip's own size."""
    height, width = ctx.clip.frames.shape[1:3]
    return backbones.resized(ctx.backbone.decode(state.latents), (width, height))
