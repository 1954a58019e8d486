"""Attend-and-Excite: Attention-Based Semantic Guidance for Text-to-Image Diffusion Models.

Chefer, Alaluf, Vinker, Wolf, Cohen-Or, SIGGRAPH 2023, https://arxiv.org/abs/2301.13826, as released
at https://github.com/yuval-alaluf/Attend-and-Excite: latents follow the gradient that raises the
attention to the most neglected word, so that no object is left out. The phrases of the edit's
``layout`` say which words; its boxes are not looked at. One pass serves where the released program
runs three, and none is made in steps that change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from methods.base import Context, State
from methods.cross_attention import Maps, follow, sites_of_size
from methods.excitation import MOST_REFINEMENTS, Smoothing, aggregate, excite, maxima, neglect
from methods.lazy import lazy_import
from methods.solvers import Stand
from methods.text_sampling import SamplingPlan, SamplingSetting, TextSampler
from methods.token_positions import token_positions

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


class AttendAndExciteSetting(SamplingSetting):
    """As released (config.py), with SD 1.4's scheduler."""

    max_iter_to_alter: int = Field(
        25, ge=0, le=999, description="steps, from the first, that are altered"
    )
    thresholds: tuple[tuple[int, float], ...] = Field(
        ((0, 0.05), (10, 0.5), (20, 0.8)),
        description="[step, attention] pairs: refined at the step until each word has as much",
    )
    scale_factor: float = Field(20, ge=0, le=1000, description="length of a move")
    scale_range: tuple[float, float] = Field(
        (1.0, 0.5), description="share of it at the first and the last step, before a square root"
    )
    attention_res: int = Field(16, ge=1, le=128, description="side of the maps that are read")
    smooth: bool = Field(True, description="smooth a word's map before its maximum is taken")
    sigma: float = Field(0.5, gt=0, le=10, description="of the smoothing")
    kernel_size: int = Field(3, ge=1, le=15, description="of the smoothing")
    normalize_eot: bool = Field(
        False, description="leave padding out of the share among words, as for SD 2.1"
    )

    @model_validator(mode="after")
    def _each_step_once(self) -> AttendAndExciteSetting:
        steps = [step for step, _ in self.thresholds]
        if len(set(steps)) < len(steps) or any(not 0 <= x <= 1 for _, x in self.thresholds):
            raise ValueError("thresholds: a step stands once, its attention is from 0 to 1")
        return self


@dataclass(frozen=True)
class Excitation:
    """What moves the latents before one step."""

    step_size: float
    refine_to: float | None
    alter: bool
    attention_res: int
    smoothing: Smoothing | None
    normalize_eot: bool


@dataclass(frozen=True, kw_only=True)
class ExcitePlan(SamplingPlan):
    """One step; ``evaluations`` counts as if no refinement ended early."""

    excitation: Excitation | None


class AttendAndExcite(TextSampler):
    """An image in which every named object is attended to."""

    name = "attend-and-excite"
    paper = "Chefer et al., Attend-and-Excite, SIGGRAPH 2023"
    requires = replace(TextSampler.requires, layout=True)
    Setting = AttendAndExciteSetting

    def plan(self, setting: AttendAndExciteSetting, n_frames: int) -> Sequence[ExcitePlan]:
        """The first steps are altered, some of them refined."""
        thresholds, plans = dict(setting.thresholds), []
        smoothing = Smoothing(setting.sigma, setting.kernel_size) if setting.smooth else None
        steps = self.sampling(setting, n_frames)
        shares = np.sqrt(np.linspace(*setting.scale_range, len(steps)))
        for k, (values, share) in enumerate(zip(steps, shares, strict=True)):
            alter, refine_to = k < setting.max_iter_to_alter, thresholds.get(k)
            excitation = None
            if alter or refine_to is not None:
                excitation = Excitation(
                    step_size=float(setting.scale_factor * share),
                    refine_to=refine_to,
                    alter=alter,
                    attention_res=setting.attention_res,
                    smoothing=smoothing,
                    normalize_eot=setting.normalize_eot,
                )
                passes = 1 + (MOST_REFINEMENTS if refine_to is not None else 0)
                values["evaluations"] += n_frames * passes
            plans.append(ExcitePlan(**values, excitation=excitation))
        return plans

    def start(self, ctx: Context) -> State:
        """Noise; :class:`UserError` for words that are not in the prompt."""
        self.positions(ctx)
        return super().start(ctx)

    def positions(self, ctx: Context) -> list[int]:
        """Tokens to excite: those of each layout phrase's last word, its noun."""
        find = partial(token_positions, ctx.backbone.tokenizer, ctx.edit.prompt)
        return [position for region in ctx.edit.layout for position in find(region.phrase)[-1]]

    def prepare(self, ctx: Context, state: State, plan: ExcitePlan, stand: Stand) -> State:
        """Excite each image by itself."""
        asked = plan.excitation
        if asked is None:
            return state
        evaluate = self.evaluation(ctx, self.positions(ctx), asked, stand)
        # As released for latents that the network sees unscaled; others move as far in its eyes.
        length = asked.step_size * (1 + float(stand.sigma) ** 2 if stand.exploding else 1)
        moved = [
            excite(
                latents,
                length,
                lambda x: evaluate(x)[:2],
                refine_to=asked.refine_to,
                alter=asked.alter,
            )
            for latents in state.latents.split(1)
        ]
        return State(torch.cat(moved), state.extra)

    def evaluation(
        self, ctx: Context, positions: Sequence[int], asked: Excitation, stand: Stand
    ) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Loss of latents (1, 4, h, w), its gradient, and each word's largest attention."""
        backbone, prompt = ctx.backbone, ctx.edit.prompt
        embedding = backbone.embed([prompt])
        last = len(backbone.tokenizer(prompt).input_ids) - 1 if asked.normalize_eot else -1

        def objective(maps: Maps) -> tuple[Tensor, Tensor]:
            attention = aggregate([shares[0] for shares in maps.values()])
            largest = maxima(attention, positions, asked.smoothing, last)
            return neglect(largest), largest.detach()

        def evaluate(latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            side = (latents.shape[-2], latents.shape[-1])
            sites = sites_of_size(backbone.unet, side, asked.attention_res)
            return follow(backbone, stand, latents, embedding, sites, objective)

        return evaluate
