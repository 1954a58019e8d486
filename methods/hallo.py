"""Hallo: a portrait that says what is heard, segment by segment.

Xu et al., Hallo: Hierarchical Audio-Driven Visual Synthesis for Portrait Image Animation, 2024
(arXiv:2406.08801). The clip's first frame is animated by the edit's sound. Each segment starts from
noise of its own and sees the last frames of the one before, so a long sound takes no more memory of
the device than a short one; the finished segments' latents wait in the state until the end. As
released, networks run in the branch that training takes (preset ``evaluation`` for the other) and
banks are rounded to half precision. The released program separates vocals from music first; here
the sound is heard as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from data.errors import UserError
from data.speech import RATE, audio_of
from methods.backbones.hallo.rows import distinct_rows
from methods.backbones.hallo.schedule import timesteps
from methods.base import Context, Method, Requirements, Setting, State, StepPlan
from methods.lazy import lazy_import
from methods.sampling import guide

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.hallo.denoising import Guide
else:
    torch = lazy_import("torch")
    lazy_import(
        "methods.backbones.hallo.backbone"
    )  # what frames come from, for their code's digest

FPS = 25
PICTURES, DONE = "pictures", "done"  # in a state's extras


@dataclass(frozen=True)
class SpokenRequirements(Requirements):
    """A portrait's backbone, and an edit that is to be spoken."""

    prediction: tuple[str, ...] = ("portrait velocity",)
    kinds: tuple[str, ...] = ("speech",)


