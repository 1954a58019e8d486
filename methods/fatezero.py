"""FateZero: Fusing Attentions for Zero-shot Text-based Video Editing.

Qi et al., ICCV 2023, https://arxiv.org/abs/2303.09535, as released at
https://github.com/ChenyangQiQi/FateZero. The clip is inverted and edited by an inflated network
that sees all frames at once; the edit takes the attention maps of the inversion's own steps, its
self-attention those outside the edited object's mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field

from methods.base import Context, InversionSpec, Method, Requirements, State
from methods.blending import blend, word_mask
from methods.inflation import FrameName, Inflation
from methods.inversion import inversion_spec, inverted_start
from methods.kept_passes import Keep
from methods.map_sites import LARGEST_MAP
from methods.prompt_edit import PromptEditPlan, PromptEditSetting, switches
from methods.prompt_edit_step import prompt_edit, read_prompts
from methods.sampling import denoise
from methods.source_pass import SourcePass, read_source

BLENDED = (0.2, 0.8)  # share of steps whose latents are blended, both ends left out


class FateZeroSetting(PromptEditSetting):
    """As released for zero-shot style edits with Stable Diffusion."""

    blend_self_attention: bool = Field(
        False, description="inside the changed words' mask, self-attention stays the edit's own"
    )
    attend: tuple[FrameName | int, ...] = Field(
        ("mid",),
        description="frames that give every frame its keys and values: first, mid, last, or an "
        "integer relative to the frame",
    )
    plain_levels: int = Field(
        1, ge=0, le=4, description="finest levels of the network where frames keep to themselves"
    )
    temporal: Literal["identity", "released"] = Field(
        "identity",
        description="untrained temporal layers: none, or the released ones' random constants",
    )
    keep: Literal["recompute", "auto", "device", "host", "disk"] = Field(
        "recompute",
        description="where the source's attention of all steps waits for the edit, or recompute: "
        "run the source again in every step, once for all cells that share it; auto is the host "
        "within keep_gb, else recompute",
    )
    keep_gb: float = Field(12, gt=0, le=10_000, description="most GB that may be kept")
    keep_dtype: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="precision of what is kept; float32 gives the frames of recompute"
    )

    @property
    def inflation(self) -> Inflation:
        """The network's part of the setting."""
        return Inflation(self.attend, self.plain_levels, self.temporal)


@dataclass(frozen=True, kw_only=True)
class FateZeroPlan(PromptEditPlan):
    """One step of an inflated network.

    ``evaluations`` are those of ``recompute``; kept passes are not run again.
    """

    inflation: Inflation
    keep: Keep | None


class FateZero(Method):
    """Attention maps of the inversion fused into a joint edit of all frames."""

    name = "fatezero"
    paper = "Qi et al., FateZero, ICCV 2023"
    requires = Requirements(inversion=True)
    stochastic = False
    Setting = FateZeroSetting
    presets = {
        "attribute": {"cross_replace_steps": 0.5, "self_replace_steps": 0.5},
        "shape": {
            "cross_replace_steps": 0.5,
            "self_replace_steps": 0.5,
            "blend_self_attention": True,
            "blend_latents": True,
            "attend": (-1, "first"),
            "plain_levels": 0,
        },
    }

    def inversion(self, setting: FateZeroSetting, clip_prompt: str) -> InversionSpec:
        """Inverted with the clip's prompt by the inflated network, in as many steps as sampled."""
        n = setting.n_timesteps
        spec = inversion_spec(n, n, clip_prompt, setting.inflation)
        return replace(spec, keep=self._keep(setting))

    def _keep(self, setting: FateZeroSetting) -> Keep | None:
        """Which passes are kept: those that steps read, and of them what is read."""
        if setting.keep == "recompute":
            return None
        plans = self.plan(setting.model_copy(update={"keep": "recompute"}), 1)
        reads = (
            (p.timestep, p.takes_cross or bool(p.mask_size), p.replace_self)
            for p in plans
            if p.source_evaluations
        )
        return Keep(setting.keep, setting.keep_gb, setting.keep_dtype, tuple(reads))

    def plan(self, setting: FateZeroSetting, n_frames: int) -> Sequence[FateZeroPlan]:
        """Maps are taken while their shares last; latents are blended in the middle steps."""
        n = setting.n_timesteps
        first, last = (int(share * n) for share in BLENDED)
        keep = self._keep(setting)
        return [
            FateZeroPlan(
                inflation=setting.inflation,
                keep=keep,
                **switches(
                    setting,
                    k,
                    n_frames,
                    blends=first < k + 1 < last,
                    self_mask=setting.blend_self_attention,
                ),
            )
            for k in range(n)
        ]

    def start(self, ctx: Context) -> State:
        """The last inverted latents."""
        return inverted_start(ctx)

    def step(self, ctx: Context, state: State, plan: FateZeroPlan, k: int) -> State:
        """One guided step under the maps of the inversion step that led to this timestep.

        That step saw the latents of the timestep before, less noisy than the edit's. Latents
        outside the mask are the inverted ones of this timestep, one step noisier than the edit's
        by then. Both as released.
        """
        kept = ctx.inversion
        result = prompt_edit(
            ctx,
            state.latents,
            read_prompts(ctx, plan),
            plan,
            lambda _: source_pass(ctx, plan),
            inflation=plan.inflation,
            self_queries=LARGEST_MAP,
        )
        latents = denoise(ctx.backbone, state.latents, result.noise, plan.timestep, plan.previous)
        extra = dict(state.extra)
        if plan.watch:
            extra["seen"] = result.target_seen + extra.get("seen", 0)
        if plan.latent_mask is not None:
            size = latents.shape[-2:]
            masks = [
                word_mask(seen, size, plan.latent_mask)
                for seen in (result.source_seen, extra["seen"])
            ]
            latents = blend(kept.latents[plan.timestep], latents, masks[0] | masks[1])
        return State(latents, extra)

    def finish(self, ctx: Context, state: State) -> np.ndarray:
        """Decode."""
        return ctx.backbone.decode(state.latents)


def source_pass(ctx: Context, plan: FateZeroPlan) -> SourcePass:
    """The pass of the inversion step that led to the plan's timestep: as kept, or run again."""
    kept, backbone = ctx.inversion, ctx.backbone
    if plan.keep and kept.passes:
        found = kept.passes.get(plan.keep, plan.timestep, backbone.device)
        if found:
            return found
    latents = kept.clean if plan.previous < 0 else kept.latents[plan.previous]
    embedding = backbone.embed([kept.spec.prompt])
    source = read_source(backbone, latents, embedding, plan.timestep, plan.inflation)
    return plan.keep.of(plan.timestep, source) if plan.keep else source
