"""Methods on arrays: one that edits and can go wrong on demand, and controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from methods.base import Context, InversionSpec, Method, Requirements, Setting, State, StepPlan
from tests.fake_network import NumpyState


class BlendSetting(Setting):
    """Settings of the fake method."""

    n_timesteps: int = Field(6, ge=1, le=20, description="denoising steps")
    share: float = Field(0.5, ge=0, le=1, description="share of steps with injection")
    guidance: float = Field(2.0, ge=0, le=10, description="strength of the edit")
    trouble: str = Field("", description="what goes wrong")


@dataclass(frozen=True)
class BlendPlan(StepPlan):
    inject: bool
    guidance: float
    trouble: str


class Blend(Method):
    """A stepper on arrays with an injection share, noise per step and troubles on demand."""

    name = "blend"
    paper = "none"
    requires = Requirements(inversion=True)
    Setting = BlendSetting
    State = NumpyState

    def inversion(self, setting: BlendSetting, clip_prompt: str) -> InversionSpec:
        return InversionSpec(5, (1, 2), clip_prompt)

    def plan(self, setting: BlendSetting, n_frames: int) -> Sequence[BlendPlan]:
        n = setting.n_timesteps
        return [
            BlendPlan(
                timestep=n - k,
                evaluations=2 * n_frames,
                source_evaluations=n_frames,
                inject=k < int(n * setting.share),
                guidance=setting.guidance,
                trouble=setting.trouble if k == n // 2 else "",
            )
            for k in range(n)
        ]

    def start(self, ctx: Context) -> NumpyState:
        return NumpyState(ctx.inversion.latents.copy())

    def step(self, ctx: Context, state: NumpyState, plan: BlendPlan, k: int) -> NumpyState:
        if plan.trouble == "setting":
            _ = ctx.setting.guidance
        if plan.trouble == "crash":
            raise RuntimeError("the network is on fire")
        if plan.trouble == "memory":
            raise MemoryError
        if plan.trouble == "nan":
            return NumpyState(state.latents * np.nan)
        if plan.trouble in ("black", "constant", "frozen"):
            return NumpyState(state.latents, {"trouble": plan.trouble})
        rng = np.random.default_rng([ctx.seed, k])
        noise = ctx.backbone.predict(state.latents, plan.timestep, plan.guidance / 50)
        target = len(ctx.edit.prompt) / 100
        source = ctx.shared(
            plan.timestep, lambda: ctx.backbone.predict(ctx.inversion.latents, plan.timestep, 0.001)
        )
        noise = noise + source + rng.normal(0, 0.01, noise.shape)
        state.latents += noise + target / 50  # in place
        if plan.inject:
            state.latents = 0.9 * state.latents + 0.1 * ctx.inversion.latents
        return state

    def finish(self, ctx: Context, state: NumpyState) -> np.ndarray:
        frames = (np.clip(state.latents, 0, 1) * 255).astype(np.uint8)
        trouble = state.extra.get("trouble")
        if trouble == "black":
            return np.zeros_like(frames)
        if trouble == "constant":
            return np.full_like(frames, 90)
        if trouble == "frozen":
            return np.repeat(ctx.clip.frames[:1], len(frames), axis=0)
        return frames


class NoSetting(Setting):
    """Nothing to set."""


class _Still(Method):
    stochastic = False
    Setting = NoSetting
    paper = "none"

    def plan(self, setting: NoSetting, n_frames: int) -> Sequence[StepPlan]:
        return []

    def start(self, ctx: Context) -> None:
        return None

    def step(self, ctx: Context, state: State, plan: StepPlan, k: int) -> State:
        raise AssertionError

    def finish(self, ctx: Context, state: None) -> np.ndarray:
        return ctx.clip.frames.copy()


class Same(_Still):
    """The source."""

    name = "same"
    requires = Requirements(backbone=False, edit=False)


class Answer(_Still):
    """The known answer."""

    name = "answer"
    requires = Requirements(backbone=False, oracle=True)

    def finish(self, ctx: Context, state: None) -> np.ndarray:
        return ctx.edit.oracle.copy()


class Velocity(_Still):
    """Fits no backbone here."""

    name = "velocity"
    requires = Requirements(prediction=("velocity",))
