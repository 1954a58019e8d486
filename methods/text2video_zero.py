"""Text2Video-Zero: Text-to-Image Diffusion Models are Zero-Shot Video Generators.

Khachatryan et al., ICCV 2023, https://arxiv.org/abs/2303.13439, as a baseline for editing: its
cross-frame attention (section 3.3.2), in which every frame takes keys and values from the first
frame, while the inverted source, in place of the paper's edge or pose maps, keeps the structure.
Released at https://github.com/Picsart-AI-Research/Text2Video-Zero and, until it was deprecated, as
diffusers' TextToVideoZeroPipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from methods.attention import attend, control, self_attention_sites, split_heads
from methods.base import Context, InversionSpec, Method, Requirements, State, StepPlan
from methods.ddim import STABLE_DIFFUSION
from methods.inversion import InvertedSetting, inversion_spec, inverted_start
from methods.sampling import edit_step

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

BRANCHES = 2  # unconditional, conditional


class Text2VideoZeroSetting(InvertedSetting):
    """As released, with DDIM inversion in place of conditions on edges or poses."""

    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field("", description="prompt of the unconditional branch")


@dataclass(frozen=True)
class Text2VideoZeroPlan(StepPlan):
    """One guided step."""

    previous: int
    n_inversion_steps: int
    guidance_scale: float
    negative_prompt: str


class Text2VideoZero(Method):
    """Frames that all look at the first one."""

    name = "text2video-zero"
    paper = "Khachatryan et al., Text2Video-Zero, ICCV 2023"
    requires = Requirements(inversion=True)
    stochastic = False
    Setting = Text2VideoZeroSetting

    def inversion(self, setting: Text2VideoZeroSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt."""
        return inversion_spec(setting.n_inversion_steps, setting.n_timesteps, clip_prompt)

    def plan(self, setting: Text2VideoZeroSetting, n_frames: int) -> Sequence[Text2VideoZeroPlan]:
        """Every sampling timestep."""
        n = setting.n_timesteps
        return [
            Text2VideoZeroPlan(
                timestep=t,
                evaluations=BRANCHES * n_frames,
                previous=STABLE_DIFFUSION.previous(t, n),
                n_inversion_steps=setting.n_inversion_steps,
                guidance_scale=setting.guidance_scale,
                negative_prompt=setting.negative_prompt,
            )
            for t in STABLE_DIFFUSION.timesteps(n)
        ]

    def start(self, ctx: Context) -> State:
        """The inverted latents of the first timestep."""
        return inverted_start(ctx)

    def step(self, ctx: Context, state: State, plan: Text2VideoZeroPlan, k: int) -> State:
        """One guided DDIM step with cross-frame attention in every self-attention."""
        first: dict[str, Tensor] = {}
        sites = self_attention_sites(ctx.backbone.unet)
        processors = {site: FirstFrameAttention(site, first) for site in sites}
        with control(ctx.backbone.unet, processors):
            return edit_step(ctx, state, plan)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)


@dataclass(frozen=True)
class FirstFrameAttention:
    """Self-attention whose keys and values are the first frame's, in every branch its own.

    Batch: unconditional | conditional, some frames each. The first call of a step holds the clip's
    first frame; it leaves that frame's tokens in ``first`` under ``site``, (2, S, C), for the calls
    with later frames. As all frames ask the same keys, their queries stand as one sequence.
    """

    site: str
    first: dict[str, Tensor]

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        frames = hidden_states.unflatten(0, (BRANCHES, -1))  # (2, n, S, C)
        first = self.first.setdefault(self.site, frames[:, 0])
        asked = frames.flatten(1, 2)  # (2, n * S, C)
        tokens = (attn.to_q(asked), attn.to_k(first), attn.to_v(first))
        output = attend(attn, *(split_heads(attn, x) for x in tokens))
        return output.view_as(hidden_states)