class HalloSetting(Setting):
    """How to animate a portrait."""

    n_timesteps: int = Field(40, ge=1, le=500, description="denoising steps of a segment")
    guidance_scale: float = Field(3.5, ge=0, le=30, description="classifier-free guidance")
    motion_scale_pose: float = Field(1.0, ge=0, le=5, description="weight of sound on the pose")
    motion_scale_face: float = Field(1.0, ge=0, le=5, description="weight of sound on the face")
    motion_scale_lip: float = Field(1.0, ge=0, le=5, description="weight of sound on the lips")
    n_motion_frames: int = Field(2, ge=0, le=16, description="earlier frames a segment sees")
    clip_length: int = Field(16, ge=1, le=32, description="frames of a segment")
    branch: Literal["released", "evaluation"] = Field(
        "released",
        description="of the network: as released inference runs it, or as after eval()",
    )

    @model_validator(mode="after")
    def _motion_frames_exist(self) -> HalloSetting:
        if self.n_motion_frames > self.clip_length:
            raise ValueError(
                f"n_motion_frames {self.n_motion_frames} are more than the {self.clip_length} "
                "frames of a segment (clip_length)"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class HalloPlan(StepPlan):
    """One denoising step of one segment."""

    segment: int
    step: int  # within the segment
    n_timesteps: int
    guidance_scale: float
    motion_scale: tuple[float, float, float]  # pose, face, lips
    n_motion_frames: int
    clip_length: int
    branch: Literal["released", "evaluation"]

    @property
    def guided(self) -> bool:
        """Whether there is an unconditional half; a scale of 1 needs none."""
        return self.guidance_scale != 1

    @property
    def order(self) -> tuple[int, ...]:
        """Which of a segment's pictures is the reference and which the motion frames."""
        return stack_order(self.segment, self.n_motion_frames)


def stack_order(segment: int, n_motion_frames: int) -> tuple[int, ...]:
    """Pictures of a reference pass; before the first segment the portrait stands still."""
    motion = range(1, 1 + n_motion_frames)
    return (0, *(motion if segment else [0] * n_motion_frames))


class Hallo(Method):
    """Audio-driven animation of one picture."""

    name = "hallo"
    paper = "Xu et al., arXiv 2406.08801 (2024)"
    requires = SpokenRequirements()
    Setting = HalloSetting
    presets = {"evaluation": {"branch": "evaluation"}}

    def plan(self, setting: HalloSetting, n_frames: int) -> Sequence[HalloPlan]:
        """Steps of all segments; the last one is made whole and cut at the end."""
        guided = setting.guidance_scale != 1
        plans = []
        for segment in range(ceil(n_frames / setting.clip_length)):
            order = stack_order(segment, setting.n_motion_frames)
            referred = len(distinct_rows(order, 1 + guided))
            for step, timestep in enumerate(timesteps(setting.n_timesteps)):
                denoised = setting.clip_length * (1 + guided)
                plan = HalloPlan(
                    timestep=timestep,
                    evaluations=denoised + (0 if step else referred),
                    segment=segment,
                    step=step,
                    n_timesteps=setting.n_timesteps,
                    guidance_scale=setting.guidance_scale,
                    motion_scale=(
                        setting.motion_scale_pose,
                        setting.motion_scale_face,
                        setting.motion_scale_lip,
                    ),
                    n_motion_frames=setting.n_motion_frames,
                    clip_length=setting.clip_length,
                    branch=setting.branch,
                )
                plans.append(plan)
        return plans

    def start(self, ctx: Context) -> State:
        """Noise of the first segment; :class:`UserError` for a clip or edit that does not fit."""
        backbone, setting = ctx.backbone, ctx.setting
        backbone.forget()
        speech(ctx)
        longest = backbone.net.config.motion_length
        if setting.n_motion_frames + setting.clip_length > longest:
            raise UserError(
                f"n_motion_frames {setting.n_motion_frames} and clip_length {setting.clip_length} "
                f"are more than the {longest} positions of this backbone's motion modules."
            )
        noise = self._noise(ctx, 0, setting.clip_length)
        return State(noise, {PICTURES: backbone.encode(portrait_pixels(ctx))})

    def step(self, ctx: Context, state: State, plan: HalloPlan, k: int) -> State:
        """One guided DDIM step; the first of a segment takes leave of the one before."""
        if plan.segment and not plan.step:
            state = self._next(ctx, state, plan)
        backbone = ctx.backbone
        read = self._guide(ctx, state, plan)
        velocity = backbone.velocity(
            state.latents, plan.timestep, read, plan.motion_scale, plan.branch
        )
        velocity = guide(*velocity, plan.guidance_scale) if plan.guided else velocity[0]
        latents = backbone.move(state.latents, velocity, plan.timestep, plan.n_timesteps)
        return State(latents, state.extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """All segments decoded, as many frames as the clip has."""
        return ctx.backbone.decode(finished(state)[: len(ctx.clip.frames)])

    def _noise(self, ctx: Context, segment: int, frames: int) -> Tensor:
        """(F, 4, h, w) standard noise of a segment, frame by frame."""
        shape = ctx.backbone.latent_shape(ctx.clip.frames)
        return torch.randn((frames, *shape), generator=ctx.rng("noise", segment))

    def _next(self, ctx: Context, state: State, plan: HalloPlan) -> State:
        """The state before a segment: its noise, and what it sees of the finished one."""
        backbone, pictures = ctx.backbone, [portrait_pixels(ctx)]
        if plan.n_motion_frames:
            last = state.latents[-plan.n_motion_frames :]
            pictures.append(backbone.to_pixels(last) * 2 - 1)
        noise = self._noise(ctx, plan.segment, plan.clip_length)
        seen = backbone.encode(torch.cat(pictures))
        return State(noise, {DONE: finished(state), PICTURES: seen})

    def _guide(self, ctx: Context, state: State, plan: HalloPlan) -> Guide:
        """What the networks read of a segment; made at its first step and kept by the backbone."""
        backbone, clip = ctx.backbone, ctx.clip
        portrait, length = clip.frames[0], plan.clip_length
        boxes = None
        if clip.boxes is not None and len(clip.boxes) > 1:
            boxes = tuple(map(float, clip.boxes[0, 0])), tuple(map(float, clip.boxes[1, 0]))
        padded = ceil(len(clip.frames) / length) * length
        frames = slice(plan.segment * length, (plan.segment + 1) * length)
        made = backbone.segment(
            portrait,
            backbone.face(portrait, boxes),
            backbone.hear(speech(ctx), padded, frames),
            state.extra[PICTURES],
            plan.order,
        )
        return backbone.prepare(made, plan.guided)


def finished(state: State) -> Tensor:
    """(F, 4, h, w) of all segments up to the present one."""
    return torch.cat([state.extra[DONE], state.latents]) if DONE in state.extra else state.latents


def portrait_pixels(ctx: Context) -> Tensor:
    """(1, 3, H, W) in -1..1 of the clip's first frame."""
    pixels = torch.from_numpy(ctx.clip.frames[:1].copy()).permute(0, 3, 1, 2)
    return pixels.float().contiguous() / 127.5 - 1


def speech(ctx: Context) -> np.ndarray:
    """(S,) int16 samples that the clip's frames are to say; :class:`UserError` without any."""
    audio = audio_of(ctx.edit)
    if audio is None:
        raise UserError(
            f"edit '{getattr(ctx.edit, 'id', None)}' of clip '{ctx.clip.id}' has no sound; method "
            "'hallo' animates a portrait by what is heard."
        )
    if audio.rate != RATE or ctx.clip.fps != FPS:
        raise UserError(
            f"clip '{ctx.clip.id}' has {ctx.clip.fps} frames and its sound {audio.rate} samples a "
            f"second; method 'hallo' needs {FPS} and {RATE}: convert them in the clip's manifest."
        )
    return audio.samples[: len(ctx.clip.frames) * RATE // FPS]
